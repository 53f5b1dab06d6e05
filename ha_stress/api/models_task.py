"""The shape of a task to create, and how its parts are shown again. Requests refuse unknown fields."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ha_stress.api.fields import Asked, Headers, Number, Truth, Whole
from ha_stress.base.limits import (
    CHECKS_MAX,
    FEEDERS_MAX,
    IN_FLIGHT_MAX_DEFAULT,
    REQUEST_NAME_CHARACTERS_MAX,
    REQUESTS_MAX,
    STAGES_MAX,
    THRESHOLDS_MAX,
)

URL_MAX = 65_536


class _Sent(Asked):
    """What an arrival sends."""

    url: str = Field(max_length=URL_MAX, description="http://, https://, ws://, wss:// or tcp://")
    method: str = "GET"
    headers: Headers = Field(default=[], description="An object, or pairs to repeat a name")
    body: str | None = None
    body_base64: str | None = None
    timeout_s: Number = 10.0
    http2: Truth = Field(default=False, description="HTTP/2 instead of HTTP/1.1")
    expect: str = Field(default="", description="Of WebSocket and TCP: the answer ends with what has this in it")
    weight: Whole = Field(default=1, description="How often it is sent in proportion to the task's other requests")


class NewRequest(_Sent):
    """One of several requests that arrivals send."""

    name: str = Field(
        default="",
        max_length=REQUEST_NAME_CHARACTERS_MAX,
        description="Under which it is counted; empty: method and path. Those of one name are counted together",
    )


class NewStage(Asked):
    duration_s: Number
    begin: Number = Field(description="Arrivals per second at its begin")
    end: Number = Field(description="And at its end; a straight line between them")


class NewProfile(Asked):
    """How the rate differs from a constant one."""

    stages: list[NewStage] = Field(default=[], max_length=STAGES_MAX)
    sine_amplitude: Number = 0.0
    sine_period_s: Number = 0.0
    poisson_seed: Whole | None = Field(default=None, description="Null: arrivals are evenly spaced")


class NewFeeder(Asked):
    """Data for a scenario; no row is used twice, unless it begins `again`."""

    name: str = Field(max_length=64)
    csv: str = Field(description="The first line names the columns")
    again: Truth = Field(default=True, description="Begin again after the last row; else arrivals fail as `no_data`")


class NewScenario(Asked):
    """Python that defines `async def scenario(user)`."""

    name: str = Field(max_length=200)
    source: str
    feeders: list[NewFeeder] = Field(default=[], max_length=FEEDERS_MAX)


class NewTask(_Sent):
    """A task to create. `id` is the caller's choice; sending the same task with the same id again changes nothing.

    Its own request and the further `requests` are sent in turn, by weight. The model is open (arrivals at a `rate`, perhaps
    with a `profile`), or closed (`users`, who send the next request once the last one is answered).
    """

    rate: Number | None = Field(default=None, description="Arrivals per second; needed without users and stages")
    id: str | None = None
    name: str | None = None
    request_name: str = Field(
        default="",
        max_length=REQUEST_NAME_CHARACTERS_MAX,
        description="Of its own request, as those of the further ones",
    )
    duration_s: Number | None = Field(
        default=None, description="Null runs until stopped; with stages and no sine, as long as they last"
    )
    in_flight_max: Whole = IN_FLIGHT_MAX_DEFAULT
    nodes_max: Whole | None = None
    requests: list[NewRequest] = Field(default=[], max_length=REQUESTS_MAX, description="Further requests")
    profile: NewProfile | None = None
    users: Whole = 0
    think_time_s: Number = 0.0
    warm_up_s: Number = Field(default=0.0, description="So much of the begin is in the books, not in the statistics")
    checks: list[str] = Field(default=[], max_length=CHECKS_MAX, description='For example "status == 200"')
    thresholds: list[str] = Field(default=[], max_length=THRESHOLDS_MAX, description='For example "p99 < 200ms"')
    scenario: NewScenario | None = None


class NewRate(Asked):
    """The rate that the task shall have from now on."""

    rate: Number


class RequestView(BaseModel):
    """A large body is not shown, but named by its SHA-256."""

    url: str
    method: str
    headers: list[tuple[str, str]]
    body_base64: str
    body_blob: str
    timeout_s: float
    http2: bool
    expect: str
    weight: int
    name: str


class FeederView(BaseModel):
    name: str
    rows: int
    again: bool
    blob: str = Field(description="SHA-256 of the file")


class ScenarioView(BaseModel):
    name: str
    feeders: list[FeederView]
    setup_problem: str = Field("", description="Why its setup failed, for which the task ended; empty otherwise")
    teardown_problem: str = Field("", description="Why its teardown failed; empty otherwise")


class Stopped(BaseModel):
    """Every task that had not ended, and was asked to stop now or before."""

    stopped: list[str]
