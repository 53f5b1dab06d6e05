"""What an operator asks of the cluster's people: pause, switchover, tags, membership. Any node takes it."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter

from ha_stress.api.change import (
    Told,
    asked,
    change,
    check_seen_up,
    check_sentinels,
    check_tagged,
    check_target,
    living,
    newest_record,
)
from ha_stress.api.models_operator import (
    ChangedControls,
    ControlsView,
    NewMember,
    NewPause,
    NewSwitchover,
    NewTags,
)
from ha_stress.api.port import ApiNode
from ha_stress.api.problems import RESPONSES
from ha_stress.api.views import controls_view
from ha_stress.base.errors import Conflict
from ha_stress.base.ids import check_name
from ha_stress.cluster import controls as wishes
from ha_stress.cluster.controls import Controls, Tags


def router_of(node: ApiNode) -> APIRouter:
    router = APIRouter(tags=["operator"], responses=RESPONSES)
    for add in (_pausing, _switching, _tagging, _membership):
        add(router, node)
    return router


def _answer(node: ApiNode, controls: Controls, *notes: str) -> ChangedControls:
    view = controls_view(controls, node.record().epoch)
    return ChangedControls(**view.model_dump(), notes=[note for note in notes if note])


def _pausing(router: APIRouter, node: ApiNode) -> None:
    @router.get("/controls")
    async def controls() -> ControlsView:
        """What the operator has asked for."""
        return controls_view(await node.bus.controls(), (await newest_record(node)).epoch)

    @router.post("/pause")
    async def pause(new: NewPause | None = None) -> ChangedControls:
        """Sentinels observe only, until resumed. A switchover that is asked for is carried out all the same."""
        why = new.why if new else ""

        def make(stands: Controls) -> Controls:
            return stands if stands.paused and stands.pause_why == why else wishes.pause(stands, why)

        told = Told(name="+paused", cause=why, detail={"why": why})
        return _answer(node, await change(node, make, lambda _: told))

    @router.post("/resume")
    async def resume() -> ChangedControls:
        """Sentinels elect again."""

        def make(stands: Controls) -> Controls:
            return wishes.resume(stands) if stands.paused else stands

        return _answer(node, await change(node, make, lambda _: Told(name="-paused")))


def _switching(router: APIRouter, node: ApiNode) -> None:
    @router.post("/switchover")
    async def switchover(new: NewSwitchover | None = None) -> ChangedControls:
        """Ask for another master. Returns when the wish is written; the mastership record says when it is done."""
        wish = new or NewSwitchover()
        record = await newest_record(node)
        if wish.epoch is not None and wish.epoch != record.epoch:
            raise Conflict(f"the epoch is {record.epoch} by now, and {record.node or 'nobody'} is master")
        nodes = await node.bus.nodes()
        described = await node.bus.sentinels()
        sentinels = living(node, described)
        if 2 * len(sentinels) <= len(described):  # by their clocks: one that is wrong makes nobody dead who answers
            heard = {info.id for info in sentinels}
            sentinels += [info for info in await asked(node) if info.id not in heard]
        if wish.to not in ("", record.node):
            await check_seen_up(wish.to, node)

        def make(stands: Controls) -> Controls:
            asked = wishes.ask_switchover(stands, record, wish.to)
            check_target(wish.to, nodes, record, stands)
            check_sentinels(sentinels, stands)
            return asked

        told = Told(name="+switchover", subject=wish.to, cause=f"from {record.node}", detail={"from": record.node})
        made = await change(node, make, lambda _: told)
        return _answer(
            node, made, "failovers are paused; this switchover is carried out all the same" if made.paused else ""
        )

    @router.delete("/switchover")
    async def withdraw() -> ChangedControls:
        """Take the wish back. What sentinels are about to award may still happen."""

        def make(stands: Controls) -> Controls:
            return wishes.withdraw_switchover(stands) if stands.switchover else stands

        return _answer(node, await change(node, make, lambda _: Told(name="-switchover", cause="withdrawn")))


def _tagging(router: APIRouter, node: ApiNode) -> None:
    @router.put("/nodes/{node_id}/tags")
    async def tags(node_id: str, new: NewTags) -> ChangedControls:
        """Set all tags of a node."""
        wanted = Tags(priority=new.priority, draining=new.draining)
        nodes = await node.bus.nodes()

        def make(stands: Controls) -> Controls:
            check_tagged(node_id, nodes, stands)
            return stands if stands.tags.get(node_id, Tags()) == wanted else wishes.tag(stands, node_id, wanted)

        words = [f"priority {new.priority}"] if new.priority is not None else []
        words += ["draining"] if new.draining else []
        told = Told(name="+tags", subject=node_id, cause=", ".join(words) or "none", detail=new.model_dump())
        made = await change(node, make, lambda _: told)
        is_master = node_id == node.record().node and (new.draining or new.priority == 0)
        return _answer(node, made, f"{node_id} stays master until `ha-stress switchover`" if is_master else "")


def _membership(router: APIRouter, node: ApiNode) -> None:
    @router.post("/sentinels")
    async def add_sentinel(new: NewMember) -> ChangedControls:
        """Make a running sentinel a member. One change at a time."""
        name = check_name("sentinel id", new.id)
        sentinels = await asked(node)
        made = await change(node, lambda c: wishes.add_sentinel(c, sentinels, name), partial(_members, name, "added"))
        return _answer(node, made)

    @router.delete("/sentinels/{sentinel}")
    async def remove_sentinel(sentinel: str) -> ChangedControls:
        """Take a member away. It goes on watching, without a vote, until it is stopped."""
        sentinels = await asked(node)
        made = await change(
            node, lambda c: wishes.remove_sentinel(c, sentinels, sentinel), partial(_members, sentinel, "removed")
        )
        still = any(info.id == sentinel for info in sentinels)
        return _answer(
            node, made, f"{sentinel} still runs; it has no vote any more, and may be stopped" if still else ""
        )


def _members(name: str, verb: str, controls: Controls) -> Told:
    membership = controls.membership
    return Told(
        name="+members",
        subject=name,
        cause=f"{verb}; members are {', '.join(membership.members)}",
        detail={"change": verb, "members": list(membership.members), "version": membership.version},
    )
