"""What verdicts are made of: sums of frames, without their histograms. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, case, func, select
from sqlalchemy import Row as SqlRow

from ha_stress.store.reading import read_rows
from ha_stress.store.schema import frames, ledger
from ha_stress.store.series import Piece
from ha_stress.tasks.distribution import Sum
from ha_stress.tasks.judging import Packed, Second
from ha_stress.tasks.ledger import COUNTERS, Counters, Row, add
from ha_stress.tasks.schedule import Holder
from ha_stress.tasks.verdict import BUSY_CORE_SHARE, EngineUse

_SUMMED: Final = (*COUNTERS, "failed_total")
_BUSY_US: Final = int(BUSY_CORE_SHARE * 1_000_000)


def read_counted(connection: Connection, task_id: str) -> list[Row]:
    """The ledger of a task without its warm-up; failures are not told apart (all are under the name `failed`).

    It is the ledger without the frames of the warm-up, which are few.
    """
    key = (frames.c.revision, frames.c.node, frames.c.incarnation)
    sums = [func.sum(frames.c[name]).label(name) for name in _SUMMED]
    query = select(*key, *sums).where(frames.c.task == task_id, frames.c.warm_up).group_by(*key)
    warm_up = {(one.revision, Holder(one.node, one.incarnation)): one for one in connection.execute(query)}
    rows = read_rows(connection, task_id)  # second, so that it is never less than those
    return [_without(row, warm_up.get((row.revision, row.holder))) for row in rows]


def _without(row: Row, warm_up: SqlRow[Any] | None) -> Row:
    numbers = {name: getattr(row.counters, name) - int(getattr(warm_up, name, 0)) for name in _SUMMED}
    failed = numbers.pop("failed_total")
    return replace(row, counters=Counters(**numbers, failed={"failed": failed}))


def read_frame_count(connection: Connection, task_id: str, first: int, last: int) -> int:
    """How many frames there are under the labels from `first` to `last`, without those of the warm-up."""
    mine = (frames.c.task == task_id, frames.c.second >= first, frames.c.second <= last, ~frames.c.warm_up)
    return connection.execute(select(func.count()).select_from(frames).where(*mine)).scalar_one()


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
        frames=len(pieces),
        counters=add(piece.counters for piece in pieces),
        response=Packed(response.distribution()),
        service=Packed(service.distribution()),
    )
