"""What happened during a run, in the order of time: rate changes, nodes that died and came back, failovers. Pure.

Every moment counts in seconds from the start of the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import sqrt
from typing import Any, Final

from ha_stress.report import words
from ha_stress.report.run import Run, Stretch
from ha_stress.report.target import arrivals_wanted, profile_of

#: More than this nobody reads; the rest is in the list of events of the JSON report.
MARKS_MAX: Final = 40
#: The sum is back at the target when a whole stretch has this share of it; requests near its edges may count in the next,
#: of which there are as many at a low rate as at a high one.
BACK: Final = 0.99
_EDGE: Final = 1.5
#: A Poisson process has this many standard deviations less about once in 700 stretches.
_CHANCE: Final = 3.0


class Kind(StrEnum):
    DOWN = "down"  # a process is held to be dead
    MASTER = "master"  # the mastership moved
    PLAN = "plan"  # a new revision: another rate, other shares
    JOIN = "join"
    ALARM = "alarm"  # something else that an operator would want to know


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`subject` is the process that it is about, if it is about one."""

    at_s: float
    kind: Kind
    title: str
    detail: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A holder of a share died. `found_s`: a quorum held it to be down; `moved_s`: its share was somebody else's, by the
    plan; `back_s`: from here on as much was sent as was wanted (None: never; `measured` says whether anything was, after
    that). `lowest` is the smallest share of the target that a stretch around it had."""

    node: str
    found_s: float
    moved_s: float
    back_s: float | None
    lowest: float
    measured: bool = True

    @property
    def sentence(self) -> str:
        gone = f"{self.node} was found dead at {words.seconds(self.found_s)}, and its share moved"
        moved = f"{gone} {words.seconds(max(0.0, self.moved_s - self.found_s))} later."
        if not self.measured:
            return f"{moved} The run ended before the rate could be measured again."
        lowest = f"The lowest second around it had {100 * min(self.lowest, 1):.0f} % of the target"
        if self.back_s is None:
            return f"{moved} {lowest}; the sum was not at the target again until the end."
        after = words.seconds(max(0.0, self.back_s - self.found_s))
        back = f"from {words.seconds(self.back_s)} on, {after} after it was found, the sum was at the target again"
        return f"{moved} {lowest}; {back}."


_ALARMS: Final[dict[str, str]] = {
    "+suspended": "the master lost its lease",
    "-suspended": "the master has its lease again",
    "+tilt": "a sentinel distrusts itself",
    "+bus-down": "Redis does not answer",
    "-bus-down": "Redis answers again",
    "+switchover": "a switchover was asked for",
    "+leaving": "a node leaves",
    "+events-lost": "events were lost",
    "+orphan": "a node without a master stopped its load",
    "-orphan": "its load goes on",
    "+aborted": "aborted by a threshold",
    "-accept-timeout": "the chosen node did not act",
}
#: An election that failed is news only if none succeeded soon after.
_ELECTED_S: Final = 5.0


#: Which marks stay where there are too many: what has happened goes before what followed from it.
_WEIGHT: Final = (Kind.DOWN, Kind.MASTER, Kind.ALARM, Kind.PLAN, Kind.JOIN)


def marks_of(run: Run) -> list[Mark]:
    """What is worth a mark on the time axis, oldest first, MARKS_MAX at most."""
    found = sorted([*_plan(run), *_events(run)], key=lambda mark: (_WEIGHT.index(mark.kind), mark.at_s))
    return sorted(found[:MARKS_MAX], key=lambda mark: mark.at_s)


def _plan(run: Run) -> Iterator[Mark]:
    for before, after in pairwise(run.task.get("plan") or ()):
        if after["rate"] != before["rate"]:
            title = f"{words.rate(before['rate'])} to {words.rate(after['rate'])}/s"
        else:
            title = "shares moved"
        yield Mark(at_s=float(after["at_s"]), kind=Kind.PLAN, title=title, detail=str(after["why"]))


def _events(run: Run) -> Iterator[Mark]:
    down: set[str] = set()
    master = next((str((one.get("old") or {}).get("node")) for one in run.failovers), "")
    acted_s = [event["at_ms"] / 1000 - run.began_at for event in run.events if event["name"] == "+acting"]
    end_s = (run.task.get("ended_at") or run.made_at) - run.began_at
    for event in run.events:
        at_s = event["at_ms"] / 1000 - run.began_at
        name, subject, cause = event["name"], str(event["subject"]), str(event["cause"])
        if not 0 <= at_s <= end_s and name != "+acting":
            continue
        if name == "+odown" and subject not in down:
            down.add(subject)
            what = "the master " if subject == master else ""
            yield Mark(at_s=at_s, kind=Kind.DOWN, title=f"{what}{subject} is down", detail=cause, subject=subject)
        elif name == "+acting":
            master = subject or str(event["source"])
            if at_s >= 0:
                detail = f"epoch {event['epoch']}"
                yield Mark(at_s=at_s, kind=Kind.MASTER, title=f"{master} is master", detail=detail, subject=master)
        elif name == "+node":
            down.discard(subject)
            node = subject or str(event["source"])
            yield Mark(at_s=at_s, kind=Kind.JOIN, title=f"{node} joined", detail=cause, subject=node)
        elif name.startswith("-failover-abort") and any(0 <= acted - at_s < _ELECTED_S for acted in acted_s):
            continue
        elif name in _ALARMS or name.startswith("-failover-abort"):
            title = _ALARMS.get(name, str(event.get("meaning") or name))
            yield Mark(at_s=at_s, kind=Kind.ALARM, title=title, detail=cause or subject, subject=subject)


def is_short(task: Mapping[str, Any], wanted: float, sent: float) -> bool:
    """Whether clearly less was sent in a stretch than was wanted."""
    profile = profile_of(task)
    chance = _CHANCE * sqrt(wanted) if profile is not None and profile.poisson_seed is not None else 0.0
    return wanted - sent > max((1 - BACK) * wanted, _EDGE) + chance


def recoveries(run: Run, course: Iterable[Stretch]) -> list[Recovery]:
    """For each holder that died and whose share moved: when, and when the sum was back at the target."""
    plan = run.task.get("plan") or ()
    measured = [(one, wanted) for one in course if (wanted := _wanted(run, one))]
    found = []
    for mark in _events(run):
        if mark.kind is not Kind.DOWN:
            continue
        node = mark.subject
        pair = next(((one, two) for one, two in pairwise(plan) if _hands_over(one, two, node, mark.at_s)), None)
        if pair is None:
            continue
        moved_s = float(pair[1]["at_s"])
        around = [_sent(one) / wanted for one, wanted in measured if _overlaps(run, one, mark.at_s - 2.0, moved_s)]
        found.append(
            Recovery(
                node=node,
                found_s=mark.at_s,
                moved_s=moved_s,
                back_s=_back_s(run, measured, moved_s, _rate_of(pair[0], node)),
                lowest=min(around, default=1.0),
                measured=any(_begins(run, one) >= moved_s for one, _ in measured),
            )
        )
    return found


def _back_s(run: Run, measured: list[tuple[Stretch, float]], moved_s: float, lost_rate: float) -> float | None:
    """The moment at which the share moved, if what is missing of that stretch is what the dead one would have sent before,
    and the next one is whole; else the beginning of the first whole stretch afterwards."""
    later = [(_begins(run, one), is_short(run.task, wanted, _sent(one))) for one, wanted in measured]
    later = [(begin_s, short) for begin_s, short in later if begin_s >= moved_s]
    if not later:
        return None
    within = next((pair for pair in measured if _overlaps(run, pair[0], moved_s, moved_s + 1e-9)), None)
    if within is not None and not later[0][1]:
        stretch, wanted = within
        before_s = moved_s - max(0.0, _begins(run, stretch))
        if not is_short(run.task, wanted, _sent(stretch) + lost_rate * before_s):
            return moved_s
    return next((begin_s for begin_s, short in later if not short), None)


def _rate_of(revision: Mapping[str, Any], node: str) -> float:
    return sum(float(share["rate"]) for share in revision["shares"] if share["node"] == node)


def _hands_over(before: Mapping[str, Any], after: Mapping[str, Any], node: str, found_s: float) -> bool:
    """Whether `after` is the revision that takes the share of `node` away, having been made around that time."""
    had = any(share["node"] == node and share["rate"] > 0 for share in before["shares"])
    has = any(share["node"] == node and share["rate"] > 0 for share in after["shares"])
    return had and not has and after["at_s"] >= found_s - 1.0


def _wanted(run: Run, one: Stretch) -> float | None:
    """What was to be sent in it; None or 0 where nothing was, or only at the stretch's edge."""
    return arrivals_wanted(run.task, one.second, one.second + one.width_s)


def _sent(one: Stretch) -> int:
    return one.numbers["started"]


def _begins(run: Run, one: Stretch) -> float:
    return one.second - run.began_at


def _overlaps(run: Run, one: Stretch, begin_s: float, end_s: float) -> bool:
    return _begins(run, one) < end_s and _begins(run, one) + one.width_s > begin_s
