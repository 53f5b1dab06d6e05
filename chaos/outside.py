"""A cluster as an outsider sees it: its keys in Redis, read with a plain client, and its processes on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from ha_stress.base.errors import ProtocolError, UserError
from ha_stress.cluster.members import NodeInfo, Role, SentinelInfo
from ha_stress.wire.codec import decode
from ha_stress.wire.keys import Keys

#: A sentinel says every second that it is there; its entry does not expire by itself.
SENTINEL_FRESH_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One look at all records. `lease` is "epoch:node:incarnation" or ""."""

    epoch: int
    node: str
    incarnation: str
    lease: str
    nodes: dict[str, NodeInfo]

    @property
    def master(self) -> NodeInfo | None:
        """The information of exactly the process that the record names, if it is there and acts."""
        info = self.nodes.get(self.node)
        if info is None or info.incarnation != self.incarnation:
            return None
        return info if info.role is Role.MASTER and info.acting and info.epoch == self.epoch else None

    def workers(self) -> list[NodeInfo]:
        return [info for info in self.nodes.values() if info.role is Role.WORKER]


class Outside:
    """Reads a cluster. Raises redis.exceptions.RedisError while Redis is away."""

    def __init__(self, url: str, cluster: str) -> None:
        self.url = url
        self.keys = Keys(cluster)
        self.client: redis.Redis = redis.Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0)

    def look(self) -> Snapshot:
        record = {key.decode(): value.decode() for key, value in _hash(self.client, self.keys.mastership).items()}
        nodes = {}
        for name in _hash(self.client, self.keys.nodes):
            raw = self.client.get(self.keys.node(name.decode()))
            if isinstance(raw, bytes):
                info = decode(NodeInfo, raw)
                nodes[info.id] = info
        lease = self.client.get(self.keys.lease)
        return Snapshot(
            epoch=int(record.get("epoch", 0)),
            node=record.get("node", ""),
            incarnation=record.get("incarnation", ""),
            lease=lease.decode() if isinstance(lease, bytes) else "",
            nodes=nodes,
        )

    def sentinels(self, wall: float) -> dict[str, SentinelInfo]:
        """Those that were there a moment before `wall` (Unix seconds)."""
        infos = (decode(SentinelInfo, raw) for raw in _hash(self.client, self.keys.sentinels).values())
        return {info.id: info for info in infos if wall - info.sent_at < SENTINEL_FRESH_S}

    def events(self) -> list[dict[str, str]]:
        """The whole stream, oldest first, as plain fields."""
        entries: Any = self.client.xrange(self.keys.events)
        return [{key.decode(): value.decode() for key, value in fields.items()} for _, fields in entries]

    def failovers(self) -> dict[int, dict[str, Any]]:
        return {int(k): json.loads(v) for k, v in _hash(self.client, self.keys.failovers).items()}

    def redis_process(self) -> psutil.Process:
        """The server's process; UserError if it is not on this machine."""
        info: Any = self.client.info("server")
        return process(int(info["process_id"]), "Redis")


def _hash(client: redis.Redis, key: str) -> dict[bytes, bytes]:
    found: Any = client.hgetall(key)
    return dict(found)


def process(pid: int, what: str) -> psutil.Process:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        raise UserError(f"{what} (pid {pid}) does not run on this machine: run the script where it does") from None


def process_of(info: NodeInfo | SentinelInfo) -> psutil.Process:
    """The process of a member, checked to be one of ours: a pid alone may belong to anybody on another host."""
    found = process(info.pid, info.id)
    words = " ".join(found.cmdline())
    if "ha_stress" not in words and "ha-stress" not in words and "sentinel" not in words:
        raise UserError(f"pid {info.pid} is not {info.id}: run the script on the machine where {info.id} runs")
    return found


def tree(root: psutil.Process) -> list[psutil.Process]:
    """The process and all below it (a node's engines)."""
    return [root, *root.children(recursive=True)]


def find_cluster(data_dir: str, url: str, cluster: str) -> Outside:
    """By `--redis` and `--cluster`, or by the description that `ha-stress up` leaves in its data directory."""
    if not url:
        path = Path(data_dir) / "cluster.json"
        try:
            described = json.loads(path.read_text("utf-8"))
            url, cluster = described["redis_url"], described["cluster"]
        except FileNotFoundError:
            raise UserError(
                f"no cluster is described in {path}: start one with `ha-stress up`, or give --redis"
            ) from None
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None
    outside = Outside(url, cluster or "default")
    try:
        outside.look()
    except redis.exceptions.RedisError as error:
        raise UserError(f"Redis at {url.rpartition('@')[2]} does not answer: {error}") from None
    except ProtocolError as error:
        raise UserError(f"the records in Redis are not those of this version: {error}") from None
    return outside
