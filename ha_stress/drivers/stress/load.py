"""What a node's engines are to run: the newest shares, the stored files that they name, and whether anybody governs them.

A share starts once its files are here, so that its requests are whole; those that need none do not wait for it. The files
of the shares are held as long as the shares are, and no others.

An *orphan* sends nothing and goes on counting: every arrival that comes due is dropped. So its books stay exact, and when it
is governed again there is no flood of what it missed. Users of the closed model just pause.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ha_stress import log
from ha_stress.base.errors import NotFound, Unavailable
from ha_stress.base.limits import WORKER_BLOBS_BYTES_MAX
from ha_stress.engines.pool import EnginePool
from ha_stress.store.store import Store
from ha_stress.tasks.digests import digests_of
from ha_stress.tasks.schedule import TaskShare
from ha_stress.worker.core import muted

_log = log.get(__name__)

#: Between two tries to read a file from a database that does not answer.
_RETRY_S = 0.5


class Load:
    """`fetch` must be running. What `run` and `govern` ask for is carried out when they return, but for shares whose files
    are not here yet."""

    def __init__(self, pool: EnginePool, store: Store) -> None:
        self.shares: tuple[TaskShare, ...] = ()
        self.orphan = False
        self._pool = pool
        self._store = store
        self._muted = False  # as the engines have it
        self._blobs: dict[str, bytes] = {}
        self._absent: set[str] = set()
        self._turn = trio.Lock()
        self._wanting = trio.Event()
        self._idle_news = trio.Event()

    async def run(self, shares: Sequence[TaskShare]) -> None:
        """Run exactly these. Whoever hands them out governs this node."""
        async with self._turn:
            self.orphan = False
            self.shares = tuple(shares)
            await self._carry_out()

    async def govern(self, *, orphan: bool) -> None:
        async with self._turn:
            self.orphan = orphan
            await self._carry_out()

    def on_idle(self) -> None:
        """The pool's `idle` may have changed."""
        self._idle_news.set()

    async def fetch(self) -> None:
        """Read the files that are missing, for ever; one that is not stored (any more) is done without."""
        while True:
            await self._wanting.wait()
            self._wanting = trio.Event()
            while missing := self._missing():
                try:
                    data = await self._store.blob(missing[0])
                except NotFound as error:
                    _log.warning("a stored file is gone; arrivals that need it will fail", problem=str(error))
                    self._absent.add(missing[0])
                except Unavailable as error:
                    _log.warning("a stored file cannot be read; its share waits", problem=str(error))
                    await trio.sleep(_RETRY_S)
                    continue
                else:
                    self._keep(missing[0], data)
                async with self._turn:
                    await self._carry_out()

    def _keep(self, digest: str, data: bytes) -> None:
        if sum(map(len, self._blobs.values())) + len(data) <= WORKER_BLOBS_BYTES_MAX:
            self._blobs[digest] = data
            return
        _log.warning("too much stored data for one node; arrivals that need it will fail", digest=digest)
        self._absent.add(digest)

    def _named(self) -> frozenset[str]:
        return frozenset().union(*map(digests_of, self.shares))

    def _missing(self) -> list[str]:
        return sorted(self._named() - self._blobs.keys() - self._absent)

    async def _carry_out(self) -> None:
        named = self._named()
        self._blobs = {digest: data for digest, data in self._blobs.items() if digest in named}
        self._absent &= named
        there = self._blobs.keys() | self._absent
        ready = [share for share in self.shares if digests_of(share) <= there]
        if self._muted != self.orphan:
            await self._end_all()
            self._muted = self.orphan
        await self._pool.apply(muted(ready) if self.orphan else ready, self._blobs)
        if self._missing():
            self._wanting.set()

    async def _end_all(self) -> None:
        """Whatever is under way ends, and every connection is closed: a share is made anew only if it was taken away."""
        await self._pool.apply(())
        while not self._pool.idle:
            self._idle_news = trio.Event()
            await self._idle_news.wait()
