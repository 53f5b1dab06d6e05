"""The figures of a task's requests by name, as they are shown. Decodes histograms: not to be called on a loop."""

from __future__ import annotations

from collections.abc import Mapping

from ha_stress.api.latency import latency_of
from ha_stress.api.models import RequestFiguresView, RequestLatency
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.request_names import names_of
from ha_stress.tasks.spec import TaskSpec


def several(spec: TaskSpec) -> bool:
    """Whether the requests of the task are told apart."""
    return bool(spec.mix) or spec.scenario is not None


def request_views(spec: TaskSpec, found: Mapping[str, RequestFigures]) -> list[RequestFiguresView]:
    """Those of a mix in the order in which the task names them, with those that were not sent; those of a scenario in the
    order in which they came."""
    names = list(dict.fromkeys(names_of(requests_of(spec)))) if spec.mix else []
    names += [name for name in found if name not in names]
    return [_view(name, found.get(name, RequestFigures())) for name in names]


def _view(name: str, figures: RequestFigures) -> RequestFiguresView:
    return RequestFiguresView(
        name=name,
        started=figures.started,
        completed=figures.completed,
        failed=figures.failed_total,
        wrong=figures.wrong,
        failures=dict(figures.failed),
        statuses=dict(figures.statuses),
        service=_latency(figures.service_us),
    )


def _latency(blob: bytes) -> RequestLatency | None:
    service = distribution([blob])
    latency = latency_of(service)
    if latency is None:
        return None
    return RequestLatency(**latency.model_dump(), p95_ms=round(service.at(95) / 1000, 3))
