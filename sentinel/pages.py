"""What a sentinel answers over HTTP: health in Patroni's manner, metrics, and why it does what it does.

/liveness    the process answers
/health      it trusts itself (no tilt, its loop is in time) and its vote can be written
/readiness   healthy, a member, Redis answers, and a majority of the sentinels was heard from: it can take part in a failover
/metrics     for Prometheus
/explain     who would win an election now, why not the others, and why no failover has started

A probe asks nobody else: everything is known already, so that a thousand probes cost Redis nothing. Like the API of a node
these pages ask for no secret, and change nothing. What takes a while to make is made a few times a second at most, so that
whoever asks without end does not make the votes late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from ha_stress.base.clock import Clock
from ha_stress.cluster.members import SentinelInfo
from sentinel.explain import explain
from sentinel.http import Page, Pages, json_page
from sentinel.seat import Seat

#: An answer that is costly to make is given again for this long.
KEPT_S = 0.25


class Self(Protocol):
    """A sentinel, as its pages see it."""

    @property
    def core(self) -> Seat: ...

    @property
    def clock(self) -> Clock: ...

    def info(self) -> SentinelInfo: ...


def unhealthy(me: Self) -> str:
    """Why this sentinel should be looked at; empty if it need not be."""
    core, lag_s = me.core, me.info().loop_lag_s
    if core.watch.tilt:
        return "in tilt: its loop was stalled, so it observes only"
    if core.voter.problem:
        return f"the vote file cannot be written: {core.voter.problem}"
    if lag_s > core.config.timing.ping_period_s:
        return f"its loop is {lag_s * 1000:.0f} ms late, longer than the time between two pings"
    return ""


def unready(me: Self) -> str:
    """Why this sentinel could take no part in a failover; empty if it could."""
    reason = unhealthy(me)
    core = me.core
    members, majority = core.membership.members, core.campaign.majority
    heard = 1 + len(core.watch.fresh(me.clock.now()))
    if reason:
        return reason
    if core.id not in members:
        return "it is not a member: it watches, and has no vote"
    if core.watch.bus_up_since is None:
        return "Redis does not answer"
    if heard < majority:
        return f"it hears {heard} of {len(members)} sentinels, itself included; a majority is {majority}"
    return ""


def pages_of(me: Self, metrics: Callable[[], Page]) -> Pages:
    def answer(reason: str) -> Page:
        body = {"ok": not reason, "sentinel": me.core.id, "epoch": me.core.record.epoch, "reason": reason or "ok"}
        return json_page(body, 503 if reason else 200)

    async def liveness() -> Page:
        await trio.lowlevel.checkpoint()
        return answer("")

    async def health() -> Page:
        return answer(unhealthy(me))

    async def readiness() -> Page:
        return answer(unready(me))

    explained = _kept(lambda: json_page(explain(me.core, me.clock.now())), me.clock)
    measured = _kept(metrics, me.clock)

    async def explanation() -> Page:
        return explained()

    async def metrics_page() -> Page:
        # The first import takes some 20 ms, and a sentinel that nobody scrapes does without its memory.
        await trio.to_thread.run_sync(_read_library)
        return measured()

    async def index() -> Page:
        return json_page({"sentinel": me.core.id, "pages": list(pages)})

    pages: Pages = {
        "/": index,
        "/liveness": liveness,
        "/health": health,
        "/readiness": readiness,
        "/metrics": metrics_page,
        "/explain": explanation,
    }
    return pages


def _kept(make: Callable[[], Page], clock: Clock) -> Callable[[], Page]:
    """`make`, at most once each KEPT_S."""
    kept: tuple[float, Page] | None = None

    def page() -> Page:
        nonlocal kept
        now = clock.now()
        if kept is None or now - kept[0] >= KEPT_S:
            kept = (now, make())
        return kept[1]

    return page


def _read_library() -> None:
    import prometheus_client  # noqa: F401
