"""The mastership record and its lease. What is compared with what is in the scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ha_stress.base.limits import EVENT_STREAM_MAX, FAILOVERS_KEPT_MAX
from ha_stress.bus.link import milliseconds
from ha_stress.bus.part import Part
from ha_stress.bus.records import record_from, record_of, text, to_json
from ha_stress.cluster.mastership import Mastership


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAnswer:
    """`held`: the lease is ours for the time asked for, counted from when we asked. `newest`: the stored record."""

    held: bool
    newest: Mastership


@dataclass(frozen=True, slots=True, kw_only=True)
class AwardAnswer:
    """`won`: the record was written. `newest` is the record that stands now. `late`: nothing stood against the award but its
    own age; whoever still wants it must be elected again."""

    won: bool
    newest: Mastership
    late: bool = False


#: For how long after it was announced an award may be carried out: longer than its sender waits for an answer, so that an
#: award is refused as late only when nobody waits for it any more.
AWARD_TICKET_S = 1.5


def _identity(record: Mastership) -> tuple[str, str, str]:
    return str(record.epoch), record.node, record.incarnation


class MastershipPart(Part):
    async def mastership(self) -> Mastership:
        """The stored record; NOBODY if there is none."""
        key = self.keys.mastership
        return record_of(await self._link.call(lambda client: client.hgetall(key), key), key)

    async def claim_first(self, node: str, incarnation: str, lease_ttl_s: float) -> Mastership:
        """Take part in the race of the first masters; returns the record that stands afterwards.

        Creates epoch 1, with its lease, only if no record exists; an existing record is returned as it is. NOBODY means
        that a lease is left over from a lost record: ask again when it has run out.
        """
        ttl_ms = milliseconds(lease_ttl_s, "a lease")
        keys = (self.keys.mastership, self.keys.lease)
        args = (node, incarnation, ttl_ms, "first master", self.keys.election_channel)
        return record_from(await self._link.run("claim_first", keys, args))

    async def hold_lease(self, record: Mastership, ttl_s: float) -> LeaseAnswer:
        """Take or renew the lease; refused unless the stored record names exactly this epoch, node and incarnation."""
        ttl_ms = milliseconds(ttl_s, "a lease")
        keys = (self.keys.mastership, self.keys.lease)
        held, newest = await self._link.run("hold_lease", keys, (*_identity(record), ttl_ms))
        return LeaseAnswer(held=bool(held), newest=record_from(newest))

    async def release_lease(self, record: Mastership) -> bool:
        """Give up the lease; False if it was not this record's."""
        return bool(await self._link.run("release_lease", (self.keys.lease,), (":".join(_identity(record)),)))

    async def lease_owner(self) -> str:
        """ "epoch:node:incarnation", or "" if nobody holds the lease."""
        return text(await self._link.call(lambda client: client.get(self.keys.lease), self.keys.lease) or b"")

    async def award(self, record: Mastership, *, failover: dict[str, Any], source: str) -> AwardAnswer:
        """Name a new master under a higher epoch. Lost (nothing changes) if the stored epoch is not lower.

        A request can reach Redis long after its sender has given up: Redis stalls, a segment is sent again. Then the master
        that it replaces may be well again, and the next campaign is none of that election's business. So an award needs a
        ticket, which Redis has acknowledged just before and lets run out after AWARD_TICKET_S.
        """
        await self.announce_award(record, source=source)
        return await self.award_announced(record, failover=failover, source=source)

    async def announce_award(self, record: Mastership, *, source: str) -> None:
        """The first step of an award: its ticket."""
        key, ttl_ms = self.keys.award_ticket(record.epoch, source), milliseconds(AWARD_TICKET_S, "a ticket")
        await self._link.call(lambda client: client.set(key, "1", px=ttl_ms))

    async def award_announced(self, record: Mastership, *, failover: dict[str, Any], source: str) -> AwardAnswer:
        """The second step of an award: spent ticket, record, dropped lease, event +switch-master, failover record and
        announcement, all or nothing."""
        keys = (
            self.keys.mastership,
            self.keys.lease,
            self.keys.events,
            self.keys.event_sequence,
            self.keys.failovers,
            self.keys.award_ticket(record.epoch, source),
        )
        args = (
            *_identity(record),
            record.why,
            source,
            to_json(failover, "the failover record"),
            self.keys.election_channel,
            self.keys.events_channel,
            EVENT_STREAM_MAX,
            FAILOVERS_KEPT_MAX,
        )
        # Not repeated by itself: a second attempt would meet its own record and say "lost".
        won, newest, late = await self._link.run("award", keys, args, again=False)
        return AwardAnswer(won=bool(won), newest=record_from(newest), late=bool(late))

    async def announce(self, record: Mastership) -> bool:
        """Publish the record on the election channel again; False, and nothing is said, if it no longer stands."""
        args = (*_identity(record), record.why, self.keys.election_channel)
        return bool(await self._link.run("announce", (self.keys.mastership,), args))

    async def repair(self, record: Mastership) -> bool:
        """Write `record` if the stored epoch is lower, and drop a lease of a lower epoch. True if it was written; the
        caller says so with an event."""
        keys = (self.keys.mastership, self.keys.lease)
        args = (*_identity(record), record.why, self.keys.election_channel)
        return bool(await self._link.run("repair", keys, args, again=False))
