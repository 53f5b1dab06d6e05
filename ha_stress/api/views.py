"""From our own types to the models of the answers. Nothing here waits."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ha_stress.api.by_request import request_views
from ha_stress.api.latency import latency_of
from ha_stress.api.models import (
    BooksView,
    EventView,
    Latencies,
    NodeView,
    PlanRevision,
    SentinelView,
    Share,
    Task,
    TaskDetail,
)
from ha_stress.api.models_operator import ControlsView, MembershipView, SwitchoverView, TagsView
from ha_stress.api.models_task import NewProfile
from ha_stress.api.verdict import Measured, verdict_of
from ha_stress.cluster.controls import Controls
from ha_stress.cluster.events import MEANING, Event
from ha_stress.cluster.members import NodeInfo, SentinelInfo
from ha_stress.store.store import TaskRecord
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.ledger import Row, books
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import HttpRequest


def task_view(record: TaskRecord) -> Task:
    return Task.model_validate(_task_fields(record))


def task_detail(
    record: TaskRecord,
    rows: Sequence[Row],
    blobs: tuple[bytes, bytes],
    requests: Mapping[str, RequestFigures],
    timeline: list[dict[str, Any]] | None,
    found: Measured | None,
) -> TaskDetail:
    """Everything about one task; the books are recomputed from the committed rows."""
    totals = books(record.plan, rows)
    response, service = (distribution([blob]) for blob in blobs)
    return TaskDetail.model_validate(
        _task_fields(record)
        | {
            "plan": plan_view(record.plan),
            "books": BooksView.model_validate(totals, from_attributes=True),
            "failures": dict(totals.failures),
            "statuses": dict(totals.statuses),
            "check_failures": dict(totals.checks),
            "latency": Latencies(response=latency_of(response), service=latency_of(service)),
            "by_request": request_views(record.spec, requests),
            "verdict": verdict_of(record, rows, response, service, found, requests),
            "timeline": timeline,
        }
    )


def plan_view(plan: Plan | None) -> list[PlanRevision]:
    if plan is None:
        return []
    lost = frozenset(plan.lost)
    return [
        PlanRevision(
            number=revision.number,
            at_s=revision.at_s,
            rate=revision.rate,
            limit=revision.limit,
            why=revision.why,
            profile=None if revision.profile is None else NewProfile.model_validate(asdict(revision.profile)),
            origin_s=revision.origin_s,
            base=revision.base,
            users=revision.users,
            until_s=revision.until_s,
            shares=_shares(revision, lost),
        )
        for revision in plan.revisions
    ]


def _shares(revision: Revision, lost: Collection[Holder]) -> list[Share]:
    rate, slots = revision.rate_at(revision.at_s), len(revision.table)
    return [
        Share(
            node=holder.node,
            incarnation=holder.incarnation,
            rate=round(rate * len(owned) / slots, 6),
            share=round(len(owned) / slots, 9),
            lost=holder in lost,
        )
        for holder, owned in revision.slots_by_holder().items()
    ]


def event_view(event: Event) -> EventView:
    return EventView(**asdict(event), meaning=MEANING.get(event.name, ""))


def node_view(info: NodeInfo) -> NodeView:
    return NodeView.model_validate(asdict(info))


def sentinel_view(info: SentinelInfo) -> SentinelView:
    return SentinelView.model_validate(asdict(info))


def controls_view(controls: Controls, epoch: int) -> ControlsView:
    """`epoch` is the cluster's: a wish of an older one is void."""
    wish, membership = controls.switchover, controls.membership
    return ControlsView(
        revision=controls.revision,
        paused=controls.paused,
        pause_why=controls.pause_why,
        switchover=None if wish is None else SwitchoverView(epoch=wish.epoch, to=wish.to, open=wish.epoch == epoch),
        membership=MembershipView(version=membership.version, members=list(membership.members), floor=membership.floor),
        tags={name: TagsView(priority=tags.priority, draining=tags.draining) for name, tags in controls.tags.items()},
    )


def _task_fields(record: TaskRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        **_request_fields(spec.request),
        "id": spec.id,
        "name": spec.name,
        "request_name": spec.request.name,
        "requests": [_request_fields(request) for request in spec.mix],
        "scenario": None if spec.scenario is None else asdict(spec.scenario) | _problems(record.outcome),
        "rate": spec.rate,
        "profile": None if spec.profile is None else asdict(spec.profile),
        "users": spec.users,
        "think_time_s": spec.think_time_s,
        "warm_up_s": spec.warm_up_s,
        "checks": [check.text for check in spec.checks],
        "thresholds": [threshold.text for threshold in spec.thresholds],
        "duration_s": spec.duration_s,
        "in_flight_max": spec.in_flight_max,
        "nodes_max": spec.nodes_max,
        "driver": spec.driver,
        "wanted": record.wanted,
        "status": record.status,
        "intent": record.intent,
        "seen_intent": record.seen_intent,
        "epoch": record.epoch,
        "created_at": record.created_at,
        "started_at": record.plan.started_at if record.plan else None,
        "ended_at": record.ended_at,
    }


def _problems(outcome: Mapping[str, Any]) -> dict[str, str]:
    """Of the functions that run once."""
    return {f"{name}_problem": outcome.get(name, {}).get("problem", "") for name in ("setup", "teardown")}


def _request_fields(request: HttpRequest) -> dict[str, Any]:
    return asdict(request) | {"body_base64": b64encode(request.body).decode("ascii")}
