"""A run as CSV: a row a second (or a longer stretch, in runs of hours; `width_s` says so). Pure.

Columns stay where they are: those that count by name come last, one for each name that occurred.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Final

from ha_stress.report.run import BY_NAME, NUMBERS, Latency, Run, Stretch
from ha_stress.report.target import arrivals_wanted

_LATENCY: Final = ("count", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
_PREFIX: Final = {"failures": "failed_", "statuses": "status_", "checks": "check_", "workers": "started_"}


class _Lines(list[str]):
    """What `csv.writer` writes to."""

    def write(self, line: str) -> None:
        self.append(line)


def csv_of(run: Run) -> str:
    rows = run.course()
    names = {kind: sorted({name for one in rows for name in one.named.get(kind, {})}) for kind in BY_NAME}
    head = ["second", "at_s", "width_s", "target", *NUMBERS]
    head += [f"{kind}_{name}" for kind in ("response", "service") for name in _LATENCY]
    head += [f"{_PREFIX[kind]}{name}" for kind in BY_NAME for name in names[kind]]
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(head)
    for one in rows:
        writer.writerow(_row(run, one, names))
    return "".join(lines)


def _row(run: Run, one: Stretch, names: dict[str, list[str]]) -> Sequence[object]:
    wanted = arrivals_wanted(run.task, one.second, one.second + one.width_s)
    row: list[object] = [
        one.second,
        round(one.second - run.began_at, 3),
        one.width_s,
        "" if wanted is None else round(wanted, 3),
    ]
    row += [one.numbers.get(name, 0) for name in NUMBERS]
    row += [*_figures(one.response), *_figures(one.service)]
    return row + [one.named.get(kind, {}).get(name, 0) for kind in BY_NAME for name in names[kind]]


def _figures(found: Latency | None) -> list[object]:
    return [""] * len(_LATENCY) if found is None else [getattr(found, name) for name in _LATENCY]
