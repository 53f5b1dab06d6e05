"""How a node is on the list: registered, described each period, taken off when it leaves."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ha_stress import log
from ha_stress.base.clock import Clock
from ha_stress.base.config import NodeConfig
from ha_stress.base.errors import Conflict
from ha_stress.bus.attempts import Attempts
from ha_stress.bus.client import Bus
from ha_stress.cluster.members import NodeInfo
from ha_stress.node.ownership import Ownership, Verdict


class Presence:
    """`describe` gives this node's present description; `sequence` is 0 until it is registered."""

    def __init__(
        self, bus: Bus, config: NodeConfig, incarnation: str, describe: Callable[[], NodeInfo], clock: Clock
    ) -> None:
        self.sequence = 0
        self._bus = bus
        self._config = config
        self._incarnation = incarnation
        self._describe = describe
        self._clock = clock
        self._ownership = Ownership(config.timing.info_expiry_s)
        self._speaking = trio.Lock()  # a description that is still on its way must not come after the goodbye
        self._gone = False
        self._log = log.get("node").bind(node=config.id)
        self._attempts = Attempts(self._log)

    async def register(self) -> None:
        """Wait for Redis if need be."""
        while True:
            registration = self._bus.register(self._config.id, self._incarnation, self.sequence)
            sequence = await self._attempts.make("register", registration)
            if sequence is not None:
                self.sequence = sequence
                return
            await trio.sleep(self._config.timing.resend_s)

    async def publish(self) -> None:
        """Describe this node. Conflict if another process speaks under its id: there can be one, and the newer one is it."""
        async with self._speaking:
            if self._gone:
                return
            verdict = await self._attempts.make("describe this node", self._describe_once())
        if verdict is Verdict.END:
            other = f"another process has registered as {self._config.id}, so this one ends"
            raise Conflict(f"{other}; if it is not its successor, give each node an id of its own")
        if verdict is Verdict.REGISTER:
            self._log.warning("registering again: whoever registered last under this id says nothing")
            await self.register()

    async def _describe_once(self) -> Verdict:
        if await self._bus.publish_info(self._describe(), self._config.timing.info_expiry_s):
            self._ownership.granted()
            return Verdict.WAIT
        return self._ownership.refused(self._clock.now(), other_speaks=await self._other_speaks())

    async def _other_speaks(self) -> bool:
        infos = await self._bus.nodes()
        return any(info.id == self._config.id and info.incarnation != self._incarnation for info in infos)

    async def leave(self) -> None:
        """Be taken off the list, for good. BusUnavailable or ProtocolError if Redis does not do it: then the description
        runs out by itself."""
        async with self._speaking:
            self._gone = True
            await self._bus.remove_node(self._config.id, self._incarnation)
