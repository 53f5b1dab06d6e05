"""The control protocol between a node and its engines: length-prefixed msgpack of plain dicts over a socketpair.

    node -> engine   apply {n, shares}      the full desired state; n grows
                     go {}                  after `stalled`: the assignment has been read again, carry on
    engine -> node   report {...}           see `account.Account.cut`
                     idle {n, idle}         whether anything is outstanding after apply number n
                     stalled {slept_s}      this process did not run for a while; it sends nothing until `go`

Both ends are the same version by construction, so a message that cannot be read is a bug and ends the process.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgpack

from ha_stress.tasks.schedule import Part, TaskShare
from ha_stress.tasks.spec import HttpRequest

_LENGTH: Final = struct.Struct(">I")


def frame(message: dict[str, Any]) -> bytes:
    """One message as it travels."""
    packed: bytes = msgpack.packb(message, use_bin_type=True)
    return _LENGTH.pack(len(packed)) + packed


class Deframer:
    """Bytes in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            packed = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield msgpack.unpackb(packed, raw=False, strict_map_key=False)


def share_to_plain(share: TaskShare) -> dict[str, Any]:
    request = share.request
    return {
        "task": share.task,
        "request": [request.url, request.method, list(request.headers), request.body, request.timeout_s],
        "in_flight_max": share.in_flight_max,
        "started_at": share.started_at,
        "parts": [[p.revision, p.at_s, p.rate, p.modulus, list(p.slots), p.limit] for p in share.parts],
    }


def share_from_plain(plain: dict[str, Any]) -> TaskShare:
    url, method, headers, body, timeout_s = plain["request"]
    pairs = tuple((name, value) for name, value in headers)
    return TaskShare(
        task=plain["task"],
        request=HttpRequest(url=url, method=method, headers=pairs, body=body, timeout_s=timeout_s),
        in_flight_max=plain["in_flight_max"],
        started_at=plain["started_at"],
        parts=tuple(
            Part(revision=revision, at_s=at_s, rate=rate, modulus=modulus, slots=tuple(slots), limit=limit)
            for revision, at_s, rate, modulus, slots, limit in plain["parts"]
        ),
    )
