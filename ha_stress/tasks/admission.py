"""Whether a task can be run as it is asked for. Pure; a ConfigError is one sentence."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import (
    CHECKS_MAX,
    DURATION_S_MAX,
    DURATION_S_MIN,
    EXPECT_CHARACTERS_MAX,
    FEEDERS_MAX,
    IN_FLIGHT_MAX,
    NODES_MAX,
    RATE_MAX,
    RATE_MIN,
    REQUEST_BODY_BYTES_MAX,
    REQUEST_HEADERS_BYTES_MAX,
    REQUEST_HEADS_BYTES_MAX,
    REQUEST_NAME_CHARACTERS_MAX,
    REQUESTS_MAX,
    SCENARIO_BYTES_MAX,
    THINK_TIME_S_MAX,
    THRESHOLDS_MAX,
    TIMEOUT_S_MAX,
    USERS_MAX,
    WEIGHT_MAX,
)
from ha_stress.tasks.checks import Subject
from ha_stress.tasks.profile import check_profile
from ha_stress.tasks.protocols import HTTP, SCHEMES, TCP, requests_of
from ha_stress.tasks.request_names import clean, names_of
from ha_stress.tasks.scenario import Scenario, check_source
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from ha_stress.tasks.thresholds import Threshold, Unit, unit_of


def check_rate(rate: float) -> float:
    if not 0 <= rate <= RATE_MAX:  # also refuses NaN
        raise ConfigError(f"rate {rate:g} is out of range: 0 to {RATE_MAX:g} requests per second")
    if 0 < rate < RATE_MIN:
        raise ConfigError(f"rate {rate:g} is out of range: 0, or at least {RATE_MIN:g} requests per second")
    return rate


def check_spec(spec: TaskSpec) -> TaskSpec:
    """Return `spec` if it can be run; raise ConfigError with one sentence otherwise."""
    check_rate(spec.rate)
    if spec.duration_s is not None and not DURATION_S_MIN <= spec.duration_s <= DURATION_S_MAX:
        raise ConfigError(
            f"duration {spec.duration_s:g} s is out of range: at least {DURATION_S_MIN:g}, up to {DURATION_S_MAX:g}"
        )
    if not 1 <= spec.in_flight_max <= IN_FLIGHT_MAX:
        raise ConfigError(f"in_flight_max is out of range: 1 to {IN_FLIGHT_MAX}")
    if spec.nodes_max is not None and not 1 <= spec.nodes_max <= NODES_MAX:
        raise ConfigError(f"nodes_max is out of range: 1 to {NODES_MAX}")
    if not spec.name.strip() or len(spec.name) > 200 or not spec.name.isprintable():
        raise ConfigError("a task needs a name of 1 to 200 printable characters")
    _check_model(spec)
    _check_work(spec)
    return spec


def _check_model(spec: TaskSpec) -> None:
    """Open or closed, and what is not counted."""
    check_profile(spec.profile, spec.rate)
    if not 0 <= spec.users <= USERS_MAX:
        raise ConfigError(f"users is out of range: 0 (arrivals at a rate) to {USERS_MAX}")
    if not 0 <= spec.think_time_s <= THINK_TIME_S_MAX:
        raise ConfigError(f"think time {spec.think_time_s:g} s is out of range: 0 to {THINK_TIME_S_MAX:g}")
    if spec.users and (spec.rate or spec.profile is not None):
        raise ConfigError(
            "users send as fast as they are answered: a task has users, or a rate and a profile, not both"
        )
    if spec.think_time_s and not spec.users:
        raise ConfigError("only users have a think time: arrivals come at their rate")
    if not 0 <= spec.warm_up_s <= DURATION_S_MAX:
        raise ConfigError(f"warm-up {spec.warm_up_s:g} s is out of range: 0 to {DURATION_S_MAX:g}")
    if spec.duration_s is not None and spec.warm_up_s >= spec.duration_s:
        raise ConfigError(f"a warm-up of {spec.warm_up_s:g} s leaves nothing of {spec.duration_s:g} s to be counted")


def _check_work(spec: TaskSpec) -> None:
    """What is sent, and what is asked of the answers."""
    if len(spec.mix) >= REQUESTS_MAX:
        raise ConfigError(f"a task has at most {REQUESTS_MAX} requests")
    heads = 0
    for request in requests_of(spec):
        check_request(request)
        heads += len(request.url) + sum(len(name) + len(value) for name, value in request.headers)
    if heads > REQUEST_HEADS_BYTES_MAX:
        raise ConfigError(
            f"the URLs and headers of all requests are larger than {REQUEST_HEADS_BYTES_MAX} bytes together"
        )
    if spec.scenario is not None:
        if spec.mix:
            raise ConfigError("a task sends its requests in turn or runs a scenario, not both")
        _check_scenario(spec.scenario)
    _check_checks(spec)
    if len(spec.checks) > CHECKS_MAX:
        raise ConfigError(f"a task has at most {CHECKS_MAX} checks")
    if len(spec.thresholds) > THRESHOLDS_MAX:
        raise ConfigError(f"a task has at most {THRESHOLDS_MAX} thresholds")
    for threshold in spec.thresholds:
        _check_by_name(spec, threshold)


def _check_by_name(spec: TaskSpec, threshold: Threshold) -> None:
    """Whether there will be such requests, as far as that is known."""
    if not threshold.request:
        return
    known = dict.fromkeys(names_of(requests_of(spec))) if spec.mix else {}
    if spec.scenario is None and threshold.request not in known:
        there = ", ".join(known) or "none: a task of one request has no figures by name"
        raise ConfigError(f"threshold {threshold.text!r}: no request has that name; there are {there}"[:500])
    if spec.warm_up_s and unit_of(threshold.metric) is not Unit.MS:
        raise ConfigError(
            f"threshold {threshold.text!r}: counts by name hold the warm-up as well; ask for a latency, or for no warm-up"
        )


def _check_checks(spec: TaskSpec) -> None:
    """Whether there is anything that they could look at."""
    if spec.scenario is not None and any(check.subject is not Subject.LATENCY for check in spec.checks):
        raise ConfigError(
            "a scenario checks its answers itself, with user.check(); from outside only its latency can be"
        )
    if all(urlsplit(request.url).scheme not in HTTP for request in requests_of(spec)):
        unfit = [check.text for check in spec.checks if check.subject in (Subject.STATUS, Subject.HEADER)]
        if unfit:
            raise ConfigError(f"check {unfit[0]!r} is one of HTTP: what is sent here has neither status nor headers")


def _check_scenario(scenario: Scenario) -> None:
    if not scenario.name.strip() or len(scenario.name) > 200 or not scenario.name.isprintable():
        raise ConfigError("a scenario needs a name of 1 to 200 printable characters")
    if len(scenario.source.encode()) > SCENARIO_BYTES_MAX:
        raise ConfigError(f"the scenario is larger than {SCENARIO_BYTES_MAX} bytes: put its data into a CSV file")
    check_source(scenario.name, scenario.source)
    if len(scenario.feeders) > FEEDERS_MAX:
        raise ConfigError(f"a scenario has at most {FEEDERS_MAX} data files")
    names = [feeder.name for feeder in scenario.feeders]
    for name in names:
        if not name.isidentifier() or not name.isascii() or names.count(name) > 1:
            raise ConfigError(f"data {name!r}: each needs a name of its own, of letters, digits and '_'")


def check_request(request: HttpRequest) -> HttpRequest:
    parts = _split(request.url)
    if not request.method.isascii() or not request.method.isalpha() or len(request.method) > 32:
        raise ConfigError(f"method {request.method!r} is not an HTTP method")
    if not 0 < request.timeout_s <= TIMEOUT_S_MAX:
        raise ConfigError(f"timeout {request.timeout_s:g} s is out of range: above 0, up to {TIMEOUT_S_MAX:g}")
    if len(request.body) > REQUEST_BODY_BYTES_MAX:
        raise ConfigError(f"the request body is larger than {REQUEST_BODY_BYTES_MAX} bytes")
    if request.name != clean(request.name):
        raise ConfigError(
            f"request name {request.name!r}: up to {REQUEST_NAME_CHARACTERS_MAX} printable characters, "
            "without a space at either end"
        )
    if not 1 <= request.weight <= WEIGHT_MAX:
        raise ConfigError(f"weight {request.weight} is out of range: 1 to {WEIGHT_MAX}")
    if request.http2 and parts.scheme not in HTTP:
        raise ConfigError(f"http2 is for http:// and https://, not for {parts.scheme}://")
    if request.expect and parts.scheme in HTTP:
        raise ConfigError(
            "expect is for ws://, wss:// and tcp://; of an HTTP answer ask with a check: body contains ok"
        )
    if len(request.expect) > EXPECT_CHARACTERS_MAX:
        raise ConfigError(f"expect has more than {EXPECT_CHARACTERS_MAX} characters")
    _check_headers(request.headers)
    return request


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"URL {url!r} cannot be read: {error}") from None
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ConfigError(f"URL {url!r} must begin with http:// or https:// (or ws://, wss://, tcp://) and name a host")
    if port == 0:
        raise ConfigError(f"URL {url!r} names port 0, on which nothing can listen")
    if parts.scheme in TCP and port is None:
        raise ConfigError(f"URL {url!r} names no port: write for example tcp://{parts.hostname}:7000")
    if not all(0x21 <= ord(c) < 0x7F for c in url):
        raise ConfigError(f"URL {url!r} has a space or a non-ASCII character: percent-encode it")
    return parts


def _check_headers(headers: tuple[tuple[str, str], ...]) -> None:
    if sum(len(name) + len(value) for name, value in headers) > REQUEST_HEADERS_BYTES_MAX:
        raise ConfigError(f"the request's headers are larger than {REQUEST_HEADERS_BYTES_MAX} bytes")
    for name, value in headers:
        if not name or any(c in name + value for c in "\r\n\0") or ":" in name:
            raise ConfigError(f"header {name!r} cannot be sent: no ':' in the name, no line break anywhere")
        if not (name + value).isprintable() or not name.isascii():
            raise ConfigError(f"header {name!r} cannot be sent: a name is ASCII, a value printable")
