"""What an operator asks for: a task. Intent only; what is made of it is in `schedule` and `ledger`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ha_stress.base.limits import IN_FLIGHT_MAX_DEFAULT
from ha_stress.tasks.checks import Check
from ha_stress.tasks.profile import Profile
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.thresholds import Threshold


class Status(StrEnum):
    """State of a task. Moves only forward."""

    PENDING = "pending"  # accepted by the API; no master has planned it yet
    RUNNING = "running"
    STOPPING = "stopping"  # the end of its schedule is in the past or fixed; results still come in
    ENDED = "ended"  # every arrival is accounted for


class Wanted(StrEnum):
    RUN = "run"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """The request that an arrival sends. Header names and values go out as they are; Host is added from the URL.

    The scheme of `url` is the protocol: http and https (HTTP/1.1, or HTTP/2 with `http2`), ws and wss (`body` is a message;
    the answer is the next message that has `expect` in it), tcp (`body` is sent; the answer ends with `expect`, or, if that
    is empty, with the first bytes that come). A large body is stored once and named by its digest in `body_blob`. `name` is
    what it is called where the requests of a task are told apart; see `request_names`.
    """

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    body_blob: str = ""
    timeout_s: float = 10.0
    http2: bool = False
    expect: str = ""
    weight: int = 1
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task as the operator wants it. `rate` is arrivals per second, a real number.

    `duration_s` None runs until stopped. `in_flight_max` bounds the requests under way in one engine; an arrival
    above it is dropped and counted. `nodes_max` None uses every eligible node.

    Arrivals send `request` and those of `mix` in turn, in proportion to their weights; or run the `scenario`. The model is
    open, unless there are `users`: then each of them sends its next request `think_time_s` after its last answer, and `rate`
    is 0. What is due in the first `warm_up_s` is in the books, but not in the statistics.
    """

    id: str
    name: str
    request: HttpRequest
    rate: float
    duration_s: float | None = None
    mix: tuple[HttpRequest, ...] = ()
    scenario: Scenario | None = None
    profile: Profile | None = None
    users: int = 0
    think_time_s: float = 0.0
    warm_up_s: float = 0.0
    checks: tuple[Check, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    driver: str = "stress"
    in_flight_max: int = IN_FLIGHT_MAX_DEFAULT
    nodes_max: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
