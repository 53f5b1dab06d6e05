"""What the sentinels' explanations say together, in one sentence or two. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ha_stress.doctor.facts import Asked, Explanation
from ha_stress.doctor.finding import counted, listed


def summary(asked: Sequence[Asked]) -> str:
    """Who is master, is it up, and who would follow it, or why nobody does."""
    seen = [one.seen for one in asked if one.seen is not None]
    if not asked:
        return "There are no sentinels: nobody watches the master, and nobody would replace it."
    if not seen:
        return f"None of the {len(asked)} sentinels answers: nobody would replace the master."
    newest = max(seen, key=lambda one: one.epoch)
    return f"{_master(newest, seen)} {_after(newest, seen)}"


def _master(newest: Explanation, seen: Sequence[Explanation]) -> str:
    master = newest.master
    if master is None or not newest.epoch or not master.node:
        return "There has been no master yet."
    who = f"{master.node} is the master of epoch {newest.epoch}"
    down = [one for one in seen if one.sees_master_down]
    if not down:
        sees = "sees" if len(seen) == 1 else "see"
        return f"{who}, and {len(seen)} of {max(len(newest.members), len(seen))} sentinels {sees} it up."
    causes = sorted({one.master.cause for one in down if one.master is not None and one.master.cause})
    cause = f" ({listed(causes)})" if causes else ""
    return f"{who}, and is down{cause} for {listed(one.sentinel for one in down)}."


def _after(newest: Explanation, seen: Sequence[Explanation]) -> str:
    if not newest.epoch:
        return _reasons(seen)
    members = [one for one in seen if one.sentinel in newest.members]
    if len(members) < newest.majority:
        answer = "answers" if len(members) == 1 else "answer"
        few = f"Only {len(members)} of {counted(len(newest.members), 'sentinel')} {answer}"
        return f"{few}, and a failover takes {newest.majority}: nobody would replace it."
    busy = [one for one in seen if one.phase not in ("idle", "backoff")]
    if busy:
        return f"A failover is under way: {busy[0].sentinel} is at {busy[0].phase.replace('_', '-')}."
    if any(one.sees_master_down for one in seen):
        return f"No failover has started: {_reasons(seen)}"
    if any(one.paused for one in seen):
        return "Failovers are paused: if it died now, nobody would replace it."
    return _successor(seen)


def _successor(seen: Sequence[Explanation]) -> str:
    winners: dict[str, list[str]] = {}
    for one in seen:
        winners.setdefault(one.would_win, []).append(one.sentinel)
    if list(winners) == [""]:
        rows = next((one.candidates for one in seen if one.candidates), ())
        why = "; ".join(f"{row.node}: {row.dropped}" for row in rows if row.dropped)
        return f"If it died now, nobody could follow it{f' ({why})' if why else ''}."
    if len(winners) == 1:
        return f"If it died now, {next(iter(winners))} would win."
    choices = "; ".join(f"{listed(who)} would choose {node or 'nobody'}" for node, who in sorted(winners.items()))
    return f"If it died now, it would depend on who leads: {choices}."


def _reasons(seen: Sequence[Explanation]) -> str:
    """Every reason once, with those that give it if not all do."""
    given: dict[str, list[str]] = {}
    for one in seen:
        for reason in one.why_no_failover:
            given.setdefault(reason, []).append(one.sentinel)
    if not given:
        return "they do not say why."
    said = [reason if len(who) == len(seen) else f"{reason} ({', '.join(who)})" for reason, who in given.items()]
    return "; ".join(said) + "."
