"""What may stand in a plan: its keys, their types and what they are if they are left out. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ha_stress.base.errors import ConfigError, UserError
from ha_stress.base.quantities import parse_duration, parse_rate
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.thresholds import parse_threshold

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


def _length(value: Any) -> float:
    if not (found := _duration(value)):
        raise ConfigError(f"{value!r} is no length of time: it has to be above 0")
    return found


def _setting(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise ConfigError(f"{value!r} is neither a number nor a text")


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
Length = Annotated[float, BeforeValidator(_said(_length))]
Setting = Annotated[str, BeforeValidator(_said(_setting))]
Rate = Annotated[float, BeforeValidator(_said(_rate))]
Check = Annotated[str, AfterValidator(_said(_check))]
Threshold = Annotated[str, AfterValidator(_said(_threshold))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PlanRequest(_Part):
    """One request. `body_file` is read when the plan is; under its `name` it is counted."""

    url: str = ""
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    body_file: str = ""
    timeout: Duration = 10.0
    http2: bool = False
    expect: str = ""
    weight: int = 1
    name: str = ""


class PlanStage(_Part):
    duration: Length
    begin: Rate
    end: Rate


class PlanTask(PlanRequest):
    """A task; its own request and the further ones are sent in turn. `name` is the task's."""

    request_name: str = ""
    rate: Rate | None = None
    duration: Length | None = None
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
    timing: dict[str, Setting] = {}


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
