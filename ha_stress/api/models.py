"""The shapes of requests and answers. Requests refuse unknown fields; every answer has a model, so OpenAPI is right.

Durations end in `_s` (seconds) or `_ms`, rates are arrivals per second, `..._at` are Unix seconds.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ha_stress.api.models_operator import ControlsView
from ha_stress.base.limits import IN_FLIGHT_MAX_DEFAULT


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewTask(_Request):
    """A task to create. `id` is the caller's choice; sending the same task with the same id again changes nothing."""

    url: str = Field(max_length=65_536)
    rate: float
    id: str | None = None
    name: str | None = None
    method: str = "GET"
    headers: dict[str, str] | list[tuple[str, str]] = Field(
        default=[], description="An object, or pairs to repeat a name"
    )
    body: str | None = None
    body_base64: str | None = None
    timeout_s: float = 10.0
    duration_s: float | None = Field(default=None, description="Null runs until stopped")
    in_flight_max: int = IN_FLIGHT_MAX_DEFAULT
    nodes_max: int | None = None


class NewRate(_Request):
    """The rate that the task shall have from now on."""

    rate: float


class Problem(BaseModel):
    """Every error answer: one sentence."""

    error: str


class Task(BaseModel):
    """What was asked for, and what became of it."""

    id: str
    name: str
    url: str
    method: str
    headers: list[tuple[str, str]]
    body_base64: str
    timeout_s: float
    rate: float
    duration_s: float | None
    in_flight_max: int
    nodes_max: int | None
    driver: str
    wanted: str
    status: str
    intent: int = Field(description="Grows with each change of what is wanted")
    seen_intent: int = Field(description="The intent that the master has made a plan of")
    epoch: int = Field(description="The epoch under which the state was last written")
    created_at: float
    started_at: float | None
    ended_at: float | None


class TaskList(BaseModel):
    tasks: list[Task]


class Share(BaseModel):
    """One holder's part of a revision."""

    node: str
    incarnation: str
    rate: float
    lost: bool = Field(description="The process is gone; what it never accounted for is uncovered")


class PlanRevision(BaseModel):
    number: int
    at_s: float = Field(description="From the start of the task")
    rate: float
    limit: int | None = Field(description="Arrivals in this revision; null while it is open")
    why: str
    shares: list[Share]


class BooksView(BaseModel):
    """intended = started + dropped + uncovered, always."""

    planned: int | None = Field(description="Null while the schedule has no end")
    intended: int
    started: int
    completed: int
    failed: int
    dropped: int
    uncovered: int
    late: int
    bytes_in: int
    balanced: bool


class Latency(BaseModel):
    """Milliseconds. `max_ms` is exact to the histogram's resolution."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class Latencies(BaseModel):
    """`response` counts from the scheduled start (coordinated omission corrected), `service` from the actual send."""

    response: Latency | None
    service: Latency | None


class TaskDetail(Task):
    plan: list[PlanRevision]
    books: BooksView
    failures: dict[str, int]
    statuses: dict[str, int]
    latency: Latencies
    timeline: list[dict[str, Any]] | None = Field(default=None, description="Sums per Unix second, with ?timeline=1")


class Master(BaseModel):
    node: str
    incarnation: str
    acting: bool


class NodeView(BaseModel):
    """A node's own words (`NodeInfo`), as it last published them."""

    id: str
    incarnation: str
    sequence: int
    priority: int
    mesh_host: str
    mesh_port: int
    api_url: str
    role: str
    epoch: int
    acting: bool
    lease_left_s: float
    cpu_percent: float | None
    memory_percent: float | None
    memory_total_bytes: int
    draining: bool
    leaving: bool
    healthy: bool
    applied: tuple[int, int]
    loop_lag_s: float
    frames_waiting: int
    frames_lost: int
    pid: int
    version: str
    sent_at: float


class SentinelView(BaseModel):
    """A sentinel's own words (`SentinelInfo`); members, version and voted epoch are on its disk."""

    id: str
    incarnation: str
    mesh_host: str
    mesh_port: int
    epoch: int
    tilt: bool
    leading: bool
    paused: bool
    members: list[str]
    members_version: int
    voted_epoch: int
    http_url: str
    loop_lag_s: float
    pid: int
    version: str
    sent_at: float


class StatusView(BaseModel):
    """The cluster as `answered_by` sees it. While Redis is away: the last known record, and that node alone."""

    cluster: str
    answered_by: str
    epoch: int
    master: Master | None
    nodes: list[NodeView]
    sentinels: list[SentinelView]
    controls: ControlsView | None = Field(description="What the operator asked for; null where it could not be read")
    redis: str = Field(description='"ok", or a sentence')
    database: str = Field(description='"ok", or a sentence')


class EventView(BaseModel):
    sequence: int
    at_ms: int = Field(description="Unix milliseconds on the clock of Redis")
    epoch: int
    name: str
    source: str
    subject: str
    cause: str
    detail: dict[str, Any]
    meaning: str


class EventList(BaseModel):
    events: list[EventView]


class FailoverList(BaseModel):
    failovers: list[dict[str, Any]]


class Health(BaseModel):
    ok: bool
    node: str
    role: str
    epoch: int
    acting: bool
    reason: str
