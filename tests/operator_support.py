"""Nodes and sentinels as they describe themselves, and a mesh endpoint that answers as a sentinel does."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from ha_stress.cluster.members import NodeInfo, Role, SentinelInfo
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.server import serve_mesh
from ha_stress.wire.messages import Answer, Question

MEMBERS = ("s1", "s2", "s3")


def node_info(node: str, **fields: Any) -> NodeInfo:
    known: dict[str, Any] = {
        "id": node,
        "incarnation": f"i-{node}",
        "sequence": 1,
        "priority": 100,
        "mesh_host": "127.0.0.1",
        "mesh_port": 1,
        "api_url": "",
        "role": Role.WORKER,
        "epoch": 1,
    }
    return NodeInfo(**(known | fields))


def sentinel_info(name: str, **fields: Any) -> SentinelInfo:
    known: dict[str, Any] = {
        "id": name,
        "incarnation": f"i-{name}",
        "mesh_host": "127.0.0.1",
        "mesh_port": 1,
        "epoch": 1,
        "members": MEMBERS,
        "voted_epoch": 4,
        "sent_at": time.time(),
    }
    return SentinelInfo(**(known | fields))


@asynccontextmanager
async def answering(name: str, body: dict[str, Any] | None, secret: str = "") -> AsyncIterator[int]:
    """A mesh endpoint that answers as a sentinel does; with `body` None it never answers. Yields its port."""

    async def handle(connection: Connection) -> None:
        while True:
            message = await connection.receive()
            if isinstance(message, Question) and body is not None:
                await connection.send(Answer(sender=name, about=message.about, body=json.dumps(body)))

    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve_mesh, "127.0.0.1", 0, secret, handle)
        nursery.cancel_scope.cancel()


def explanation(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "sentinel": name,
        "epoch": 1,
        "voted_epoch": 1,
        "master": {"node": "n1", "incarnation": "i1", "accepted": True, "down": False, "cause": "", "silent_ms": 3.0},
        "members": list(MEMBERS),
        "majority": 2,
        "quorum": 2,
        "phase": "idle",
        "would_win": "n2",
        "candidates": [{"node": "n2", "rank": 1, "dropped": ""}, {"node": "n1", "rank": None, "dropped": "is down"}],
        "why_no_failover": ["n1 is not down for this sentinel"],
        "something": "that a later version says",
    } | fields
