"""From the words of a plan to those of the API. Reads the files that are named, nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

from ha_stress.api.creation import checked
from ha_stress.base.errors import ConfigError
from ha_stress.base.ids import new_task_id
from ha_stress.base.limits import REQUEST_BODY_BYTES_MAX
from ha_stress.cli.files import read_bounded
from ha_stress.cli.plan_model import PlanRequest, PlanTask
from ha_stress.cli.task_document import as_first, profile_document, scenario_document
from ha_stress.tasks.admission import check_request
from ha_stress.tasks.spec import HttpRequest


def document_of(task: PlanTask, where: str, beside: Path) -> dict[str, Any]:
    """What creates the task, checked. `where` it stands is how a ConfigError begins; files are `beside` the plan."""
    first, *further = _requests(task, where, beside)
    document = {
        **as_first(first),
        "id": new_task_id(),
        "name": task.name or None,
        "requests": further,
        "scenario": _scenario(task, where, beside),
        **_load(task, where),
        "checks": task.checks,
        "thresholds": task.thresholds,
    }
    try:
        spec = checked(document)
    except ConfigError as error:
        joint = "." if re.match(r"\w+(\.\w+)*: ", str(error)) else ": "  # a key, or a sentence
        raise ConfigError(f"{where}{joint}{error}") from None
    if spec.duration_s is None:
        raise ConfigError(f"{where}.duration: missing; a run has an end, write for example duration = '20s'")
    return document | {"duration_s": spec.duration_s}


def _load(task: PlanTask, where: str) -> dict[str, Any]:
    """Who sends, how often, for how long."""
    if task.rate is None and not (task.profile or task.stages or task.users):
        raise ConfigError(f"{where}.rate: missing; give rate, profile, stages or users")
    if task.stages and task.profile:
        raise ConfigError(f"{where}: give profile or stages, not both")
    profile = profile_document(task.profile, task.arrivals, at=f"{where}.")
    if task.stages:
        stages = [{"duration_s": one.duration, "begin": one.begin, "end": one.end} for one in task.stages]
        profile = {**(profile or {}), "stages": stages}
    return {
        "rate": 0.0 if task.stages else task.rate or 0.0,
        "profile": profile,
        "users": task.users,
        "think_time_s": task.think_time,
        "duration_s": task.duration,
        "warm_up_s": task.warm_up,
        "in_flight_max": task.in_flight_max,
        "nodes_max": task.nodes_max,
    }


def _requests(task: PlanTask, where: str, beside: Path) -> list[dict[str, Any]]:
    """The task's own request, if it has a URL, and the further ones, to which its time limit applies as well."""
    further = []
    for number, one in enumerate(task.requests):
        own = one if "timeout" in one.model_fields_set else one.model_copy(update={"timeout": task.timeout})
        further.append(_request(own, f"{where}.requests[{number}]", beside))
    if task.url or not further:
        return [_request(task, where, beside) | {"name": task.request_name}, *further]
    for key in (*PlanRequest.model_fields, "request_name"):
        if key in task.model_fields_set and key not in ("url", "timeout", "name"):
            raise ConfigError(f"{where}.{key}: it belongs to a request; give url as well, or say it in requests")
    return further


def _request(one: PlanRequest, where: str, beside: Path) -> dict[str, Any]:
    if not one.url:
        raise ConfigError(f"{where}.url: missing")
    if one.body and one.body_file:
        raise ConfigError(f"{where}: give body or body_file, not both")
    body = one.body.encode()
    if one.body_file:
        body = read_bounded(f"{where}.body_file {one.body_file}", beside / one.body_file, REQUEST_BODY_BYTES_MAX)
    try:
        check_request(_bare(one))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return {
        "url": one.url,
        "method": one.method.upper(),
        "headers": [list(pair) for pair in one.headers.items()],
        "body_base64": b64encode(body).decode("ascii"),
        "timeout_s": one.timeout,
        "http2": one.http2,
        "expect": one.expect,
        "weight": one.weight,
        "name": one.name,
    }


def _bare(one: PlanRequest) -> HttpRequest:
    """Without its body."""
    return HttpRequest(
        url=one.url,
        method=one.method.upper(),
        headers=tuple(one.headers.items()),
        timeout_s=one.timeout,
        http2=one.http2,
        expect=one.expect,
        weight=one.weight,
    )


def _scenario(task: PlanTask, where: str, beside: Path) -> dict[str, Any] | None:
    data = {name: beside / file for name, file in task.data.items()}
    once = {name: beside / file for name, file in task.data_once.items()}
    return scenario_document(beside / task.scenario if task.scenario else None, data, once, at=f"{where}.")
