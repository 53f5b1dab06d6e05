"""How the cluster looks: who is who, what the operator has asked for, who the sentinels are. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.base.addresses import endpoint
from ha_stress.cli.layout import grid, ms, spaced

#: A sentinel that has not described itself for this long, while others did, is shown as silent.
SILENT_S: Final = 5.0
#: One that is no member and was silent for this long has left: the registry never forgets anybody.
LEFT_S: Final = 3600.0


def status_view(status: Mapping[str, Any]) -> RenderableType:
    master = status["master"]
    head = Text.assemble(
        ("cluster ", "dim"),
        (status["cluster"], "bold"),
        ("   epoch ", "dim"),
        (str(status["epoch"]), "bold"),
        ("   master ", "dim"),
    )
    if master is None:
        head.append("nobody yet", "bold red")
    else:
        head.append(master["node"], "bold green" if master["acting"] else "bold red")
        head.append("" if master["acting"] else " (not acting)", "red")
    servers = Text()
    for name in ("redis", "database"):
        servers.append(f"{name} ", "dim")
        servers.append(status[name] + "   ", "green" if status[name] == "ok" else "red")
    wishes = wishes_line(status.get("controls"))
    tables = [nodes_table(status)] + ([sentinels_table(status)] if status["sentinels"] else [])
    return spaced(*([wishes] if wishes else []), Group(head, servers), *tables)


def nodes_table(status: Mapping[str, Any]) -> Table:
    right = ("seq", "prio", "pid", "cpu %", "lag ms")
    controls = status.get("controls")
    remarks = {node["id"]: _remarks(node, tags_words(controls, node["id"])) for node in status["nodes"]}
    last = ("remarks",) if any(remarks.values()) else ()
    table = grid("node", "role", "seq", "prio", "pid", "cpu %", "lag ms", "api", *last, right=right)
    for node in status["nodes"]:
        acting = node["role"] == "master" and node["acting"]
        style = "bold green" if acting else "red" if node["role"] == "master" else ""
        cpu = node["cpu_percent"]
        table.add_row(
            node["id"],
            Text(node["role"], style),
            str(node["sequence"]),
            str(node["priority"]),
            str(node["pid"]),
            "-" if cpu is None else f"{cpu:.0f}",
            ms(node["loop_lag_s"] * 1000),
            node["api_url"],
            *([remarks[node["id"]]] if last else []),
        )
    return table


def _remarks(node: Mapping[str, Any], tags: list[str]) -> Text:
    words = tags + [word for word in ("draining", "leaving") if node[word] and f"tag {word}" not in tags]
    if not node["healthy"]:
        words.append("unhealthy")
    if node["role"] == "master" and not node["acting"]:
        words.append("suspended")
    if node["frames_waiting"] > 10:
        words.append(f"{node['frames_waiting']} frames waiting")
    if node["frames_lost"]:
        words.append(f"{node['frames_lost']} frames lost")
    return Text(", ".join(words), "yellow")


# What was asked for.


def wishes_line(controls: Mapping[str, Any] | None) -> Text:
    """What the operator asked for and stands, prominently; empty if nothing does."""
    line = Text()
    if not controls:
        return line
    if controls["paused"]:
        why = f" ({controls['pause_why']})" if controls["pause_why"] else ""
        line.append(f" FAILOVERS ARE PAUSED{why} ", "bold white on red")
        line.append("  a master that dies now is not replaced; `ha-stress resume` ends it", "red")
    wish = controls["switchover"]
    if wish and wish["open"]:
        line.append("\n" if line else "")
        line.append(f"a switchover to {wish['to'] or 'the best candidate'} is asked for", "bold yellow")
    return line


def tags_words(controls: Mapping[str, Any] | None, node: str) -> list[str]:
    """The tags of a node, in words."""
    tags = (controls or {}).get("tags", {}).get(node)
    if not tags:
        return []
    words = [] if tags["priority"] is None else [f"tag priority {tags['priority']}"]
    return [*words, "tag draining"] if tags["draining"] else words


# Sentinels.


def silent_for_s(one: Mapping[str, Any], everybody: Sequence[Mapping[str, Any]]) -> float:
    """How much older its words are than the newest of all. Compared with each other: our clock may be another one."""
    newest = max((float(other.get("sent_at", 0.0)) for other in everybody), default=0.0)
    return newest - float(one.get("sent_at", newest))


def members_of(status: Mapping[str, Any]) -> tuple[int, list[str]]:
    """The membership's version and members: the operator's word, or as most of the sentinels were configured."""
    membership = (status.get("controls") or {}).get("membership") or {}
    if membership.get("version"):
        return membership["version"], list(membership["members"])
    claims = [sorted(one.get("members", [])) for one in status["sentinels"] if one.get("members")]
    return 0, max(claims, key=claims.count, default=[])


def sentinels_table(status: Mapping[str, Any]) -> Table:
    everybody = [*status["nodes"], *status["sentinels"]]
    version, members = members_of(status)
    table = grid("sentinel", "epoch", "voted", "members", "pid", "address", "remarks", right=("epoch", "voted", "pid"))
    for one in status["sentinels"]:
        if one["id"] not in members and silent_for_s(one, everybody) > LEFT_S:
            continue
        address = endpoint(one["mesh_host"], one["mesh_port"])
        held = f"{len(one['members'])} (v{one['members_version']})" if one.get("members") else "-"
        table.add_row(
            one["id"],
            str(one["epoch"]),
            str(one.get("voted_epoch", "-")),
            held,
            str(one["pid"]),
            address,
            _sentinel_remarks(one, silent_for_s(one, everybody), version, members),
        )
    known = {one["id"] for one in status["sentinels"]}
    for missing in (member for member in members if member not in known):
        table.add_row(missing, "-", "-", "-", "-", "-", Text("never seen", "red"))
    return table


def _sentinel_remarks(one: Mapping[str, Any], silent_s: float, version: int, members: Sequence[str]) -> Text:
    remarks = Text()
    if silent_s > SILENT_S:
        remarks.append(f"silent for {_span(silent_s)}", "red")
    words = [word for word in ("tilt", "leading", "paused") if one.get(word)]
    if members and one["id"] not in members:
        words.append("not a member")
    elif one.get("members") and silent_s <= SILENT_S and one.get("members_version", 0) != version:
        words.append(f"has not heard of membership {version}")
    if words:
        remarks.append((", " if remarks else "") + ", ".join(words), "yellow")
    return remarks


def _span(seconds: float) -> str:
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def membership_view(status: Mapping[str, Any]) -> RenderableType:
    """Who the sentinels are, and what a failover takes."""
    version, members = members_of(status)
    everybody = [*status["nodes"], *status["sentinels"]]
    alive = [one["id"] for one in status["sentinels"] if silent_for_s(one, everybody) <= SILENT_S]
    living = [member for member in members if member in alive]
    majority = len(members) // 2 + 1
    if not members:
        return Text("No sentinel has described itself: nobody watches the master.", "bold red")
    words = f"{len(living)} of {len(members)} sentinels live, and a failover takes {majority}."
    source = f"membership version {version}" if version else "as they were configured"
    head = Group(Text(words, "bold green" if len(living) >= majority else "bold red"), Text(source, "dim"))
    return spaced(head, sentinels_table(status))
