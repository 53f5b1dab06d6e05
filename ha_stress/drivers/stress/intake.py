"""From the result stream to the database: read, commit under the epoch, acknowledge, drop. In that order.

Whatever dies between two of these steps, the next master does them again: a frame that was committed already is a
duplicate, and nothing is dropped from the stream before it is committed. So the stream is always read from its beginning,
which also holds after Redis has lost its data and its ids count from somewhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from ha_stress import log
from ha_stress.base.errors import ProtocolError, Unavailable
from ha_stress.base.limits import FRAMES_PER_COMMIT_MAX
from ha_stress.cluster.mastership import Mastership
from ha_stress.drivers.interface import NodeServices
from ha_stress.tasks.ledger import Row

_log = log.get(__name__)

#: Frames come about once a second from each engine; a fifth of that is what the books may lag behind.
_PAUSE_S = 0.2
#: While no task is open there is nothing to lag behind; what may still come are frames that were sent twice.
_IDLE_PAUSE_S = 1.0
_RETRY_S = 1.0


class Intake:
    """The aggregator of one epoch. `rows` are the committed sums of the tasks that are followed."""

    def __init__(self, node: NodeServices, record: Mastership, on_change: Callable[[], None]) -> None:
        self._node = node
        self._record = record
        self._on_change = on_change
        self.rows: dict[str, Sequence[Row]] = {}
        #: Whether `rows` contained all of the stream when it was looked at last.
        self.drained = False
        self._recheck = False
        self._followed: set[str] = set()
        self._stale: set[str] = set()

    def follow(self, task: str) -> None:
        """Read the sums of a task, and keep them true from now on. Only `run` reads them, so they never go back."""
        if task not in self._followed:
            self._followed.add(task)
            self._stale.add(task)
            self.drained = False

    def recheck(self) -> None:
        """Somebody is gone: `drained` has to be found out again by a look that begins from now on."""
        self.drained = False
        self._recheck = True

    def forget(self, task: str) -> None:
        self._followed.discard(task)
        self._stale.discard(task)
        self.rows.pop(task, None)

    async def run(self) -> None:
        """Raises Fenced when a newer master commits."""
        while True:
            await self._node.wait_may_act()
            try:
                full = await self._commit()
                pause_s = 0.0 if full else _PAUSE_S if self._followed else _IDLE_PAUSE_S
            except (Unavailable, ProtocolError) as error:
                _log.warning("results wait", problem=str(error))
                pause_s = _RETRY_S
            await trio.sleep(pause_s)

    async def _commit(self) -> bool:
        """One batch; whether there may be more."""
        self._recheck = False
        entries = await self._node.bus.read_frames("", FRAMES_PER_COMMIT_MAX)
        if entries:
            self.drained = False
            frames, last = [frame for _, frame in entries], entries[-1][0]
            committed = await self._node.store.commit_frames(self._record, frames, last)
            if committed.refused or committed.unreadable:
                _log.warning("some results are not usable", refused=committed.refused, unreadable=committed.unreadable)
            self._stale |= {frame.task for frame in frames} & self._followed
            await self._node.bus.mark_committed(committed.marks)
            await self._node.bus.drop_frames(last)
        await self._refresh()
        full = len(entries) == FRAMES_PER_COMMIT_MAX
        if not (full or self._stale or self._recheck or self.drained):
            self.drained = True
            self._on_change()
        return full

    async def _refresh(self) -> None:
        for task in sorted(self._stale):
            rows = await self._node.store.rows(task)
            if task in self._followed:
                self.rows[task] = rows
            self._stale.discard(task)


async def copy_failovers(node: NodeServices, record: Mastership) -> None:
    """Keep the history of failovers in the database too, for ever."""
    copied = None
    while True:
        await node.wait_may_act()
        try:
            if copied is None:
                copied = await node.store.failovers()
            for epoch, data in (await node.bus.failovers()).items():
                if copied.get(epoch) != data:
                    await node.store.save_failover(record, epoch, data)
                    copied[epoch] = data
        except (Unavailable, ProtocolError) as error:
            _log.warning("failover records wait", problem=str(error))
        await trio.sleep(node.config.timing.reread_s)
