"""What verdicts are made of: sums of frames, without their histograms. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, case, func, select

from ha_stress.store.reading import read_rows
from ha_stress.store.schema import frames, ledger
from ha_stress.store.series import Piece
from ha_stress.tasks.distribution import Sum
from ha_stress.tasks.judging import Packed, Second
from ha_stress.tasks.ledger import COUNTERS, Counters, add
from ha_stress.tasks.verdict import BUSY_CORE_SHARE, EngineUse

_BUSY_US: Final = int(BUSY_CORE_SHARE * 1_000_000)


def read_counted(connection: Connection, task_id: str) -> Counters:
    """The sums of a task without its warm-up; failures are not told apart (all are under the name `failed`).

    They are the ledger without the frames of the warm-up, which are few.
    """
    names = (*COUNTERS, "failed_total")
    sums = [func.coalesce(func.sum(frames.c[name]), 0).label(name) for name in names]
    warm_up = connection.execute(select(*sums).where(frames.c.task == task_id, frames.c.warm_up)).one()
    total = add(row.counters for row in read_rows(connection, task_id))  # second, so that it is never less than those
    numbers: dict[str, Any] = {name: getattr(total, name) - int(getattr(warm_up, name)) for name in names}
    failed = numbers.pop("failed_total")
    return Counters(**numbers, failed={"failed": failed})


def read_engine_use(connection: Connection, task_id: str, first: int, last: int) -> EngineUse:
    """How busy the engines of a task were under the labels from `first` to `last`, with whatever else they did: each frame
    has its task's part of the engine's time."""
    engine = (frames.c.node, frames.c.incarnation, frames.c.engine, frames.c.second)
    mine = func.max(case((frames.c.task == task_id, 1), else_=0))
    nodes = select(ledger.c.node).where(ledger.c.task == task_id)
    beside = select(ledger.c.task).where(ledger.c.node.in_(nodes))
    used = (
        select(func.sum(frames.c.cpu_us).label("cpu_us"))
        .where(frames.c.task.in_(beside), frames.c.second >= first, frames.c.second <= last)
        .group_by(*engine)
        .having(mine == 1)
        .subquery()
    )
    busy = func.coalesce(func.sum(case((used.c.cpu_us > _BUSY_US, 1), else_=0)), 0)
    count, busy_count, peak_us = connection.execute(
        select(func.count(), busy, func.coalesce(func.max(used.c.cpu_us), 0)).select_from(used)
    ).one()
    return EngineUse(seconds=int(count), busy=int(busy_count), peak=int(peak_us) / 1e6)


def seconds_of(pieces: Iterable[Piece]) -> list[Second]:
    """Frames summed by label, but for those of the warm-up. Decodes their histograms: not to be called on a loop."""
    parts: dict[int, list[Piece]] = {}
    for piece in pieces:
        if piece.warm_up:
            continue
        label = piece.place[0]  # the second that ends it
        parts.setdefault(label, []).append(piece)
    return [_second(label, some) for label, some in sorted(parts.items())]


def _second(label: int, pieces: list[Piece]) -> Second:
    response, service = Sum(), Sum()
    for piece in pieces:
        response.add(piece.response_us)
        service.add(piece.service_us)
    return Second(
        label=label,
        counters=add(piece.counters for piece in pieces),
        response=Packed(response.distribution()),
        service=Packed(service.distribution()),
    )
