"""What an operator asks for: a task. Intent only; what is made of it is in `schedule` and `ledger`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import (
    DURATION_S_MAX,
    IN_FLIGHT_MAX,
    IN_FLIGHT_MAX_DEFAULT,
    NODES_MAX,
    RATE_MAX,
    RATE_MIN,
    REQUEST_BODY_BYTES_MAX,
    REQUEST_HEADERS_BYTES_MAX,
)
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
    is empty, with the first bytes that come). A large body is stored once and named by its digest in `body_blob`.
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


def check_rate(rate: float) -> float:
    if not 0 <= rate <= RATE_MAX:  # also refuses NaN
        raise ConfigError(f"rate {rate:g} is out of range: 0 to {RATE_MAX:g} requests per second")
    if 0 < rate < RATE_MIN:
        raise ConfigError(f"rate {rate:g} is out of range: 0, or at least {RATE_MIN:g} requests per second")
    return rate


def check_spec(spec: TaskSpec) -> TaskSpec:
    """Return `spec` if it can be run; raise ConfigError with one sentence otherwise."""
    check_rate(spec.rate)
    if spec.duration_s is not None and not 0 < spec.duration_s <= DURATION_S_MAX:
        raise ConfigError(f"duration {spec.duration_s:g} s is out of range: above 0, up to {DURATION_S_MAX:g}")
    if not 1 <= spec.in_flight_max <= IN_FLIGHT_MAX:
        raise ConfigError(f"in_flight_max is out of range: 1 to {IN_FLIGHT_MAX}")
    if spec.nodes_max is not None and not 1 <= spec.nodes_max <= NODES_MAX:
        raise ConfigError(f"nodes_max is out of range: 1 to {NODES_MAX}")
    if not spec.name.strip() or len(spec.name) > 200 or not spec.name.isprintable():
        raise ConfigError("a task needs a name of 1 to 200 printable characters")
    check_request(spec.request)
    return spec


def check_request(request: HttpRequest) -> HttpRequest:
    try:
        parts = urlsplit(request.url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"URL {request.url!r} cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"URL {request.url!r} must begin with http:// or https:// and name a host")
    if port == 0:
        raise ConfigError(f"URL {request.url!r} names port 0, on which nothing can listen")
    if not all(0x21 <= ord(c) < 0x7F for c in request.url):
        raise ConfigError(f"URL {request.url!r} has a space or a non-ASCII character: percent-encode it")
    if not request.method.isascii() or not request.method.isalpha() or len(request.method) > 32:
        raise ConfigError(f"method {request.method!r} is not an HTTP method")
    if not 0 < request.timeout_s <= 3600:
        raise ConfigError(f"timeout {request.timeout_s:g} s is out of range: above 0, up to 3600")
    if len(request.body) > REQUEST_BODY_BYTES_MAX:
        raise ConfigError(f"the request body is larger than {REQUEST_BODY_BYTES_MAX} bytes")
    if sum(len(name) + len(value) for name, value in request.headers) > REQUEST_HEADERS_BYTES_MAX:
        raise ConfigError(f"the request's headers are larger than {REQUEST_HEADERS_BYTES_MAX} bytes")
    for name, value in request.headers:
        if not name or any(c in name + value for c in "\r\n\0") or ":" in name:
            raise ConfigError(f"header {name!r} cannot be sent: no ':' in the name, no line break anywhere")
        if not (name + value).isprintable() or not name.isascii():
            raise ConfigError(f"header {name!r} cannot be sent: a name is ASCII, a value printable")
    return request
