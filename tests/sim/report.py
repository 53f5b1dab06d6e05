"""What people read of a run: the figures, the faults, and of the first seed that failed the conversation that led there."""

from __future__ import annotations

import time
from typing import TextIO

from tests.sim.checks import Violation
from tests.sim.runner import Summary, run_seed

#: A progress line about this often.
PROGRESS_S = 10.0
#: Of a failing seed the last so many lines are shown; its own command shows them all.
LINES_SHOWN = 60


class Progress:
    """Tells now and then how far a run is; `on_part` of `run_seeds`."""

    def __init__(self, seeds: int, to: TextIO) -> None:
        self._seeds = seeds
        self._to = to
        self._said_at = time.monotonic()

    def __call__(self, summary: Summary) -> None:
        now = time.monotonic()
        if now - self._said_at < PROGRESS_S:
            return
        self._said_at = now
        left_s = summary.wall_s * (self._seeds - summary.seeds) / max(1, summary.seeds)
        print(
            f"{summary.seeds:>7,} of {self._seeds:,} seeds   {summary.sim_s / 3600:>8,.1f} simulated hours   "
            f"{_count(summary.violations, 'violation')}   {_speed(summary)}   {_span(left_s)} left",
            file=self._to,
            flush=True,
        )


def as_text(summary: Summary) -> str:
    counts = summary.counts
    lines = [
        f"{_count(summary.seeds, 'seed')}, {summary.sim_s / 3600:,.1f} simulated hours in {_span(summary.wall_s)}: "
        f"{_speed(summary)}" + (", interrupted" if summary.interrupted else ""),
        "",
        *_columns(
            {
                "elections": counts["elections"],
                "failovers": counts["failovers"],
                "false failovers": counts["false_failovers"],
                "late failovers": counts["late_failovers"],
                "late awards refused": counts["awards refused as late"],
                "acts of masters": counts["acts"],
                "writes refused": counts["writes refused"],
                "seeds without a fault": counts["fault_free_seeds"],
            }
        ),
        f"  slowest return to order {summary.slowest_settle_s:.1f} s of quiet",
        "",
        f"faults: {sum(summary.faults.values()):,}",
        *_columns(dict(sorted(summary.faults.items()))),
        "",
    ]
    if not summary.violations:
        return "\n".join([*lines, "No invariant was broken."])
    lines.append(f"{_count(summary.violations, 'violation')}:")
    return "\n".join([*lines, *(f"  seed {violation.seed}: {sentence(violation)}" for violation in summary.failed)])


def sentence(violation: Violation) -> str:
    return f"{violation.invariant}: {violation.detail}, at {violation.at_s:.4f} s"


def end_of_conversation(violation: Violation, defect: str | None, cycles: int) -> str:
    """How it came to this, replayed."""
    outcome = run_seed(violation.seed, defect, cycles=cycles, talk=True)
    shown = outcome.lines[-LINES_SHOWN:]
    options = "".join(
        [f" --cycles {cycles}" if cycles > 1 else "", f' --defect "{defect}"' if defect is not None else ""]
    )
    return "\n".join(
        [
            f"How seed {violation.seed} came to it, the last {len(shown)} of {len(outcome.lines):,} lines:",
            "",
            *shown,
            "",
            f"The whole conversation: python -m tests.sim --seed {violation.seed}{options}",
        ]
    )


def _columns(figures: dict[str, int], across: int = 3) -> list[str]:
    cells = [f"  {name:<22}{number:>10,}  " for name, number in figures.items()]
    return ["".join(cells[start : start + across]).rstrip() for start in range(0, len(cells), across)]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _speed(summary: Summary) -> str:
    figures = summary.as_json()
    return f"{figures['speedup']:,} x real time ({figures['speedup_per_core']:,} x on each core)"


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
