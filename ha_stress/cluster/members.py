"""What a node and a sentinel say about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    STARTING = "starting"
    WORKER = "worker"
    MASTER = "master"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """A node's description of itself: published on the info channel, kept in an expiring key, sent with every pong.

    `cpu_percent` and `memory_percent` describe the host; None until a first sample exists (a newcomer is not "0 % cpu").
    `lease_left_s` is how long this node may still act as master (0 for workers). `applied` is the
    (epoch, revision) of the assignment that it carries out.
    """

    id: str
    incarnation: str
    sequence: int
    priority: int
    mesh_host: str
    mesh_port: int
    api_url: str
    role: Role
    epoch: int
    acting: bool = False
    lease_left_s: float = 0.0
    cpu_percent: float | None = None
    memory_percent: float | None = None
    memory_total_bytes: int = 0
    draining: bool = False
    leaving: bool = False
    healthy: bool = True
    applied: tuple[int, int] = (0, 0)
    loop_lag_s: float = 0.0
    frames_waiting: int = 0
    frames_lost: int = 0
    pid: int = 0
    version: str = ""
    sent_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelInfo:
    """A sentinel's description of itself, kept so that peers and operators find it; readers judge its age by `sent_at`.

    `members`, `members_version` and `voted_epoch` are those of its vote file: what it describes is on disk.
    `controls_revision` is the newest that it knows of the operator's controls.
    """

    id: str
    incarnation: str
    mesh_host: str
    mesh_port: int
    epoch: int
    tilt: bool = False
    leading: bool = False
    paused: bool = False
    members: tuple[str, ...] = ()
    members_version: int = 0
    voted_epoch: int = 0
    controls_revision: int = 0
    http_url: str = ""
    loop_lag_s: float = 0.0
    pid: int = 0
    version: str = ""
    sent_at: float = 0.0
