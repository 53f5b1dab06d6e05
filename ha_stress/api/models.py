"""The shapes of answers: every one has a model, so OpenAPI is right. Those of requests are in `models_task`.

Durations end in `_s` (seconds) or `_ms`, rates are arrivals per second, `..._at` are Unix seconds.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from ha_stress.api.models_operator import ControlsView
from ha_stress.api.models_task import NewProfile, RequestView, ScenarioView
from ha_stress.api.models_verdict import VerdictView


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
    body_blob: str = Field(description="SHA-256 of a large body, which is not shown; empty otherwise")
    timeout_s: float
    http2: bool
    expect: str
    weight: int
    request_name: str = Field(description="Of its own request")
    requests: list[RequestView] = Field(description="Further requests, sent in turn with the first one")
    scenario: ScenarioView | None
    rate: float = Field(description="Arrivals per second; with stages, what the operator has set since, or 0")
    profile: NewProfile | None
    users: int
    think_time_s: float
    warm_up_s: float
    checks: list[str]
    thresholds: list[str]
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
    rate: float = Field(description="At the begin of the revision")
    share: float = Field(description="Its part of all arrivals, or of the users")
    lost: bool = Field(description="The process is gone; what it never accounted for is uncovered")


class PlanRevision(BaseModel):
    number: int
    at_s: float = Field(description="From the start of the task")
    rate: float = Field(description="Arrivals per second; what it means under a profile, the profile says")
    limit: int | None = Field(description="Arrivals in this revision; null while it is open")
    why: str
    profile: NewProfile | None = Field(description="The one that was in force; it began at origin_s")
    origin_s: float
    base: int = Field(description="Arrivals of the task before this revision")
    users: int = Field(description="Of the closed model; 0 in the open one")
    until_s: float | None = Field(description="When users stop; null in the open model, and while it is open")
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
    wrong: int = Field(description="The part of completed of which a check failed")
    retried: int = Field(description="Sent on a second connection, the first having been closed before any byte")
    connected: int = Field(description="New connections")
    bytes_in: int
    bytes_out: int
    cpu_us: int = Field(description="Processor time of the engines")
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


class RequestLatency(Latency):
    p95_ms: float


class RequestFiguresView(BaseModel):
    """What was counted under one name: of a mix, or of the requests that the runs of a scenario make."""

    name: str
    started: int
    completed: int
    failed: int
    wrong: int = Field(description="The part of completed of which a check failed")
    failures: dict[str, int]
    statuses: dict[str, int]
    service: RequestLatency | None


class TaskDetail(Task):
    plan: list[PlanRevision]
    books: BooksView
    failures: dict[str, int]
    statuses: dict[str, int]
    check_failures: dict[str, int] = Field(description="How often each check failed")
    latency: Latencies
    by_request: list[RequestFiguresView] = Field(description="Empty for a task that sends one request")
    verdict: VerdictView
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
