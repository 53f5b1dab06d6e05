"""The control protocol between a node and its engines: length-prefixed msgpack of plain dicts over a socketpair.

    node -> engine   apply {n, shares}      the full desired state; n grows
                     blob {digest, data}    a stored file that the next state names; forgotten with the last one to name it
                     go {}                  after `stalled`: the assignment has been read again, carry on
                     alive {}               every 0.2 s while the engine works: its node has not been suspended
    engine -> node   report {...}           see `account.Account.cut`
                     idle {n, idle}         whether anything is outstanding after apply number n
                     stalled {slept_s}      this process did not run for a while; it sends nothing until `go`
                     complaint {...}        the first failure of a kind in a task, for its author (exchange engines only)

Both ends are the same version by construction, so a message that cannot be read is a bug and ends the process.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgpack

from ha_stress.tasks.schedule import TaskShare

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
    """All of a share as dicts, tuples and scalars."""
    return asdict(share)


def share_from_plain(plain: dict[str, Any]) -> TaskShare:
    """The inverse of `share_to_plain`, after a journey through msgpack."""
    share: TaskShare = _builder(TaskShare)(plain)
    return share


@cache
def _builder(hint: Any) -> Callable[[Any], Any]:
    """How a plain value becomes one of this type again. It follows the annotations, so a new field needs nothing here;
    pydantic would do the same, and cost every engine 20 MB and a tenth of a second."""
    arguments = get_args(hint)
    made: Any = hint
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        builders = {one.name: _builder(hints[one.name]) for one in fields(hint)}
        return lambda plain: made(**{name: builders[name](value) for name, value in plain.items()})
    if get_origin(hint) is tuple:
        if arguments[0] in _SCALARS or arguments[-1] is not Ellipsis:
            return tuple
        one = _builder(arguments[0])
        return lambda plain: tuple([one(value) for value in plain])
    if type(None) in arguments:
        (inner,) = (_builder(argument) for argument in arguments if argument is not type(None))
        return lambda plain: None if plain is None else inner(plain)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return _as_it_is


def _as_it_is(plain: Any) -> Any:
    return plain


_SCALARS: Final = frozenset({int, float, str, bytes})
