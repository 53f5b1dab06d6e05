"""A test plan: a TOML file with several tasks, what they must keep, what is written about them, and where it runs.

Unknown keys are errors, each with its path. Files that a plan names are looked for beside it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ha_stress.base.errors import ConfigError, UserError
from ha_stress.base.ids import new_task_id
from ha_stress.base.quantities import parse_duration, parse_rate
from ha_stress.cli.task_document import described
from ha_stress.cli.task_options import TaskOptions
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.thresholds import parse_threshold

PLAN_BYTES_MAX: Final = 1 << 20
TASKS_MAX: Final = 50


def _said(parse: Any) -> Any:
    """A parser of ours as one of pydantic's."""

    def parsed(value: Any) -> Any:
        try:
            return parse(value)
        except UserError as error:
            raise ValueError(str(error)) from None

    return parsed


def _duration(value: Any) -> float:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    raise ConfigError(f"{value!r} is not a duration: write for example '20s', '1m30s' or 20 (seconds)")


def _rate(value: Any) -> float:
    if isinstance(value, str):
        return parse_rate(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    raise ConfigError(f"{value!r} is not a rate: write for example 500, '1.5k' or '90/min'")


def _check(text: str) -> str:
    parse_check(text)
    return text


def _threshold(text: str) -> str:
    parse_threshold(text)
    return text


Duration = Annotated[float, BeforeValidator(_said(_duration))]
Rate = Annotated[float, BeforeValidator(_said(_rate))]
Check = Annotated[str, AfterValidator(_said(_check))]
Threshold = Annotated[str, AfterValidator(_said(_threshold))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PlanRequest(_Part):
    """One request. `body_file` is read when the plan is."""

    url: str = ""
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    body_file: str = ""
    timeout: Duration = 10.0
    http2: bool = False
    expect: str = ""
    weight: int = 1


class PlanStage(_Part):
    duration: Duration
    begin: Rate
    end: Rate


class PlanTask(PlanRequest):
    """A task; its own request and the further ones are sent in turn."""

    name: str = ""
    rate: Rate | None = None
    duration: Duration | None = None
    profile: str = ""
    stages: list[PlanStage] = []
    arrivals: str = "uniform"
    users: int = 0
    think_time: Duration = 0.0
    warm_up: Duration = 0.0
    requests: list[PlanRequest] = []
    scenario: str = ""
    data: dict[str, str] = {}
    data_once: dict[str, str] = {}
    checks: list[Check] = []
    thresholds: list[Threshold] = []
    in_flight_max: int = 1024
    nodes_max: int | None = None


class PlanCluster(_Part):
    """Where it runs: `api` is a running cluster; without it one of `nodes` is started here for as long as it takes."""

    api: list[str] = []
    nodes: int = Field(default=1, ge=1, le=64)
    engines: int = Field(default=1, ge=1, le=64)
    allow: list[str] = []
    timing: dict[str, str | int | float] = {}


class PlanOutputs(_Part):
    """Files to write. With several tasks the name of each is put before the file's ending."""

    dir: str = ""
    html: str = ""
    json_: str = Field(default="", alias="json")
    csv: str = ""
    hgrm: str = ""
    junit: str = ""


class PlanFile(_Part):
    name: str = ""
    defaults: dict[str, Any] = {}
    cluster: PlanCluster = PlanCluster()
    outputs: PlanOutputs = PlanOutputs()
    tasks: list[PlanTask] = Field(min_length=1, max_length=TASKS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What is to be run: `tasks` as the API takes them. `outputs` is kind -> file; the key `dir` is a directory for all."""

    tasks: tuple[dict[str, Any], ...]
    name: str = ""
    cluster: PlanCluster = field(default_factory=PlanCluster)
    outputs: Mapping[str, Path] = field(default_factory=dict)


def read_plan(file: Path) -> RunPlan:
    """ConfigError names the file and what is wrong in it."""
    try:
        with file.open("rb") as opened:
            data = opened.read(PLAN_BYTES_MAX + 1)
        if len(data) > PLAN_BYTES_MAX:
            raise ConfigError(f"{file}: a plan has at most {PLAN_BYTES_MAX} bytes")
        document = tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
    try:
        return plan_of(document, file.parent)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None


def plan_of(document: Mapping[str, Any], beside: Path) -> RunPlan:
    """ConfigError has the path of what is wrong, for example `tasks[1].duration`. Files are looked for `beside`."""
    with_defaults = _with_defaults(document)
    try:
        plan = PlanFile.model_validate(with_defaults)
    except ValidationError as error:
        # A key that is not known explains one that is missing.
        first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
        raise ConfigError(_problem(first, with_defaults)) from None
    outputs = plan.outputs.model_dump(by_alias=True)
    return RunPlan(
        tasks=tuple(_document(task, f"tasks[{number}]", beside) for number, task in enumerate(plan.tasks)),
        name=plan.name,
        cluster=plan.cluster,
        outputs={kind: beside / name for kind, name in outputs.items() if name},
    )


def _with_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """Each task on top of `defaults`, whose keys are those of a task."""
    defaults, tasks = document.get("defaults"), document.get("tasks")
    if not isinstance(defaults, dict) or not isinstance(tasks, list):
        return dict(document)
    for key in defaults:
        if key not in PlanTask.model_fields:
            raise ConfigError(f"defaults.{key}: {_unknown(key, list(PlanTask.model_fields))}")
    return {**document, "tasks": [{**defaults, **one} if isinstance(one, dict) else one for one in tasks]}


# What is wrong, in one sentence.


def _problem(error: Mapping[str, Any], document: Any) -> str:
    where = _path(error["loc"], document)
    if error["type"] == "extra_forbidden":
        return f"{where}: {_unknown(str(error['loc'][-1]), _known(error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"{where}: missing"
    cause = error.get("ctx", {}).get("error")
    if cause is not None and error["type"] == "value_error":
        return f"{where}: {cause}"
    said = str(error["msg"])
    return f"{where}: {said[:1].lower()}{said[1:]}"


def _path(location: tuple[str | int, ...], document: Any) -> str:
    """`tasks[1].checks[0]`. Parts that pydantic adds for unions are left out: the document has no such key."""
    path = ""
    for number, part in enumerate(location):
        last = number == len(location) - 1
        if isinstance(part, int):
            path += f"[{part}]"
        elif (isinstance(document, dict) and part in document) or last:
            path += f".{part}" if path else part
        else:
            continue
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            document = None
    return path


def _unknown(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, n=1, cutoff=0.6)
    return f"unknown key, did you mean {near[0]}?" if near else f"unknown key; there are {', '.join(known)}"


def _known(location: tuple[str | int, ...]) -> list[str]:
    """The keys that there are at a place."""
    model: type[BaseModel] = PlanFile
    parts: dict[str, type[BaseModel]] = {
        "cluster": PlanCluster,
        "outputs": PlanOutputs,
        "tasks": PlanTask,
        "requests": PlanRequest,
        "stages": PlanStage,
    }
    for part in location:
        model = parts.get(str(part), model)
    return [known.alias or name for name, known in model.model_fields.items()]


# From the plan's words to those of the API.


def _document(task: PlanTask, where: str, beside: Path) -> dict[str, Any]:
    try:
        return _described(task, beside)
    except ConfigError as error:
        said = str(error)
        if said.startswith("--"):  # an option, which is a key here
            option, rest = re.match(r"--([\w-]+)(.*)", said, re.DOTALL).groups()  # type: ignore[union-attr]
            said = f"{option.replace('-', '_')}{rest}"
            raise ConfigError(f"{where}.{said}") from None
        joint = "." if said.startswith(("url: ", "rate: ", "duration: ", "request")) else ": "
        raise ConfigError(f"{where}{joint}{said}") from None


def _described(task: PlanTask, beside: Path) -> dict[str, Any]:
    from ha_stress.api.creation import checked

    if not task.url and not (task.requests and task.requests[0].url):
        raise ConfigError("url: missing")
    if task.rate is None and not (task.profile or task.stages or task.users):
        raise ConfigError("rate: missing; give rate, profile, stages or users")
    if task.stages and task.profile:
        raise ConfigError("give profile or stages, not both")
    own = task.model_copy(update={"url": task.url or (task.requests[0].url if task.requests else "")})
    typed = TaskOptions(
        url=own.url,
        name=task.name,
        rate=_number(0.0 if task.stages else task.rate),
        duration=_number(task.duration or sum(stage.duration for stage in task.stages) or None),
        profile=task.profile,
        arrivals=task.arrivals,
        users=task.users,
        think_time=_number(task.think_time) or "",
        warm_up=_number(task.warm_up) or "",
        in_flight_max=task.in_flight_max,
        method=task.method,
        timeout=_number(task.timeout) or "",
        http2=task.http2,
        expect=task.expect,
        check=list(task.checks),
        threshold=list(task.thresholds),
        scenario=beside / task.scenario if task.scenario else None,
        data=[f"{name}={beside / file}" for name, file in task.data.items()],
        data_once=[f"{name}={beside / file}" for name, file in task.data_once.items()],
    )
    document = described(typed, task_id=new_task_id())
    if document["duration_s"] is None:
        raise ConfigError("duration: missing; a run has an end, write for example duration = '20s'")
    requests = [_request(one, f"requests[{number}]", beside) for number, one in enumerate(task.requests)]
    first = _request(own, "request", beside) if task.url else requests.pop(0)
    document |= {**first, "requests": requests, "nodes_max": task.nodes_max}
    if task.stages:
        stages = [{"duration_s": one.duration, "begin": one.begin, "end": one.end} for one in task.stages]
        document["profile"] = {**(document["profile"] or {}), "stages": stages}
    checked(document)
    return document


def _number(value: float | None) -> str | None:
    """As it is typed."""
    return None if value is None else f"{value:.9f}".rstrip("0").rstrip(".")


def _request(one: PlanRequest, where: str, beside: Path) -> dict[str, Any]:
    from base64 import b64encode

    if one.body and one.body_file:
        raise ConfigError(f"{where}: give body or body_file, not both")
    body = one.body.encode()
    if one.body_file:
        try:
            body = (beside / one.body_file).read_bytes()
        except OSError as error:
            raise ConfigError(f"{where}.body_file {one.body_file}: {error.strerror}") from None
    return {
        "url": one.url,
        "method": one.method.upper(),
        "headers": [list(pair) for pair in one.headers.items()],
        "body_base64": b64encode(body).decode("ascii"),
        "timeout_s": one.timeout,
        "http2": one.http2,
        "expect": one.expect,
        "weight": one.weight,
    }
