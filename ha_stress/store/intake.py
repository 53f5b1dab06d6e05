"""Commit result frames: each once, and from the accepted ones the ledger, the merged latencies, the figures by name and
the marks.

All of it is one transaction, so the sums are always the sums of exactly the stored frames, whatever arrives twice, late
or in another order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select, tuple_, update

from ha_stress.cluster.mastership import Mastership
from ha_stress.store.by_name import add_requests, storable_requests
from ha_stress.store.marks import advance
from ha_stress.store.reading import counters_of
from ha_stress.store.records import Committed
from ha_stress.store.schema import frames, intake, latencies, ledger, marks
from ha_stress.store.state import move_fence
from ha_stress.store.upsert import insert, upsert
from ha_stress.tasks.distribution import Sum
from ha_stress.tasks.ledger import COUNTERS, MAPS, Counters, Frame, add
from ha_stress.tasks.schedule import Holder

Identity = tuple[str, str, int]

#: Room for the sum of a thousand such frames in a column of 63 bits, and exact in JSON.
NUMBER_MAX: Final = 1 << 53


def commit_frames(connection: Connection, record: Mastership, batch: Sequence[Frame], position: str) -> Committed:
    """`position` is the stream id up to which the batch was read; "" leaves the stored one."""
    move_fence(connection, record, "result frames")
    refused = [frame for frame in batch if not storable(frame)]
    once = {identity(frame): frame for frame in reversed(batch) if storable(frame)}
    accepted = _insert(connection, record, list(once.values()))
    unreadable = 0
    if accepted:
        _add_to_ledger(connection, record, accepted)
        unreadable = _add_to_latencies(connection, record, accepted) + add_requests(connection, record, accepted)
    reached = _advance_marks(connection, record, once.values(), [*accepted, *filter(_countable, refused)])
    if position:
        connection.execute(update(intake).values(position=position, epoch=record.epoch))
    return Committed(
        accepted=len(accepted),
        duplicates=len(batch) - len(refused) - len(accepted),
        marks=reached,
        refused=len(refused),
        unreadable=unreadable,
    )


def identity(frame: Frame) -> Identity:
    return frame.node, frame.incarnation, frame.sequence


def storable(frame: Frame) -> bool:
    """Whether the columns can hold it. One frame that they cannot hold must not block all others for ever."""
    c = frame.counters
    numbers = [frame.sequence, frame.revision, frame.engine, frame.epoch, frame.second]
    maps = [getattr(c, name) for name in MAPS]
    numbers += [*(getattr(c, name) for name in COUNTERS), *(count for one in maps for count in one.values())]
    names = [frame.node, frame.incarnation, frame.task, *(name for one in maps for name in one)]
    if not all(0 <= number < NUMBER_MAX for number in numbers) or any("\0" in name for name in names):
        return False
    return storable_requests(frame, NUMBER_MAX)


def _countable(frame: Frame) -> bool:
    """Whether a refused frame can at least be marked as done: a gap would keep back every acknowledgement after it."""
    return 0 < frame.sequence < NUMBER_MAX and "\0" not in frame.node + frame.incarnation


def _insert(connection: Connection, record: Mastership, once: list[Frame]) -> list[Frame]:
    """The frames that were not there before, in the order of their identity."""
    if not once:
        return []
    statement = insert(connection, frames).on_conflict_do_nothing()
    added = connection.execute(
        statement.returning(frames.c.node, frames.c.incarnation, frames.c.sequence),
        [_frame_row(frame, record.epoch) for frame in once],
    )
    fresh = {(row.node, row.incarnation, row.sequence) for row in added}
    return sorted((frame for frame in once if identity(frame) in fresh), key=identity)


def _frame_row(frame: Frame, written_epoch: int) -> dict[str, Any]:
    return {
        "node": frame.node,
        "incarnation": frame.incarnation,
        "sequence": frame.sequence,
        "task": frame.task,
        "revision": frame.revision,
        "engine": frame.engine,
        "epoch": frame.epoch,
        "second": frame.second,
        "warm_up": frame.warm_up,
        **_counter_columns(frame.counters),
        "failed_total": frame.counters.failed_total,
        "response_us": frame.response_us,
        "service_us": frame.service_us,
        "written_epoch": written_epoch,
    }


def _counter_columns(counters: Counters) -> dict[str, Any]:
    numbers = {name: getattr(counters, name) for name in COUNTERS}
    return {**numbers, **{name: dict(getattr(counters, name)) for name in MAPS}}


def _add_to_ledger(connection: Connection, record: Mastership, accepted: list[Frame]) -> None:
    parts: dict[tuple[str, int, str, str], list[Counters]] = {}
    for frame in accepted:
        parts.setdefault((frame.task, frame.revision, frame.node, frame.incarnation), []).append(frame.counters)
    key = tuple_(ledger.c.task, ledger.c.revision, ledger.c.node, ledger.c.incarnation)
    for row in connection.execute(select(ledger).where(key.in_(list(parts)))):
        parts[row.task, row.revision, row.node, row.incarnation].append(counters_of(row))
    rows = [
        {
            "task": task,
            "revision": revision,
            "node": node,
            "incarnation": incarnation,
            **_counter_columns(add(counters)),
            "epoch": record.epoch,
        }
        for (task, revision, node, incarnation), counters in parts.items()
    ]
    upsert(connection, ledger, rows)


def _add_to_latencies(connection: Connection, record: Mastership, accepted: list[Frame]) -> int:
    """Merge once a task. Returns how many histograms could not be read."""
    sums: dict[str, tuple[Sum, Sum]] = {}
    for frame in accepted:
        if frame.response_us or frame.service_us:
            response, service = sums.setdefault(frame.task, (Sum(), Sum()))
            response.add(frame.response_us)
            service.add(frame.service_us)
    for row in connection.execute(select(latencies).where(latencies.c.task.in_(list(sums)))):
        response, service = sums[row.task]
        response.add(row.response_us)
        service.add(row.service_us)
    rows = [
        {"task": task, "response_us": response.encode(), "service_us": service.encode(), "epoch": record.epoch}
        for task, (response, service) in sums.items()
    ]
    upsert(connection, latencies, rows)
    return sum(one.unreadable for both in sums.values() for one in both)


def _advance_marks(
    connection: Connection, record: Mastership, seen: Iterable[Frame], done: list[Frame]
) -> dict[Holder, int]:
    """The marks of all holders in the batch; those of whom a frame is newly `done` (stored or refused) are moved."""
    fresh: dict[Holder, list[int]] = {Holder(frame.node, frame.incarnation): [] for frame in (*seen, *done)}
    for frame in done:
        fresh[Holder(frame.node, frame.incarnation)].append(frame.sequence)
    key = tuple_(marks.c.node, marks.c.incarnation)
    stored = {
        Holder(row.node, row.incarnation): (row.contiguous, [(first, last) for first, last in row.islands])
        for row in connection.execute(select(marks).where(key.in_([(h.node, h.incarnation) for h in fresh])))
    }
    reached: dict[Holder, int] = {}
    rows = []
    for holder, sequences in fresh.items():
        contiguous, islands = advance(*stored.get(holder, (0, [])), sequences)
        reached[holder] = contiguous
        if sequences:
            rows.append(
                {
                    "node": holder.node,
                    "incarnation": holder.incarnation,
                    "contiguous": contiguous,
                    "islands": islands,
                    "epoch": record.epoch,
                }
            )
    upsert(connection, marks, rows)
    return reached
