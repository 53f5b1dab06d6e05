"""How one failover looks: the sentence, the phases on a line of time, the votes, the candidates. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ha_stress.cli.layout import grid, ms, node_of, spaced

#: Key of the record -> what happened at that moment; {old}, {winner} and {leader} are filled in.
_MOMENTS: Final = (
    ("last_pong_ms", "last answer of {old}"),
    ("sdown_ms", "down for {leader} (+sdown)"),
    ("odown_ms", "down for a quorum (+odown)"),
    ("elected_ms", "{leader} elected by a majority"),
    ("awarded_ms", "the record names {winner}"),
    ("accepted_ms", "{winner} seen acting"),
)
_BAR_COLUMNS: Final = 36


def failover_view(record: Mapping[str, Any]) -> RenderableType:
    """One failover: what happened, when, how voted, and why each candidate won or did not."""
    parts: list[RenderableType] = [Group(_sentence(record), _head(record)), timeline(record)]
    if record.get("votes"):
        parts.append(votes_table(record["votes"]))
    if record.get("candidates"):
        winner = record.get("winner") or {}
        parts.append(candidates_table(record["candidates"], won="won" if winner.get("node") else "best"))
    return spaced(*parts)


def _sentence(record: Mapping[str, Any]) -> Text:
    old, winner = node_of(record.get("old")), node_of(record.get("winner"))
    phases = record.get("phases") or {}
    took = phases.get("accepted_ms")
    cause = f" ({record['cause']})" if record.get("cause") else ""
    match record.get("outcome"):
        case "accepted" if record.get("kind") == "switchover":
            words, style = f"{old} handed over to {winner}{cause} in {ms(took)} ms.", "bold green"
        case "accepted":
            words = f"{winner} took over from {old}{cause}, {ms(took)} ms after the first suspicion."
            style = "bold green"
        case "accept-timeout":
            words = f"{winner} was named in place of {old}{cause} and did not act in time; look at the next epoch."
            style = "bold red"
        case "no-good-node":
            words = f"Nobody could follow {old}{cause}: every candidate was filtered out."
            style = "bold red"
        case "awarded":
            words, style = f"{winner} was named in place of {old}{cause}; it was not seen acting.", "bold yellow"
        case outcome:
            words, style = f"{old} -> {winner}{cause}: {outcome or 'unknown outcome'}.", "bold"
    return Text(words, style)


def _head(record: Mapping[str, Any]) -> Text:
    at = datetime.fromtimestamp(record["at"]).isoformat(" ", "milliseconds") if record.get("at") else "-"
    pieces: list[str | tuple[str, str]] = []
    known = (("epoch", record.get("epoch")), ("kind", record.get("kind")), ("led by", record.get("leader")), ("at", at))
    for label, value in known:
        pieces += [(f"{label} ", "dim"), f"{value or '-'}   "]
    return Text.assemble(*pieces)


def timeline(record: Mapping[str, Any]) -> Table:
    """Each moment that was reached, with the time that it took since the one before drawn to scale."""
    names = {"old": node_of(record.get("old")), "winner": node_of(record.get("winner"))}
    names["leader"] = str(record.get("leader") or "-")
    phases = record.get("phases") or {}
    moments = [(label.format(**names), float(phases[key])) for key, label in _MOMENTS if phases.get(key) is not None]
    table = grid("phase", "at ms", "took ms", "", right=("at ms", "took ms"))
    if not moments:
        table.add_row("no phases were recorded", "-", "-", "")
        return table
    first, last = min(at for _, at in moments), max(at for _, at in moments)
    before = moments[0][1]
    for label, at in moments:
        took = at - before
        table.add_row(
            label, ms(at), ms(took) if took or at != first else "", _bar(before - first, at - first, last - first)
        )
        before = at
    return table


def _bar(begin: float, end: float, whole: float) -> Text:
    """A stretch of time within the whole; a moment without length is a thin line where it lies."""
    scale = _BAR_COLUMNS / whole if whole > 0 else 0.0
    left, right = round(begin * scale), round(end * scale)
    if right <= left:
        return Text(" " * min(left, _BAR_COLUMNS - 1) + "|", "dim")
    return Text(" " * left + "#" * (right - left), "cyan")


def votes_table(votes: Mapping[str, str]) -> RenderableType:
    granted = sum(vote == "granted" for vote in votes.values())
    table = grid("sentinel", "vote", "why")
    for sentinel, vote in sorted(votes.items()):
        yes = vote == "granted"
        table.add_row(sentinel, Text("granted", "green") if yes else Text("refused", "red"), "" if yes else vote)
    return Group(table, Text(f"{granted} of {len(votes)} that answered granted it", "dim"))


def candidates_table(candidates: Sequence[Mapping[str, Any]], *, won: str = "won") -> Table:
    """Best first, then the dropped ones with the rule that dropped them. `won` is what is said of the best."""
    right = ("rank", "prio", "bucket", "seq", "cpu %", "mem %")
    table = grid("rank", "node", "prio", "bucket", "seq", "cpu %", "mem %", "verdict", right=right)
    ordered = sorted(candidates, key=lambda one: (one.get("rank") is None, one.get("rank") or 0, one["node"]))
    best = min((one["rank"] for one in candidates if one.get("rank") is not None), default=None)
    for one in ordered:
        score = one.get("score") or {}
        first = one.get("rank") is not None and one["rank"] == best
        verdict = (
            Text(won, "bold green")
            if first
            else Text(one["dropped"], "red")
            if one.get("dropped")
            else Text("next in line")
        )
        table.add_row(
            "-" if one.get("rank") is None else str(one["rank"]),
            Text(one["node"], "bold" if first else ""),
            *(str(score.get(key, "-")) for key in ("priority", "cpu_bucket", "sequence")),
            *("-" if one.get(key) is None else f"{one[key]:.0f}" for key in ("cpu_percent", "memory_percent")),
            verdict,
        )
    return table
