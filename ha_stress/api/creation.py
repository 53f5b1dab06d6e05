"""From the request that creates a task to its spec. Knows no web framework: the command line checks with it as well."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from ha_stress.api.fields import Headers
from ha_stress.api.models_task import NewFeeder, NewProfile, NewRequest, NewScenario, NewTask
from ha_stress.base.errors import ConfigError
from ha_stress.base.ids import check_name, new_task_id
from ha_stress.base.limits import INLINE_BODIES_BYTES_MAX, INLINE_BODY_BYTES_MAX, REQUEST_BODY_BYTES_MAX
from ha_stress.tasks.admission import check_request, check_spec
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.csv_data import count_rows
from ha_stress.tasks.profile import Profile, Stage, natural_duration_s
from ha_stress.tasks.protocols import HTTP
from ha_stress.tasks.scenario import Feeder, Scenario
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from ha_stress.tasks.thresholds import parse_threshold


@dataclass(slots=True, kw_only=True)
class Blobs:
    """Large things that a task names by their digests. `inline_bytes`: of the bodies that stay in the task."""

    data: dict[str, bytes] = field(default_factory=dict)
    inline_bytes: int = 0

    def add(self, data: bytes) -> str:
        digest = sha256(data).hexdigest()
        self.data[digest] = data
        return digest

    def take_large(self, body: bytes) -> str:
        """The digest of a body that shall not travel with the task; "" if it may."""
        if len(body) <= INLINE_BODY_BYTES_MAX and self.inline_bytes + len(body) <= INLINE_BODIES_BYTES_MAX:
            self.inline_bytes += len(body)
            return ""
        return self.add(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A checked spec and the blobs that have to be stored before it."""

    spec: TaskSpec
    blobs: Mapping[str, bytes]


def drafted(new: NewTask, driver: str = "stress") -> Draft:
    """ConfigError with one sentence if it cannot be run. Large tasks take a while: not to be called on a loop."""
    blobs = Blobs()
    request = request_of(new, new.request_name, blobs)
    if new.rate is None and not new.users and not (new.profile and new.profile.stages):
        raise ConfigError("rate: missing; give the rate of the arrivals, or a profile with stages, or users")
    profile = _profile_of(new.profile) if new.profile is not None else None
    spec = TaskSpec(
        id=check_name("task id", new.id) if new.id is not None else new_task_id(),
        name=new.name if new.name is not None else _default_name(new, request),
        request=request,
        mix=tuple(request_of(one, one.name, blobs) for one in new.requests),
        scenario=_scenario_of(new.scenario, blobs) if new.scenario is not None else None,
        rate=0.0 if profile is not None and profile.stages else new.rate or 0.0,  # stages stand for themselves
        profile=profile,
        users=new.users,
        think_time_s=new.think_time_s,
        warm_up_s=new.warm_up_s,
        duration_s=new.duration_s if new.duration_s is not None else natural_duration_s(profile),
        checks=tuple(parse_check(text) for text in new.checks),
        thresholds=tuple(parse_threshold(text) for text in new.thresholds),
        driver=driver,
        in_flight_max=new.in_flight_max,
        nodes_max=new.nodes_max,
    )
    return Draft(spec=check_spec(spec), blobs=blobs.data)


def checked(document: Mapping[str, Any]) -> TaskSpec:
    """The spec of the JSON document of a task, or ConfigError: what the API would say, said before anything is started."""
    try:
        new = NewTask.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = "unknown field" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}: {message}") from None
    return drafted(new).spec


def request_of(new: NewRequest | NewTask, name: str, blobs: Blobs) -> HttpRequest:
    body = _body_of(new)
    if len(body) > REQUEST_BODY_BYTES_MAX:
        raise ConfigError(f"the request body is larger than {REQUEST_BODY_BYTES_MAX} bytes")
    _encoded("expect", new.expect)
    blob = blobs.take_large(body)
    return check_request(
        HttpRequest(
            url=new.url,
            method=new.method.upper(),
            headers=_pairs(new.headers),
            body=b"" if blob else body,
            body_blob=blob,
            timeout_s=new.timeout_s,
            http2=new.http2,
            expect=new.expect,
            weight=new.weight,
            name=name,
        )
    )


def _pairs(headers: Headers) -> tuple[tuple[str, str], ...]:
    return tuple(headers.items()) if isinstance(headers, dict) else tuple((name, value) for name, value in headers)


def _body_of(new: NewRequest | NewTask) -> bytes:
    if new.body is not None and new.body_base64 is not None:
        raise ConfigError("give body or body_base64, not both")
    if new.body_base64 is not None:
        try:
            return b64decode(new.body_base64, validate=True)
        except (Base64Error, ValueError) as error:
            raise ConfigError(f"body_base64: not base64 ({error})") from None
    return _encoded("body", new.body or "", "; send body_base64")


def _encoded(what: str, text: str, cure: str = "") -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        raise ConfigError(f"{what}: not text that has a UTF-8 form{cure}") from None


def _profile_of(new: NewProfile) -> Profile:
    return Profile(
        stages=tuple(Stage(duration_s=one.duration_s, begin=one.begin, end=one.end) for one in new.stages),
        sine_amplitude=new.sine_amplitude,
        sine_period_s=new.sine_period_s,
        poisson_seed=new.poisson_seed,
    )


def _scenario_of(new: NewScenario, blobs: Blobs) -> Scenario:
    _encoded("scenario.source", new.source)
    return Scenario(name=new.name, source=new.source, feeders=tuple(_feeder_of(one, blobs) for one in new.feeders))


def _feeder_of(new: NewFeeder, blobs: Blobs) -> Feeder:
    data = _encoded(f"data {new.name!r}", new.csv)
    if len(data) > REQUEST_BODY_BYTES_MAX:
        raise ConfigError(f"data {new.name!r} is larger than {REQUEST_BODY_BYTES_MAX} bytes")
    return Feeder(name=new.name, blob=blobs.add(data), rows=count_rows(new.name, new.csv), again=new.again)


def _default_name(new: NewTask, request: HttpRequest) -> str:
    if new.scenario is not None:
        return new.scenario.name
    parts = urlsplit(request.url)
    verb = request.method if parts.scheme in HTTP else parts.scheme
    return f"{verb} {parts.netloc}{parts.path}"[:200]
