"""What a run is worth: whether it passed, and, beside that, whether it may be believed at all. Pure.

*Passed* is what the thresholds say. *Valid* is what the generator's own figures say: a generator that is out of breath
measures itself. Each limit has a name here, and a finding says the figure, the limit and what to do.

    cpu          engines that used a core almost up             the target's latency is in truth the generator's
    late         arrivals begun long after their schedule       the same
    loop_lag     a node's loop stood still                      results and changes came late
    clock_skew   the clocks of the nodes differ                 their arrivals are shifted against each other
    dropped      arrivals for which there was no room           the load was less than asked for, and the slowest of it
    uncovered    arrivals of processes that died                the load was less than asked for

The first four are about the generator, the last two about the load: the load that is missing is also in the books, and
in error_rate, for thresholds to judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Any, Final

from ha_stress.tasks.judging import Judgement, Totals

#: An engine that used more of a core than this in a second was busy in it.
BUSY_CORE_SHARE: Final = 0.90
#: So many of the engines' seconds may be busy (each engine's start is).
BUSY_SECONDS_SHARE_MAX: Final = 0.10
#: So many of the arrivals that were sent may be late (over 10 ms after their schedule), and those of one pause of
#: PAUSE_S besides: a machine that was busy elsewhere for a moment is not a saturated generator.
LATE_SHARE_MAX: Final = 0.10
PAUSE_S: Final = 0.5
#: A node's loop lag that its lease and the frames still bear.
LOOP_LAG_S_MAX: Final = 2.0
#: Clocks that NTP disciplines differ by milliseconds; what is measured here has the way of a frame in it.
CLOCK_SKEW_S_MAX: Final = 1.0
DROPPED_SHARE_MAX: Final = 0.05
UNCOVERED_SHARE_MAX: Final = 0.01


class About(StrEnum):
    GENERATOR = "generator"
    LOAD = "load"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUse:
    """Seconds in which engines reported, summed over engines; `busy` of them above BUSY_CORE_SHARE; the highest share of a
    core in any of them."""

    seconds: int = 0
    busy: int = 0
    peak: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the verdict is made of. `back_to_back`: users without think time, who always use what there is. `lost` are the
    nodes of which a process died while it held a share; lag and skew are None where nobody measured them."""

    totals: Totals
    engines: EngineUse = EngineUse()
    back_to_back: bool = False
    lost: tuple[str, ...] = ()
    loop_lag_s: float | None = None
    clock_skew_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason to believe a run or not; `observed` is None where there is nothing to go by."""

    name: str
    about: About
    ok: bool
    observed: float | None
    limit: float
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`passed` is None without thresholds, or while they cannot be judged. `aborted` says which threshold stopped it."""

    passed: bool | None
    valid: bool
    judgements: tuple[Judgement, ...]
    findings: tuple[Finding, ...]
    aborted: Mapping[str, Any] | None = None

    @property
    def saturated(self) -> bool:
        """Whether it is the generator that cannot be believed."""
        return any(not finding.ok for finding in self.findings if finding.about is About.GENERATOR)


def verdict(judgements: Sequence[Judgement], evidence: Evidence, aborted: Mapping[str, Any] | None = None) -> Verdict:
    found = findings(evidence)
    said = [judgement.ok for judgement in judgements]
    passed = None
    if said:
        passed = False if False in said else None if None in said else True
    if aborted:
        passed = False
    return Verdict(
        passed=passed,
        valid=all(finding.ok for finding in found),
        judgements=tuple(judgements),
        findings=tuple(found),
        aborted=aborted or None,
    )


def findings(evidence: Evidence) -> list[Finding]:
    """All of them, those that are well too."""
    return [
        _cpu(evidence),
        _late(evidence.totals),
        _seconds(
            "loop_lag", evidence.loop_lag_s, LOOP_LAG_S_MAX, "a node's loop lagged", "its machine has too much to do"
        ),
        _seconds(
            "clock_skew", evidence.clock_skew_s, CLOCK_SKEW_S_MAX, "the clocks of the nodes differ", "synchronise them"
        ),
        _dropped(evidence.totals),
        _uncovered(evidence),
    ]


def _cpu(evidence: Evidence) -> Finding:
    use = evidence.engines
    share = use.busy / use.seconds if use.seconds else None
    ok = share is None or share <= BUSY_SECONDS_SHARE_MAX
    sentence = f"engines used at most {use.peak:.0%} of a core" if use.seconds else "no engine has reported yet"
    if share:
        sentence = f"an engine used over {BUSY_CORE_SHARE:.0%} of a core in {use.busy} of {use.seconds} seconds"
    if not ok and evidence.back_to_back:
        ok, sentence = True, f"{sentence}, as users without think time do: more engines may send more"
    elif not ok:
        sentence += ": the generator is saturated, use more --engines or nodes"
    return Finding(
        name="cpu",
        about=About.GENERATOR,
        ok=ok,
        observed=share,
        limit=BUSY_SECONDS_SHARE_MAX,
        sentence=sentence,
    )


def _late(totals: Totals) -> Finding:
    late, started = totals.counters.late, totals.counters.started
    share = _share(late, started)
    of_a_pause = ceil(PAUSE_S * started / max(totals.measured_s, 1.0))  # a whole number: it meets at least one of few
    limit = LATE_SHARE_MAX + of_a_pause / started if started else LATE_SHARE_MAX
    ok = share is None or share <= limit
    were, their = ("was", "its") if late == 1 else ("were", "their")
    sentence = f"{_part(late, share)} {were} begun over 10 ms after {their} schedule"
    return Finding(
        name="late",
        about=About.GENERATOR,
        ok=ok,
        observed=share,
        limit=round(min(limit, 1.0), 6),
        sentence=sentence if ok else f"{sentence}: the generator does not keep up",
    )


def _dropped(totals: Totals) -> Finding:
    share = _share(totals.counters.dropped, totals.counters.intended + totals.uncovered)
    ok = share is None or share <= DROPPED_SHARE_MAX
    sentence = f"{_part(totals.counters.dropped, share)} found the in-flight limit reached"
    return Finding(
        name="dropped",
        about=About.LOAD,
        ok=ok,
        observed=share,
        limit=DROPPED_SHARE_MAX,
        sentence=sentence if ok else f"{sentence}: the load was less than asked for, and latencies leave them out",
    )


def _uncovered(evidence: Evidence) -> Finding:
    totals = evidence.totals
    share = _share(totals.uncovered, totals.counters.intended + totals.uncovered)
    ok = share is None or share <= UNCOVERED_SHARE_MAX
    sentence = f"{_part(totals.uncovered, share)} belonged to processes that died"
    if evidence.lost:
        sentence += f" ({', '.join(evidence.lost)})"
    return Finding(
        name="uncovered",
        about=About.LOAD,
        ok=ok,
        observed=share,
        limit=UNCOVERED_SHARE_MAX,
        sentence=sentence if ok else f"{sentence}: the load was less than asked for",
    )


def _seconds(name: str, observed: float | None, limit: float, what: str, cure: str) -> Finding:
    ok = observed is None or observed <= limit
    sentence = "nobody has measured it" if observed is None else f"{what} by up to {observed:.2f} s"
    return Finding(
        name=name,
        about=About.GENERATOR,
        ok=ok,
        observed=observed,
        limit=limit,
        sentence=sentence if ok else f"{sentence}: {cure}",
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _part(count: int, share: float | None) -> str:
    return f"{count:,} arrival{'s' if count > 1 else ''} ({share:.2%})" if count and share else "no arrivals"
