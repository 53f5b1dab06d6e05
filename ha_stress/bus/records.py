"""Between Redis replies and the cluster's vocabulary. Whatever does not fit is a ProtocolError that names the key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ha_stress import log
from ha_stress.base.errors import ProtocolError
from ha_stress.base.limits import EPOCH_MAX
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.wire import codec

T = TypeVar("T")

_log = log.get(__name__)


def text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def number(value: Any, what: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ProtocolError(f"{what} is {value!r}, not a number") from None


def record_of(fields: Mapping[bytes, bytes], key: str) -> Mastership:
    """The hash at `key`; NOBODY if it does not exist."""
    if not fields:
        return NOBODY
    try:
        return record_from([fields.get(name) for name in (b"epoch", b"node", b"incarnation", b"why")])
    except ProtocolError as error:
        raise ProtocolError(f"Redis holds something unexpected under {key}: {error}") from None


def record_from(reply: Sequence[Any]) -> Mastership:
    """A script's {epoch, node, incarnation, why}."""
    epoch = number(reply[0], "the epoch of the mastership record")
    node, incarnation, why = (text(part or b"") for part in reply[1:4])
    if epoch == 0 and not node:
        return NOBODY
    if not 0 < epoch <= EPOCH_MAX or not node:  # to adopt an epoch that no cluster reaches would spread it, for ever
        raise ProtocolError(f"the mastership record is not readable: epoch {epoch}, node {node!r}")
    return Mastership(epoch=epoch, node=node, incarnation=incarnation, why=why)


def event_of(fields: Mapping[bytes, bytes]) -> Event:
    """One entry of the event stream."""
    plain = {text(key): text(value) for key, value in fields.items()}
    try:
        detail = json.loads(plain.get("detail") or "{}")
    except ValueError:
        raise ProtocolError(f"the detail of event {plain.get('sequence')} is not JSON") from None
    if not isinstance(detail, dict):
        raise ProtocolError(f"the detail of event {plain.get('sequence')} is not a JSON object")
    return Event(
        name=plain.get("name", ""),
        source=plain.get("source", ""),
        epoch=number(plain.get("epoch"), "the epoch of an event"),
        subject=plain.get("subject", ""),
        cause=plain.get("cause", ""),
        detail=detail,
        sequence=number(plain.get("sequence"), "the sequence of an event"),
        at_ms=number(plain.get("at_ms"), "the time of an event"),
    )


def to_json(value: Mapping[str, Any], what: str) -> str:
    """JSON of a detail or failover record. ProtocolError if it holds what JSON has no form for."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"{what} cannot be written as JSON: {error}") from None


class Undecodable:
    """Counts what had to be skipped, and logs each place once (bounded), so that one bad entry cannot fill the log."""

    _PLACES_MAX = 100

    def __init__(self) -> None:
        self.count = 0
        self._told: set[str] = set()

    def skip(self, place: str, error: ProtocolError) -> None:
        self.count += 1
        if place not in self._told and len(self._told) < self._PLACES_MAX:
            self._told.add(place)
            _log.warning("skipped an entry that cannot be read", place=place, problem=str(error), skipped=self.count)

    def decoded(self, cls: type[T], data: bytes, place: str) -> T | None:
        """The decoded value, or None if it was skipped."""
        try:
            return codec.decode(cls, data)
        except ProtocolError as error:
            self.skip(place, error)
            return None
