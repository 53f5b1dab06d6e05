"""The coordination bus: everything that the cluster keeps in Redis, as methods with types.

    async with open_bus("redis://127.0.0.1:6379/0", "default") as bus:
        record = await bus.mastership()
        async with bus.subscribe(bus.keys.election_channel) as hints:
            async for hint in hints: ...

Redis need not be up when the bus is opened. Every method raises BusUnavailable when Redis does not answer in time,
and ProtocolError when a key holds what this version cannot read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from ha_stress.base.ids import check_name
from ha_stress.bus.controls import ControlsPart
from ha_stress.bus.diagnosis import DiagnosisPart
from ha_stress.bus.feed import Feed, Hint, Resubscribed
from ha_stress.bus.history import HistoryPart
from ha_stress.bus.link import Link, pool_for
from ha_stress.bus.mastership import AwardAnswer, LeaseAnswer, MastershipPart
from ha_stress.bus.members import MembersPart
from ha_stress.bus.notifications import NotificationsPart
from ha_stress.bus.records import Undecodable
from ha_stress.bus.work import WorkPart
from ha_stress.wire.keys import Keys

__all__ = ["AwardAnswer", "Bus", "Hint", "LeaseAnswer", "Resubscribed", "open_bus"]


class Bus(MastershipPart, MembersPart, WorkPart, HistoryPart, ControlsPart, DiagnosisPart, NotificationsPart):
    """One process's access to the records of one cluster. Made by `open_bus`."""

    def __init__(self, link: Link, feed: Feed, cluster: str) -> None:
        self.keys = Keys(check_name("cluster", cluster), link.database)
        self._link = link
        self._feed = feed
        self._undecodable = Undecodable()

    @property
    def where(self) -> str:
        """The URL without credentials."""
        return self._link.where

    @property
    def undecodable(self) -> int:
        """How many stored entries were skipped because they could not be read."""
        return self._undecodable.count

    async def ping(self) -> None:
        """Return if Redis answers."""
        await self._link.call(lambda client: client.ping())

    def subscribe(self, *channels: str) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[Hint | Resubscribed]]:
        """Receive what is published on `channels`.

        `Resubscribed` comes first, after each reconnect, and in place of hints for which there was no room: it means
        "read the records again". Nothing comes while Redis is away.
        """
        return self._feed.subscribe(*channels)


@asynccontextmanager
async def open_bus(url: str, cluster: str) -> AsyncIterator[Bus]:
    """Open the bus of `cluster` at a redis://, rediss:// or unix:// URL. ConfigError if the URL cannot be used."""
    link = Link(url)
    feed = Feed(pool_for(url, 1), link.where)
    try:
        yield Bus(link, feed, cluster)
    finally:
        await feed.aclose()
        link.close()
