"""One node: its core, the worker's core in it, and what somebody who sees everything knows of its lease."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo
from ha_stress.node import core as nc
from ha_stress.tasks.schedule import Holder, NodeAssignment
from ha_stress.wire.messages import Pong
from ha_stress.worker.core import Apply, WorkerCore
from sentinel import effects as fx
from tests.explore.history import Histories
from tests.explore.redis import Note
from tests.explore.sentinel_side import Reaction
from tests.explore.settings import NODE_CONFIGS, NODES, PEOPLE, TIMING, VERSION, no_dice, seconds
from tests.explore.shelf import Numbers, Shelf
from tests.explore.things import Answered, Asked, Command, Thing
from tests.sim.builds import Build


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSide:
    """`core` None: it does not run. `lease_until` is what this process was really given, less the margin. `master_of` is the
    mastership that its master role was begun for, `commanded` the epoch under which it has commanded already, `wrote_at` the
    instant of its last write."""

    core: int | None
    worker: int
    life: int
    lease_until: float = float("-inf")
    master_of: Mastership = NOBODY
    commanded: int = 0
    wrote_at: int = -1


class Standing(NamedTuple):
    """What the others and the exploration see of a node at an instant. `pong` is the number of a sentinel's event."""

    epoch: int
    pong: int
    acts: bool
    lease_over: bool
    may_write: bool
    info: NodeInfo


class NodePart:
    """All that the two nodes can do, as functions of numbers."""

    def __init__(
        self, build: Build, things: Numbers[Thing], histories: Histories, sentinel_events: Numbers[fx.Happening]
    ) -> None:
        self.sides: Numbers[NodeSide] = Numbers()
        self.events: Numbers[nc.Happening] = Numbers()
        self.shelf = Shelf()
        self._workers = Shelf()
        self._build = build
        self._things = things
        self._histories = histories
        self._sentinel_events = sentinel_events
        self._fed: dict[tuple[int, int, int, int], Reaction] = {}
        self._standing: dict[tuple[int, int, int], Standing] = {}

    def start(self, who: int, life: int, instant: int) -> int:
        """A process begins, with nothing but its name, and is registered."""
        name = PEOPLE[who]
        core = self._build.node(NODE_CONFIGS[name], incarnation(who, life), random=no_dice, now=seconds(instant))
        core.step(nc.Registered(), seconds(instant))
        worker = self._build.worker(Holder(name, incarnation(who, life)))
        return self.sides.of(NodeSide(core=self.shelf.put(core), worker=self._workers.put(worker), life=life))

    def die(self, side: int) -> Reaction:
        was = self.sides[side]
        return Reaction(self.sides.of(NodeSide(core=None, worker=was.worker, life=was.life + 1)))

    def feed(self, who: int, side: int, instant: int, event: int) -> Reaction:
        key = (who, side, instant, event)
        known = self._fed.get(key)
        if known is None:
            known = self._fed[key] = self._step(who, self.sides[side], instant, self.events[event])
        return known

    def answered(self, who: int, side: int, instant: int, answer: Answered) -> Reaction:
        """Redis has answered this node, or has not."""
        was = self.sides[side]
        asked = answer.asked
        if asked.script == "claim":
            return self._step(who, was, instant, nc.ClaimAnswered(answer.result))
        sent_at = seconds(asked.instant)
        held, newest = (False, None) if answer.result is None else answer.result
        if held and newest == asked.record:
            was = replace(was, lease_until=sent_at + TIMING.lease_ttl_s - TIMING.lease_margin_s)
        return self._step(who, was, instant, nc.LeaseAnswered(sent_at, held, newest))

    def standing(self, who: int, side: int, instant: int) -> Standing:
        known = self._standing.get((who, side, instant))
        if known is None:
            known = self._standing[who, side, instant] = self._look(who, self.sides[side], instant)
        return known

    def act(self, who: int, side: int, instant: int, others: tuple[tuple[int, int], ...]) -> Reaction:
        """The master writes to the store, and if it is the first time under this epoch it commands the others (process and
        life)."""
        was = self.sides[side]
        record = was.master_of
        notes: list[Note] = [("store_write", (record.epoch, record.node, record.incarnation))]
        things: list[Thing] = []
        if was.commanded < record.epoch:
            for to, life in others:
                name = incarnation(to, life)
                assignment = NodeAssignment(epoch=record.epoch, revision=1, node=PEOPLE[to], incarnation=name)
                things.append(Command(who, to, assignment))
        after = self.sides.of(replace(was, commanded=record.epoch, wrote_at=instant))
        return Reaction(after, tuple(self._things.of(thing) for thing in things), self._noted(notes))

    def obey(self, who: int, side: int, command: Command) -> Reaction:
        """A command of a master, considered by the real worker core."""
        was = self.sides[side]
        assert was.core is not None
        core: nc.NodeCore = self.shelf.take(was.core)
        worker: WorkerCore = self._workers.take(was.worker)
        notes: list[Note] = []
        decision = worker.consider(command.assignment, core.record.epoch)
        if isinstance(decision, Apply):
            worker.applied_now(decision.assignment)
            told = (PEOPLE[who], incarnation(who, was.life), decision.assignment.epoch, core.record.epoch)
            notes.append(("commanded_at", told))
        return Reaction(self.sides.of(replace(was, worker=self._workers.put(worker))), (), self._noted(notes))

    # --- one step ---

    def _step(self, who: int, side: NodeSide, instant: int, event: nc.Happening) -> Reaction:
        assert side.core is not None
        core: nc.NodeCore = self.shelf.take(side.core)
        name, now = PEOPLE[who], seconds(instant)
        record = core.record
        notes: list[Note] = []
        try:
            effects = core.step(event, now)
            if isinstance(event, nc.Ticked) and core.deadline(now) <= now:
                notes.append(("violate", ("a deadline that was met is over", f"{name} would spin")))
        except Exception as error:
            notes.append(("violate", ("the core raises nothing", f"{name} at {event}: {error!r}")))
            return Reaction(self.sides.of(side), (), self._noted(notes))
        if core.record != record:
            notes.append(("learned", (name, record, core.record)))
        things: list[Thing] = []
        for effect in effects:
            side = self._perform(effect, who, side, instant, things)
        after = self.sides.of(replace(side, core=self.shelf.put(core)))
        return Reaction(after, tuple(self._things.of(thing) for thing in things), self._noted(notes))

    def _perform(self, effect: nc.Effect, who: int, side: NodeSide, instant: int, things: list[Thing]) -> NodeSide:
        match effect:
            case nc.HoldLease(record):
                things.append(Asked(who, "hold", record, instant))
            case nc.ClaimFirst():
                mine = Mastership(epoch=1, node=PEOPLE[who], incarnation=incarnation(who, side.life))
                things.append(Asked(who, "claim", mine, instant))
            case nc.Repair(record):
                things.append(Asked(-1, "repair", record, 0))
            case nc.BecomeMaster(record):
                return replace(side, master_of=record)
            case nc.BecomeWorker():
                return replace(side, master_of=NOBODY)
            case _:
                pass
        return side

    def _look(self, who: int, side: NodeSide, instant: int) -> Standing:
        assert side.core is not None
        core: nc.NodeCore = self.shelf.take(side.core)
        now = seconds(instant)
        acts = core.may_act(now)
        info = NodeInfo(
            id=PEOPLE[who],
            incarnation=incarnation(who, side.life),
            sequence=NODES.index(PEOPLE[who]) + 1,
            priority=100,
            mesh_host="",
            mesh_port=0,
            api_url="",
            role=core.role,
            epoch=core.record.epoch,
            acting=acts,
            cpu_percent=10.0,
            memory_percent=20.0,
            leaving=core.leaving,
            version=VERSION,
        )
        pong = fx.PongReceived(PEOPLE[who], Pong(number=0, info=info, record=core.record))
        begun = side.master_of.epoch > 0 and side.master_of == core.record and side.wrote_at < instant
        return Standing(
            epoch=core.record.epoch,
            pong=self._sentinel_events.of(pong),
            acts=acts,
            lease_over=now >= side.lease_until,
            may_write=acts and begun,
            info=info,
        )

    def _noted(self, notes: list[Note]) -> tuple[int, ...]:
        return tuple(self._histories.notes.of(note) for note in notes)


def incarnation(who: int, life: int) -> str:
    return f"{PEOPLE[who]}.{life}"
