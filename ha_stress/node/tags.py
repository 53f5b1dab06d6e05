"""What the operator says of this node. The record in Redis is the truth; a hint, a new subscription and time lead to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ha_stress import log
from ha_stress.base.errors import BusUnavailable, ProtocolError
from ha_stress.bus.client import Bus
from ha_stress.cluster.controls import Tags

#: Redis did not answer, or what it holds cannot be read: how long until the next look.
RETRY_S = 0.2


class NodeTags:
    """`now` are the newest tags that this node has read; they stay while Redis is away."""

    def __init__(self, bus: Bus, node: str) -> None:
        self.now = Tags()
        self._bus = bus
        self._node = node
        self._log = log.get("node").bind(node=node)

    def priority(self, configured: int) -> int:
        """The operator's word, or else what the node was configured with."""
        return configured if self.now.priority is None else self.now.priority

    async def follow(self, reread_s: float, on_change: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled."""
        async with self._bus.subscribe(self._bus.keys.controls_channel) as hints:
            while True:
                try:
                    tags = (await self._bus.controls()).tags.get(self._node, Tags())
                except (BusUnavailable, ProtocolError) as error:
                    self._log.debug("the operator's controls were not read", problem=str(error))
                    await trio.sleep(RETRY_S)
                    continue
                if tags != self.now:
                    self._log.info("tagged by the operator", priority=tags.priority, draining=tags.draining)
                    self.now = tags
                    await on_change()
                with trio.move_on_after(reread_s):
                    await hints.receive()
