"""The pure part of the memory benchmark: samples in; begin, middle, end, growth and the verdict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

#: What comes before this part of all requests is warming up: code is imported, caches and pools fill.
WARM_PART: Final = 0.1
#: Megabytes that a process may grow with each further million requests.
GROWTH_MB_GOAL: Final = 0.2
#: So much more or less is noise in a run of any length: pages of an allocator, of a database.
NOISE_MB: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look. `requests` is how many had been completed, `rss_mb` what each process that was there held."""

    at_s: float
    requests: int
    rss_mb: Mapping[str, float]


def report_of(samples: Sequence[Sample]) -> dict[str, Any]:
    """{"requests", "seconds", "rss_mb": {process: {"begin", "middle", "end"}}, "growth_mb_per_million", "goals", "samples"}.

    Growth is the slope of a straight line through all samples after the warm-up: one large page fault more or less at
    either end does not decide.
    """
    whole = samples[-1].requests
    steady = [sample for sample in samples if sample.requests >= WARM_PART * whole]
    middle = min(steady, key=lambda sample: abs(sample.requests - (1 + WARM_PART) / 2 * whole))
    names = [name for name in steady[0].rss_mb if all(name in sample.rss_mb for sample in steady)]
    growth = {name: round(_slope(steady, name), 3) for name in names}
    millions = (steady[-1].requests - steady[0].requests) / 1e6
    return {
        "requests": whole,
        "seconds": round(samples[-1].at_s - samples[0].at_s, 1),
        "rss_mb": {
            name: {
                "begin": round(steady[0].rss_mb[name], 1),
                "middle": round(middle.rss_mb[name], 1),
                "end": round(steady[-1].rss_mb[name], 1),
            }
            for name in names
        },
        "growth_mb_per_million": growth,
        "goals": [
            {
                "goal": f"{name}, MB more after {millions:.1f} million requests",
                "value": round(value * millions, 2),
                "at_most": round(max(NOISE_MB, GROWTH_MB_GOAL * millions), 2),
                "met": value * millions <= max(NOISE_MB, GROWTH_MB_GOAL * millions),
            }
            for name, value in growth.items()
        ],
        "samples": [
            {"at_s": round(sample.at_s, 1), "requests": sample.requests}
            | {"rss_mb": {name: round(value, 1) for name, value in sample.rss_mb.items()}}
            for sample in samples
        ],
    }


def _slope(samples: Sequence[Sample], name: str) -> float:
    """Least squares: megabytes a million requests."""
    millions = [sample.requests / 1e6 for sample in samples]
    held = [sample.rss_mb[name] for sample in samples]
    mean_x, mean_y = sum(millions) / len(millions), sum(held) / len(held)
    spread = sum((x - mean_x) ** 2 for x in millions)
    if spread == 0:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(millions, held, strict=True)) / spread


def table(report: Mapping[str, Any], rows: int = 12) -> str:
    """Memory over time, a column a process, and what became of it."""
    names = list(report["rss_mb"])
    width = max((len(name) for name in names), default=0) + 2
    every = report["samples"]
    chosen = [every[round(place * (len(every) - 1) / max(rows - 1, 1))] for place in range(rows)] if every else []
    lines = ["MB held", f"{'s':>7} {'requests':>13}" + "".join(f"{name:>{width}}" for name in names)]
    for sample in {sample["at_s"]: sample for sample in chosen}.values():
        cells = "".join(f"{sample['rss_mb'].get(name, 0.0):>{width}.1f}" for name in names)
        lines.append(f"{sample['at_s']:>7.0f} {sample['requests']:>13,}{cells}")
    growth = "".join(f"{value:>+{width}.3f}" for value in report["growth_mb_per_million"].values())
    lines.append(f"{'MB with each million':>21}{growth}")
    return "\n".join(lines)


def verdicts(report: Mapping[str, Any]) -> list[str]:
    return [
        f"{'met    ' if goal['met'] else 'MISSED '} {goal['goal']}: {goal['value']:g} (goal at most {goal['at_most']:g})"
        for goal in report["goals"]
    ]
