"""Snapshots of the real cores: a core goes on the shelf as bytes and gets a number; equal cores get the same number.

Two cores are equal if every field that they are made of is equal, whatever fields those are: a field that is added to a core
is part of its identity from that day on. What is left out is listed here with its reason. Times are absolute (since the
beginning of the world), so no two moments are mixed up; they are compared to a tenth of a millisecond.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Hashable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

T = TypeVar("T")

TIME_DECIMALS = 4

#: Class and field -> why two cores that differ in it alone are the same.
NOT_IDENTITY: Mapping[str, Mapping[str, str]] = {
    "Sentinel": {
        "_out": "the effects of the last step, emptied by the next one before anything else",
        "_wall": "the clock for people",
    },
    "NodeCore": {"_out": "as in Sentinel"},
    "Campaign": {
        "marks": "moments for the failover's report; nothing is decided by them",
        "table": "the candidates for the failover's report; the winner is a field of its own",
    },
    "Checks": {
        "timeline": "where the time comes from",
        "counts": "statistics",
        "faults": "statistics",
        "violations": "taken out after every note",
    },
}
#: Emptied before a core is put away, since its next step does the same.
EMPTIED = "_out"


def frozen_fields(value: object) -> bool:
    """Whether this is a frozen dataclass or a settings model: a value that no step changes."""
    kind = type(value)
    known = _FROZEN.get(kind)
    if known is None:
        params = getattr(kind, "__dataclass_params__", None)
        known = _FROZEN[kind] = issubclass(kind, BaseModel) or bool(params is not None and params.frozen)
    return known


_FROZEN: dict[type, bool] = {}
_LEFT_OUT: dict[type, frozenset[str]] = {}


def left_out(kind: type) -> frozenset[str]:
    """The fields of a class that are not part of its identity, its base classes' included."""
    known = _LEFT_OUT.get(kind)
    if known is None:
        names = [name for base in kind.__mro__ for name in NOT_IDENTITY.get(base.__name__, ())]
        known = _LEFT_OUT[kind] = frozenset(names)
    return known


def fields_of(value: object) -> Iterator[tuple[str, Any]]:
    """Every field that an object has, from its dictionary and from its slots."""
    yield from getattr(value, "__dict__", {}).items()
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


def frozen(value: Any) -> Hashable:
    """What stands for a value in comparisons. The order of a dictionary is none of its meaning."""
    kind = type(value)
    if kind in ATOMS:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return round(float(value), TIME_DECIMALS)
    if frozen_fields(value):
        return _frozen_record(value)
    if isinstance(value, tuple | list):
        return tuple([frozen(item) for item in value])
    if isinstance(value, set | frozenset):
        return frozenset([frozen(item) for item in value])
    if isinstance(value, Mapping):
        return tuple(sorted([(frozen(key), frozen(item)) for key, item in value.items()], key=repr))
    if isinstance(value, Enum) or callable(value):
        return f"{kind.__qualname__} {getattr(value, '__qualname__', value)}"
    without = left_out(kind)
    own = tuple([(name, frozen(item)) for name, item in fields_of(value) if name not in without])
    if not own:
        raise TypeError(f"no way to compare a {kind.__name__}: teach tests/explore/shelf.py")
    return kind.__qualname__, own


ATOMS: Final = frozenset({type(None), bool, int, str, bytes})
#: Frozen records that have no hash, because there is a mapping in them, with what stands for them. The record itself is
#: kept, so that its id is never given to another one.
_HASHLESS: dict[int, tuple[object, Hashable]] = {}


def _frozen_record(value: Any) -> Hashable:
    if isinstance(value, BaseModel):
        return type(value).__name__  # settings: everybody's are the same in every state of one exploration
    known = _HASHLESS.get(id(value))
    if known is not None:
        return known[1]
    try:
        hash(value)
    except TypeError:
        key = (type(value).__qualname__, tuple([frozen(item) for _, item in fields_of(value)]))
        _HASHLESS[id(value)] = (value, key)
        return key
    return value  # type: ignore[no-any-return]


class Numbers(Generic[T]):
    """Gives equal values the same number, counted from 0 in the order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._values: list[T] = []

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, number: int) -> T:
        return self._values[number]

    def of(self, value: T) -> int:
        try:
            known = self._numbers.get(value)
            key: Hashable = value
        except TypeError:  # a frozen record with a mapping in it
            key = frozen(value)
            known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self._values)
            self._values.append(value)
        return known


class Shelf:
    """Holds cores of any class. What is taken down is a copy that may be stepped."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._bytes: list[bytes] = []
        self._shared: list[object] = []
        self._shared_numbers: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._bytes)

    def put(self, core: object) -> int:
        if hasattr(core, EMPTIED):
            setattr(core, EMPTIED, [])
        key = frozen(core)
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self._bytes)
            buffer = io.BytesIO()
            _Packer(buffer, self).dump(core)
            self._bytes.append(buffer.getvalue())
        return known

    def take(self, number: int) -> Any:
        return _Unpacker(io.BytesIO(self._bytes[number]), self._shared).load()

    def share(self, value: object) -> int:
        """A value that no step changes is kept once, outside of the bytes."""
        key: Hashable = id(value) if isinstance(value, BaseModel) else frozen(value)
        known = self._shared_numbers.get(key)
        if known is None:
            known = self._shared_numbers[key] = len(self._shared)
            self._shared.append(value)
        return known


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, shelf: Shelf) -> None:
        super().__init__(file, protocol=5)
        self._shelf = shelf

    def persistent_id(self, value: Any) -> int | None:
        return self._shelf.share(value) if frozen_fields(value) else None


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: list[object]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, number: int) -> object:
        return self._shared[number]
