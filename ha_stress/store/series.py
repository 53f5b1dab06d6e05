"""The course of a task: what its frames say, summed over stretches of time.

A frame is read once and its histograms are added exactly, so a percentile of a stretch is one of all its responses and never
a mean of percentiles. Reading is done in pages in the database's threads; adding is arithmetic and belongs into another
thread, outside of the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, tuple_

from ha_stress.store.reading import counters_of
from ha_stress.store.schema import frames
from ha_stress.tasks.distribution import Sum
from ha_stress.tasks.figures import add_maps
from ha_stress.tasks.ledger import Counters, add

#: (label, node, incarnation, sequence): frames in the order of time, each at a place of its own.
Place = tuple[int, str, str, int]


def before(second: int) -> Place:
    """The place before everything that happened in this Unix second."""
    return second + 1, "", "", 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The first and the last Unix second in which something happened."""

    first: int
    last: int

    @property
    def newest_label(self) -> int:
        """That of the newest frames: the second that ends them."""
        return self.last + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What a series needs of one frame."""

    place: Place
    warm_up: bool
    counters: Counters
    response_us: bytes
    service_us: bytes

    @property
    def second(self) -> int:
        """The Unix second in which it happened: a frame is labelled with the one that ends it."""
        return self.place[0] - 1

    @property
    def node(self) -> str:
        return self.place[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`width_s` seconds from the Unix second `second` on. `started` is by node; the histograms are in microseconds."""

    second: int
    width_s: int
    counters: Counters
    started: Mapping[str, int]
    response: Sum
    service: Sum


class Buckets:
    """Adds pieces, which come in the order of time. The last bucket may be incomplete until it is known that no more come.

    `first` is the second at which the first bucket begins.
    """

    def __init__(self, first: int, width_s: int) -> None:
        assert width_s > 0
        self._first = first
        self._width_s = width_s
        self._buckets: dict[int, Bucket] = {}

    def add(self, pieces: Iterable[Piece]) -> None:
        parts: dict[int, list[Piece]] = {}
        for piece in pieces:
            parts.setdefault((piece.second - self._first) // self._width_s, []).append(piece)
        for number, some in parts.items():
            self._buckets[number] = self._added(number, some)

    def _added(self, number: int, pieces: list[Piece]) -> Bucket:
        before = self._buckets.get(number)
        response, service = (before.response, before.service) if before else (Sum(), Sum())
        for piece in pieces:
            response.add(piece.response_us)
            service.add(piece.service_us)
        counters = [piece.counters for piece in pieces]
        started = [{piece.node: piece.counters.started} for piece in pieces]
        return Bucket(
            second=self._first + number * self._width_s,
            width_s=self._width_s,
            counters=add([before.counters, *counters] if before else counters),
            started=add_maps([before.started, *started] if before else started),
            response=response,
            service=service,
        )

    def __len__(self) -> int:
        return len(self._buckets)

    def taken(self) -> list[Bucket]:
        """All that there are, oldest first. Seconds without a frame have none."""
        return [bucket for _, bucket in sorted(self._buckets.items())]


def read_span(connection: Connection, task_id: str) -> Span | None:
    """None while there is no frame of the task."""
    # Two questions: the index has the answer to each of them at one end, and to both together only by reading all of it.
    ends = [
        select(end(frames.c.second)).where(frames.c.task == task_id).scalar_subquery() for end in (func.min, func.max)
    ]
    first, last = connection.execute(select(*ends)).one()
    return None if first is None else Span(first=int(first) - 1, last=int(last) - 1)


def read_pieces(
    connection: Connection, task_id: str, *, after: Place, until: Place | None = None, limit: int
) -> list[Piece]:
    """The next `limit` frames of a task behind a place, and before another one if it is given."""
    place = tuple_(frames.c.second, frames.c.node, frames.c.incarnation, frames.c.sequence)
    query: Any = (
        select(frames)
        # The first condition says no more than the second one, but the index knows it.
        .where(frames.c.task == task_id, frames.c.second >= after[0], place > tuple_(*after))
        .order_by(frames.c.second, frames.c.node, frames.c.incarnation, frames.c.sequence)
        .limit(limit)
    )
    if until is not None:
        query = query.where(frames.c.second <= until[0], place < tuple_(*until))
    return [
        Piece(
            place=(row.second, row.node, row.incarnation, row.sequence),
            warm_up=bool(row.warm_up),
            counters=counters_of(row),
            response_us=bytes(row.response_us),
            service_us=bytes(row.service_us),
        )
        for row in connection.execute(query)
    ]
