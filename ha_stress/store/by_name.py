"""The figures of a task's requests by name: summed with each commit of frames, and read.

A task has a bounded number of names. Engines keep to it, each by itself, so together they may have more: here the first ones
stay, and what comes later is counted under one name more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from ha_stress.base.limits import REQUEST_NAME_CHARACTERS_MAX, REQUEST_NAMES_MAX
from ha_stress.cluster.mastership import Mastership
from ha_stress.store.schema import request_figures
from ha_stress.store.upsert import upsert
from ha_stress.tasks.distribution import Sum
from ha_stress.tasks.figures import FURTHER, RequestFigures, place_of
from ha_stress.tasks.ledger import Frame


class _Total:
    """What is stored under a name (`before`), which is read only if something is added to it."""

    def __init__(self, place: int, before: Any = None) -> None:
        self.place = place
        self._before = before
        self.numbers: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.service = Sum()
        self.fresh = False

    def add(self, figures: Any, *, histogram: bool = True) -> None:
        """`RequestFigures`, or a row of them."""
        if not self.fresh:
            self.fresh = True
            if self._before is not None:
                self.add(self._before)
        self.numbers.update(started=figures.started, completed=figures.completed, wrong=figures.wrong)
        self.failed.update(figures.failed)
        self.statuses.update(figures.statuses)
        if histogram:
            self.service.add(figures.service_us)

    def row(self, task: str, name: str, epoch: int) -> dict[str, Any]:
        return {
            "task": task,
            "name": name,
            "place": self.place,
            **self.numbers,
            "failed": dict(self.failed),
            "statuses": dict(self.statuses),
            "service_us": self.service.encode(),
            "epoch": epoch,
        }


def storable_requests(frame: Frame, number_max: int) -> bool:
    """Whether the columns can hold them."""
    for name, one in frame.requests.items():
        numbers = (one.started, one.completed, one.wrong, *one.failed.values(), *one.statuses.values())
        names = (name, *one.failed, *one.statuses)
        if not all(0 <= number < number_max for number in numbers) or any("\0" in name for name in names):
            return False
    return True


def add_requests(connection: Connection, record: Mastership, accepted: Iterable[Frame]) -> int:
    """Returns how many histograms were left out, because they could not be read or were too many."""
    frames = [frame for frame in accepted if frame.requests]
    if not frames:
        return 0
    totals = _stored(connection, {frame.task for frame in frames})
    left_out = 0
    for frame in frames:
        left_out += _add(totals[frame.task], frame)
    rows = [
        total.row(task, name, record.epoch)
        for task, named in totals.items()
        for name, total in named.items()
        if total.fresh
    ]
    upsert(connection, request_figures, rows)
    return left_out + sum(total.service.unreadable for named in totals.values() for total in named.values())


def _stored(connection: Connection, tasks: set[str]) -> dict[str, dict[str, _Total]]:
    totals: dict[str, dict[str, _Total]] = {task: {} for task in tasks}
    for row in connection.execute(select(request_figures).where(request_figures.c.task.in_(sorted(tasks)))):
        totals[row.task][row.name] = _Total(row.place, row)
    return totals


def _add(named: dict[str, _Total], frame: Frame) -> int:
    """A frame with more names than an engine has is none of ours: all is counted, its further histograms are left out."""
    left_out = 0
    for number, (name, figures) in enumerate(frame.requests.items()):
        few = number <= REQUEST_NAMES_MAX
        place = place_of(name[:REQUEST_NAME_CHARACTERS_MAX], named) if few else FURTHER
        total = named.get(place)
        if total is None:
            total = named[place] = _Total(len(named))
        total.add(figures, histogram=few)
        left_out += bool(figures.service_us) and not few
    return left_out


def read_requests(connection: Connection, task_id: str) -> dict[str, RequestFigures]:
    """In the order in which the names came."""
    query = select(request_figures).where(request_figures.c.task == task_id).order_by(request_figures.c.place)
    return {
        row.name: RequestFigures(
            started=row.started,
            completed=row.completed,
            wrong=row.wrong,
            failed=dict(row.failed),
            statuses=dict(row.statuses),
            service_us=bytes(row.service_us),
        )
        for row in connection.execute(query)
    }
