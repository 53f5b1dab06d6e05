"""From a cluster's API to a run: everything that a report can tell, asked for once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from ha_stress import __version__
from ha_stress.base.errors import Unavailable
from ha_stress.report.command import command_of
from ha_stress.report.document import stretch_of
from ha_stress.report.run import Run, Stretch

#: Up to two hours a report has every second. Beyond it, stretches grow, so that it stays below some 20 MB.
_STRETCHES_MAX: Final = 7_200
#: The newest events that the cluster keeps.
_EVENTS_MAX: Final = 10_000
#: Events that belong to the run although they were written around it: the plan before, the books after.
_BEFORE_S: Final = 2.0
_AFTER_S: Final = 2.0
#: Headers whose value lets somebody in.
_SECRET: Final = re.compile("auth|cookie|token|secret|password|api-?key|session", re.IGNORECASE)
_HIDDEN: Final = "(hidden)"


T = TypeVar("T")


class Asked(Protocol):
    """What `gather` needs of `cli.client.Client`."""

    def task(self, task_id: str) -> dict[str, Any]: ...

    def series(
        self, task_id: str, *, width_s: int | None = None, after: int = -1, histograms: bool = False
    ) -> dict[str, Any]: ...

    def events(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]: ...

    def failovers(self) -> list[dict[str, Any]]: ...

    def status(self) -> dict[str, Any]: ...


def gather(client: Asked, task_id: str) -> Run:
    """Everything about a task, ended or not.

    Raises what the client raises of the task itself: NotFound if there is none, ClusterUnreachable.
    """
    task = without_secrets(client.task(task_id))
    width_s, stretches = _course(client, task_id)
    missing: list[str] = []
    nothing: list[dict[str, Any]] = []
    unknown: dict[str, Any] = {}
    events = _if_there(lambda: client.events(0, _EVENTS_MAX), nothing, "events", missing)
    failovers = _if_there(client.failovers, nothing, "failovers", missing)
    status = _if_there(client.status, unknown, "the state of the cluster", missing)
    now = time.time()
    begin = (task["started_at"] or task["created_at"]) - _BEFORE_S
    end = (task["ended_at"] or now) + _AFTER_S
    return Run(
        task=task,
        stretches=stretches,
        width_s=width_s,
        events=tuple(one for one in events if begin <= one["at_ms"] / 1000 <= end and _concerns(one, task_id)),
        failovers=tuple(one for one in failovers if begin <= (one.get("at") or 0) <= end),
        environment=_environment(status) | {"missing": missing},
        command=command_of(task),
        made_at=now,
    )


def _if_there(ask: Callable[[], T], nothing: T, what: str, missing: list[str]) -> T:
    """A report without its events is better than none: what nobody answered is said in it."""
    try:
        return ask()
    except Unavailable as error:
        missing.append(f"{what}: {error}")
        return nothing


def without_secrets(task: Mapping[str, Any]) -> dict[str, Any]:
    """The task without the values of headers that let somebody in: reports are passed on."""
    shown = dict(task) | {"headers": _hidden(task["headers"])}
    if task.get("requests"):
        shown["requests"] = [dict(one) | {"headers": _hidden(one["headers"])} for one in task["requests"]]
    return shown


def _hidden(headers: Iterable[Sequence[str]]) -> list[list[str]]:
    return [[name, _HIDDEN if _SECRET.search(name) else value] for name, value in headers]


def _course(client: Asked, task_id: str) -> tuple[int, tuple[Stretch, ...]]:
    part = client.series(task_id, width_s=1, histograms=True)
    if part["first"] is not None and part["last"] - part["first"] >= _STRETCHES_MAX:
        width_s = -(-(part["last"] - part["first"] + 1) // _STRETCHES_MAX)
        part = client.series(task_id, width_s=width_s, histograms=True)
    width_s = part["width_s"]
    buckets = list(part["buckets"])
    while part["next_after"] is not None:
        part = client.series(task_id, width_s=width_s, after=part["next_after"], histograms=True)
        buckets += part["buckets"]
    return width_s, tuple(stretch_of(bucket, width_s) for bucket in buckets)


def _concerns(event: Mapping[str, Any], task_id: str) -> bool:
    """Whether an event is of this task or of no task at all."""
    of_a_task = event["name"] in ("+task", "+revision", "+task-end", "+aborted")
    return not of_a_task or event["subject"] == task_id


def _environment(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("id", "version", "role", "priority", "cpu_percent", "memory_percent", "memory_total_bytes", "loop_lag_s")
    return {
        "version": __version__,
        "cluster": status.get("cluster", "-"),
        "epoch": status.get("epoch"),
        "master": (status.get("master") or {}).get("node"),
        "nodes": [{key: node.get(key) for key in kept} for node in status.get("nodes", ())],
        "sentinels": [{key: one.get(key) for key in ("id", "version")} for one in status.get("sentinels", ())],
    }
