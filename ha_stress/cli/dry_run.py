"""Who would get what, before anything is sent: the planning of a master, over the nodes that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from ha_stress import strategies
from ha_stress.api.creation import checked
from ha_stress.base.errors import ProtocolError
from ha_stress.base.quantities import duration_text
from ha_stress.cli.layout import grid, number, spaced
from ha_stress.cli.output import console, print_json
from ha_stress.cli.plan_file import RunPlan
from ha_stress.cli.run_place import Place, opened
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.drivers.stress import plan as plans
from ha_stress.drivers.stress.core import eligible
from ha_stress.master.members import holder_of
from ha_stress.tasks.caps import peak_rate
from ha_stress.tasks.ledger import books
from ha_stress.tasks.profile_text import describe
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.request_names import shares_of
from ha_stress.tasks.schedule import Holder, planned
from ha_stress.tasks.spec import TaskSpec
from ha_stress.wire.codec import from_plain


def show_plan(plan: RunPlan, place: Place, *, as_json: bool) -> None:
    document = preview(plan.tasks, *nodes_of(place))
    if as_json:
        print_json(document)
    else:
        console().print(plan_view(document))


def nodes_of(place: Place) -> tuple[tuple[NodeInfo, ...], Holder]:
    """The nodes of the running cluster, or those that would be started; and which one is the master."""
    if not place.existing:
        roles = [Role.MASTER] + [Role.WORKER] * (place.nodes - 1)
        nodes = tuple(_imagined(f"n{number + 1}", role) for number, role in enumerate(roles))
        return nodes, holder_of(nodes[0])
    with opened(place) as there:
        status = there.client.status()
    found = tuple(_present(node) for node in status["nodes"])
    named = status["master"] or {"node": "", "incarnation": ""}
    return found, Holder(named["node"], named["incarnation"])


def preview(tasks: Sequence[Mapping[str, Any]], nodes: Sequence[NodeInfo], me: Holder) -> dict[str, Any]:
    """What a master would plan."""
    able = eligible(nodes, me)
    return {
        "nodes": [node.id for node in nodes],
        "master": me.node,
        "tasks": [_planned(checked(task), able) for task in tasks],
    }


def _planned(spec: TaskSpec, able: Sequence[NodeInfo]) -> dict[str, Any]:
    peak = peak_rate(spec)
    found: dict[str, Any] = {
        "name": spec.name,
        "url": spec.request.url,
        "load": f"{spec.users} users" if spec.users else describe(spec.profile, spec.rate),
        "duration_s": spec.duration_s,
        "peak_rate": None if peak == float("inf") else peak,
        "users": spec.users,
        "arrivals": None,
        "requests": shares_of(requests_of(spec)) if spec.mix else {},
        "thresholds": [threshold.text for threshold in spec.thresholds],
        "checks": [check.text for check in spec.checks],
        "shares": [],
    }
    if not able:
        return found
    chosen = [(holder_of(info), weight) for info, weight in strategies.weights(able, spec.nodes_max)]
    made = plans.begin(spec, chosen, 0.0, 0.0)
    newest = made.newest
    found["arrivals"] = books(made, ()).planned
    found["shares"] = [
        {
            "node": holder.node,
            "share": round(newest.share_of(holder), 6),
            "peak_rate": None if found["peak_rate"] is None else round(peak * newest.share_of(holder), 6),
            "users": len(newest.slots_of(holder)) if spec.users else 0,
            "arrivals": None if spec.users else planned(newest, holder),
        }
        for holder in newest.holders
    ]
    return found


def _present(node: Mapping[str, Any]) -> NodeInfo:
    try:
        return from_plain(NodeInfo, {**node, "applied": tuple(node["applied"])})
    except (KeyError, TypeError) as error:
        raise ProtocolError(f"the cluster describes a node in a way that is not understood here: {error!r}") from None


def _imagined(name: str, role: Role) -> NodeInfo:
    return NodeInfo(
        id=name,
        incarnation=name,
        sequence=1,
        priority=0,
        mesh_host="",
        mesh_port=0,
        api_url="",
        role=role,
        epoch=1,
    )


def plan_view(document: Mapping[str, Any]) -> Any:
    master = document["master"] or "nobody yet"
    blocks: list[Any] = [Text.assemble("nodes ", (", ".join(document["nodes"]), "bold"), f"; master {master}")]
    for task in document["tasks"]:
        arrivals = "as many as are answered" if task["users"] else f"{number(task['arrivals'])} arrivals"
        peak = "no highest rate" if task["peak_rate"] is None else f"at most {number(task['peak_rate'])}/s"
        head = Text.assemble((task["name"], "bold"), f"  {task['url']}", no_wrap=True, overflow="ellipsis")
        what = Text(f"{task['load']}, {duration_text(task['duration_s'])}, {arrivals}, {peak}")
        table = grid("worker", "share", "peak /s", "arrivals", "users", right=("share", "peak /s", "arrivals", "users"))
        for share in task["shares"]:
            table.add_row(
                share["node"],
                f"{share['share']:.1%}",
                number(share["peak_rate"]),
                number(share["arrivals"]),
                number(share["users"] or None),
            )
        sent = [Text(f"{share:>6.1%} {name}") for name, share in task["requests"].items()]
        kept = [*sent, *(Text(f"must keep {text}") for text in (*task["checks"], *task["thresholds"]))]
        blocks += [Group(head, what, *kept), table]
        if not task["shares"]:
            blocks.append(Text("No node could take it: every one is draining, unwell or leaving.", "red"))
    return spaced(*blocks, Text("Nothing was sent.", "dim"))
