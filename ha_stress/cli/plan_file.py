"""A test plan: a TOML file with several tasks, what they must keep, what is written about them, and where it runs.

Unknown keys are errors, each with its path. Files that a plan names are looked for beside it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from ha_stress.base.config import Timing, load
from ha_stress.base.errors import ConfigError
from ha_stress.cli.files import read_text
from ha_stress.cli.options import allowed_of
from ha_stress.cli.plan_document import document_of
from ha_stress.cli.plan_model import PlanCluster, PlanFile, PlanOutputs, PlanRequest, PlanStage, PlanTask

PLAN_BYTES_MAX: Final = 1 << 20
#: Keys of which one says how much load a task is.
_MODEL: Final = frozenset({"rate", "profile", "stages", "users"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What is to be run: `tasks` as the API takes them. `outputs` is kind -> file; the key `dir` is a directory for all."""

    tasks: tuple[dict[str, Any], ...]
    name: str = ""
    cluster: PlanCluster = field(default_factory=PlanCluster)
    outputs: Mapping[str, Path] = field(default_factory=dict)


def read_plan(file: Path) -> RunPlan:
    """ConfigError names the file and what is wrong in it."""
    text = read_text(str(file), file, PLAN_BYTES_MAX)
    try:
        return plan_of(tomllib.loads(text), file.parent)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None
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
    _check_cluster(plan.cluster)
    outputs = plan.outputs.model_dump(by_alias=True)
    return RunPlan(
        tasks=tuple(document_of(task, f"tasks[{number}]", beside) for number, task in enumerate(plan.tasks)),
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
    return {**document, "tasks": [_on(defaults, one) if isinstance(one, dict) else one for one in tasks]}


def _on(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A task that says itself how much load there is wants nothing of that from the defaults."""
    if _MODEL & own.keys():
        defaults = {key: value for key, value in defaults.items() if key not in _MODEL}
    found = {**defaults, **own}
    without = "arrivals" if found.get("users") else "think_time"
    return {key: value for key, value in found.items() if key != without or key in own}


def _check_cluster(cluster: PlanCluster) -> None:
    own = [key for key in PlanCluster.model_fields if key in cluster.model_fields_set and key != "api"]
    if cluster.api and own:
        raise ConfigError(
            f"cluster.{own[0]}: it is for a cluster that is started here, and api names one that runs already"
        )
    try:
        load(Timing, cluster.timing)
    except ConfigError as error:
        raise ConfigError(f"cluster.timing.{str(error).removeprefix('configuration refused: ')}") from None
    try:
        allowed_of(cluster.allow)
    except ConfigError as error:
        raise ConfigError(f"cluster.allow: {error}") from None


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
    if error["type"] in ("model_type", "dict_type"):
        return f"{where}: input should be a table"
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
