"""A Redis that is two values, the record and the lease; each script is one step. `lax` is a planted defect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ha_stress.cluster.mastership import NOBODY, Mastership
from tests.explore.settings import TIMING
from tests.sim.builds import Script

Owner = tuple[int, str, str]
#: A method of `tests.sim.checks.Checks` and its arguments.
Note = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Stored:
    record: Mastership = NOBODY
    lease: tuple[Owner, float] | None = None

    def owner(self, now: float) -> Owner | None:
        return self.lease[0] if self.lease is not None and now < self.lease[1] else None


@dataclass(frozen=True, slots=True)
class Ran:
    """What a script answered, what it left, and what there is to check."""

    result: Any
    stored: Stored
    notes: tuple[Note, ...] = ()


def run(stored: Stored, script: str, record: Mastership, now: float, lax: Script | None) -> Ran:
    """`record` is the one that the client names; for the first claim the one that it would like to stand."""
    match script:
        case "claim":
            return _claim(stored, record, now)
        case "hold":
            return _hold(stored, record, now, lax is Script.HOLD_LEASE)
        case "award":
            if record.epoch <= stored.record.epoch and lax is not Script.AWARD:
                return Ran(stored.record, stored)
            return Ran(record, Stored(record), (_wrote(stored, record),))
        case "repair":
            if record.epoch <= stored.record.epoch and lax is not Script.REPAIR:
                return Ran(False, stored)
            owner = stored.owner(now)
            keeps = owner is not None and owner[0] >= record.epoch
            return Ran(True, Stored(record, stored.lease if keeps else None), (_wrote(stored, record),))
    raise ValueError(script)


def _claim(stored: Stored, record: Mastership, now: float) -> Ran:
    if stored.record.epoch or stored.owner(now) is not None:
        return Ran(stored.record, stored)
    notes = (_wrote(stored, record), _lent(_as_owner(record), record))
    return Ran(record, _lend(Stored(record), record, now), notes)


def _hold(stored: Stored, record: Mastership, now: float, lax: bool) -> Ran:
    mine, owner = _as_owner(record), stored.owner(now)
    free = owner is None or owner == mine or owner[0] < record.epoch
    if lax or (stored.record == record and record.epoch and free):
        return Ran((True, record), _lend(stored, record, now), (_lent(mine, stored.record),))
    return Ran((False, stored.record), stored)


def _as_owner(record: Mastership) -> Owner:
    return record.epoch, record.node, record.incarnation


def _lend(stored: Stored, record: Mastership, now: float) -> Stored:
    return replace(stored, lease=(_as_owner(record), now + TIMING.lease_ttl_s))


def _wrote(stored: Stored, record: Mastership) -> Note:
    return "redis_wrote", (stored.record, record)


def _lent(owner: Owner, record: Mastership) -> Note:
    return "lease_given", (owner, record)
