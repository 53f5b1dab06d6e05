"""A served API with a real database and a real Redis behind it, and a node whose state a test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio

from ha_stress.api.app import create_app
from ha_stress.api.serve import serve
from ha_stress.base.config import NodeConfig
from ha_stress.bus.client import Bus, open_bus
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.store.store import Store, open_store

TASK = {"id": "t-1", "url": "http://127.0.0.1:1/x", "rate": 100, "duration_s": 2}
RECORD = Mastership(epoch=1, node="n1", incarnation="i1", why="first")


@dataclass
class OneNode:
    """An `ApiNode` whose state a test sets."""

    config: NodeConfig
    bus: Bus
    store: Store
    role: Role = Role.WORKER
    acting: bool = False
    leaving: bool = False
    known: Mastership = field(default_factory=lambda: NOBODY)

    def info(self) -> NodeInfo:
        return NodeInfo(
            id="n1",
            incarnation="i1",
            sequence=1,
            priority=100,
            mesh_host="127.0.0.1",
            mesh_port=1,
            api_url="http://127.0.0.1:1",
            role=self.role,
            epoch=self.known.epoch,
            acting=self.acting,
            leaving=self.leaving,
        )

    def record(self) -> Mastership:
        return self.known


class Api:
    """The served application, a client for it, and what is behind it."""

    def __init__(self, node: OneNode, http: httpx.AsyncClient) -> None:
        self.node = node
        self.http = http

    async def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        answer = await self.http.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, body: Any = None, *, status: int) -> str:
        """The one sentence of a refusal."""
        found = await self.call(method, path, body, expect=status)
        assert list(found) == ["error"] and "\n" not in found["error"]
        return str(found["error"])


@asynccontextmanager
async def open_api(redis_url: str, directory: Path, cluster: str = "api") -> AsyncIterator[Api]:
    database = f"sqlite:///{directory / 'test.db'}"
    config = NodeConfig(id="n1", cluster=cluster, redis_url=redis_url, database_url=database)
    async with (
        open_bus(redis_url, cluster) as bus,
        open_store(database) as store,
        trio.open_nursery() as nursery,
    ):
        node = OneNode(config=config, bus=bus, store=store)
        port = await nursery.start(serve, create_app(node), "127.0.0.1", 0)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as http:
            yield Api(node, http)
        nursery.cancel_scope.cancel()
