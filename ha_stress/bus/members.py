"""Who is there: nodes and sentinels as they describe themselves."""

from __future__ import annotations

from typing import Any

from ha_stress.bus.link import milliseconds
from ha_stress.bus.part import Part
from ha_stress.bus.records import text
from ha_stress.cluster.members import NodeInfo, SentinelInfo
from ha_stress.wire.codec import encode


class MembersPart(Part):
    async def register(self, node_id: str, incarnation: str, sequence: int = 0) -> int:
        """Join as the process that now owns `node_id`. Returns the id's sequence number: stable, never given to another.

        `sequence` above 0 is what the node already knows; it is restored if Redis lost it and nobody else has it.
        """
        keys = (self.keys.sequences, self.keys.nodes, self.keys.node(node_id))
        return int(await self._link.run("register", keys, (node_id, incarnation, max(0, sequence))))

    async def publish_info(self, info: NodeInfo, expiry_s: float) -> bool:
        """Say that this node lives, for `expiry_s` seconds. False, and nothing is written, if a later process has
        registered under the same id."""
        expiry_ms = milliseconds(expiry_s, "a node's description")
        keys = (self.keys.nodes, self.keys.node(info.id))
        channels = (self.keys.info_channel, self.keys.newcomers_channel)
        args = (info.id, info.incarnation, encode(info), expiry_ms, *channels)
        return bool(await self._link.run("publish_info", keys, args))

    async def remove_node(self, node_id: str, incarnation: str) -> bool:
        """Take a node off the list; False, and nothing changes, if another process has registered under this id."""
        keys = (self.keys.nodes, self.keys.node(node_id))
        args = (node_id, incarnation, self.keys.info_channel)
        return bool(await self._link.run("remove_node", keys, args))

    async def nodes(self) -> list[NodeInfo]:
        """All nodes whose description has not run out, by id."""

        def read(client: Any) -> list[tuple[str, bytes | None]]:
            ids = sorted(text(node_id) for node_id in client.hkeys(self.keys.nodes))
            values = client.mget([self.keys.node(node_id) for node_id in ids]) if ids else []
            return list(zip(ids, values, strict=True))

        found = await self._link.call(read, self.keys.nodes)
        infos = [self._undecodable.decoded(NodeInfo, data, f"node {node_id}") for node_id, data in found if data]
        return [info for info in infos if info is not None]

    async def publish_sentinel(self, info: SentinelInfo) -> None:
        """Keep this sentinel's description; readers judge its age by `sent_at`."""
        key = self.keys.sentinels
        await self._link.call(lambda client: client.hset(key, info.id, encode(info)), key)

    async def sentinels(self) -> list[SentinelInfo]:
        """All sentinels that ever described themselves, by id."""
        key = self.keys.sentinels
        found: Any = await self._link.call(lambda client: client.hgetall(key), key)
        infos = [
            self._undecodable.decoded(SentinelInfo, data, f"sentinel {text(name)}")
            for name, data in sorted(found.items())
        ]
        return [info for info in infos if info is not None]
