"""Percentiles of a distribution, at steps that halve the distance to 100 %: the text that HdrHistogram plotters read. Pure.

Steps and layout are those of the original HdrHistogram (`PercentileIterator`, `outputPercentileDistribution`). The Python
library's own output takes other steps, and does not scale the deviation with the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from ha_stress.tasks.buckets import highest_of
from ha_stress.tasks.distribution import Distribution

#: Steps in each halving; what the tools of the HdrHistogram family use.
TICKS: Final = 5
#: What the tools expect values in: milliseconds.
_US_PER_UNIT: Final = 1000.0
_BUCKETS, _SUB_BUCKETS = 22, 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`share` (0 to 1) of all values, which are `count` values, are at or below `value_us`."""

    share: float
    value_us: int
    count: int


def steps(found: Distribution, ticks: int = TICKS) -> Iterator[Step]:
    """From 0 to 1; nothing for an empty distribution."""
    total, level = found.total, 0.0
    if not total:
        return
    for index, (count, until) in enumerate(zip(found.counts, accumulate(found.counts), strict=True)):
        while count and level < 100.0 and 100.0 * until / total >= level:
            yield Step(share=level / 100, value_us=highest_of(index), count=until)
            if until == total:
                break
            halvings = math.pow(2, math.floor(math.log2(100.0 / (100.0 - level))) + 1)
            level += 100.0 / (ticks * halvings)
    yield Step(share=1.0, value_us=found.max_us, count=total)


def hgrm_of(found: Distribution) -> str:
    """The distribution as a `.hgrm` file, in milliseconds."""
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    for step in steps(found):
        line = f"{step.value_us / _US_PER_UNIT:12.3f} {step.share:2.12f} {step.count:10d}"
        lines.append(line if step.share >= 1 else f"{line} {1 / (1 - step.share):14.2f}")
    mean, deviation = found.mean_us / _US_PER_UNIT, found.deviation_us / _US_PER_UNIT
    lines.append(f"#[Mean    = {mean:12.3f}, StdDeviation   = {deviation:12.3f}]")
    lines.append(f"#[Max     = {found.max_us / _US_PER_UNIT:12.3f}, Total count    = {found.total:12d}]")
    lines.append(f"#[Buckets = {_BUCKETS:12d}, SubBuckets     = {_SUB_BUCKETS:12d}]")
    return "\n".join(lines) + "\n"
