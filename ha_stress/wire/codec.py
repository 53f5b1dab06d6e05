"""Encoding: dataclass <-> msgpack. Decoding checks types and bounds and raises ProtocolError, nothing else.

A packed value is `[type name, {field: value}]`. Unknown fields are ignored (a newer sender), missing ones take their
default (an older sender) or are an error. Mesh messages are bounded by MESH_MESSAGE_BYTES_MAX.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgpack
from pydantic import TypeAdapter, ValidationError

from ha_stress.base.errors import ProtocolError
from ha_stress.base.limits import EPOCH_MAX, MESH_MESSAGE_BYTES_MAX
from ha_stress.wire import messages

T = TypeVar("T")

_MESSAGES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        messages.Ping,
        messages.Pong,
        messages.Views,
        messages.PreVoteRequest,
        messages.PreVoteReply,
        messages.VoteRequest,
        messages.VoteReply,
        messages.Question,
        messages.Answer,
    )
}


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(cls: Any) -> TypeAdapter[Any]:
    """Built at first use and kept: building one takes longer than a thousand uses."""
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def to_plain(value: Any) -> Any:
    """A dataclass as dicts, lists and scalars."""
    return _adapter(type(value)).dump_python(value)


def from_plain(cls: type[T], plain: Any) -> T:
    """The inverse of `to_plain`; ProtocolError if `plain` does not have the shape of `cls`."""
    try:
        value: T = _adapter(cls).validate_python(plain)
    except (ValidationError, AssertionError) as error:
        raise ProtocolError(f"not a {cls.__name__}: {_first_problem(error)}") from None
    return value


def encode(value: Any) -> bytes:
    """One dataclass as msgpack. ProtocolError for what has no place in it: integers over 64 bits, broken text."""
    try:
        packed: bytes = msgpack.packb([type(value).__name__, to_plain(value)], use_bin_type=True)
    except (OverflowError, ValueError) as error:
        raise ProtocolError(f"a {type(value).__name__} cannot be encoded: {error}") from None
    return packed


def decode(cls: type[T], data: bytes) -> T:
    """The inverse of `encode` for a value whose type is known from its place."""
    name, plain = _unpack(data)
    if name != cls.__name__:
        raise ProtocolError(f"expected a {cls.__name__}, got a {name!r}")
    return from_plain(cls, plain)


def decode_message(data: bytes) -> messages.Message:
    """Any message of the mesh."""
    if len(data) > MESH_MESSAGE_BYTES_MAX:
        raise ProtocolError(f"a mesh message of {len(data)} bytes is over the limit")
    name, plain = _unpack(data)
    cls = _MESSAGES.get(name)
    if cls is None:
        raise ProtocolError(f"unknown message {name!r}")
    message: messages.Message = from_plain(cls, plain)
    _check_epochs(message)
    return message


def _check_epochs(message: messages.Message) -> None:
    """An epoch that no cluster reaches is a defect of the sender. To adopt it would spread it, and end all of us."""
    holders = (message, getattr(message, "record", None), getattr(message, "info", None))
    for holder in holders:
        for name in ("epoch", "voted_epoch", "leading_epoch"):
            if not 0 <= getattr(holder, name, 0) <= EPOCH_MAX:
                raise ProtocolError(f"a {type(message).__name__} names an impossible {name}")


def _unpack(data: bytes) -> tuple[str, Any]:
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except Exception as error:  # noqa: BLE001  msgpack raises a dozen unrelated types on bad input
        raise ProtocolError(f"not msgpack: {type(error).__name__}") from None
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
        raise ProtocolError("not a [type, fields] pair")
    return value[0], value[1]


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error)
