"""/status, /events and /failovers: what the cluster is and what happened to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import trio
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from ha_stress.api.answers import answered
from ha_stress.api.models import EventList, FailoverList, Master, StatusView
from ha_stress.api.port import ApiNode
from ha_stress.api.problems import RESPONSES
from ha_stress.api.stream import EventStream, StreamSlots
from ha_stress.api.views import controls_view, event_view, node_view, sentinel_view
from ha_stress.base.errors import BusUnavailable, NotFound, ProtocolError, StoreUnavailable
from ha_stress.base.limits import EVENT_STREAM_MAX, EVENT_STREAMS_MAX, SEQUENCE_MAX
from ha_stress.cluster.controls import Controls
from ha_stress.cluster.mastership import NOBODY, Mastership, newer
from ha_stress.cluster.members import NodeInfo, SentinelInfo


async def status_of(node: ApiNode) -> Callable[[], StatusView]:
    """What makes the answer; of many nodes that takes a while. Never fails: a server that does not answer is a sentence in
    it."""
    record: Mastership = NOBODY
    nodes: list[NodeInfo] = []
    sentinels: list[SentinelInfo] = []
    controls: Controls | None = None
    redis = database = "ok"

    async def ask_redis() -> None:
        nonlocal record, nodes, sentinels, controls, redis
        try:
            record = await node.bus.mastership()
            nodes = await node.bus.nodes()
            sentinels = await node.bus.sentinels()
            controls = await node.bus.controls()
        except (BusUnavailable, ProtocolError) as error:
            redis = str(error)

    async def ask_database() -> None:
        nonlocal database
        try:
            await node.store.fence()
        except StoreUnavailable as error:
            database = str(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_redis)
        nursery.start_soon(ask_database)

    me = node.info()
    # This node's own words are fresher than what it published last, and all there is while Redis is away.
    known = {info.id: info for info in nodes} | {me.id: me}
    record = newer(record, node.record())
    return lambda: StatusView(
        cluster=node.config.cluster,
        answered_by=me.id,
        epoch=record.epoch,
        master=_master(record, known),
        nodes=[node_view(info) for _, info in sorted(known.items())],
        sentinels=[sentinel_view(info) for info in sorted(sentinels, key=lambda info: info.id)],
        controls=None if controls is None else controls_view(controls, record.epoch),
        redis=redis,
        database=database,
    )


async def failovers_of(node: ApiNode) -> dict[int, dict[str, Any]]:
    """By epoch, out of both places; BusUnavailable only if neither answers."""
    merged: dict[int, dict[str, Any]] = {}
    answered = False
    try:
        merged |= await node.store.failovers()
        answered = True
    except StoreUnavailable:
        pass  # Redis keeps the newest ones
    try:
        # Redis has the newer words about an epoch: the leader goes on writing until the winner acts.
        merged |= await node.bus.failovers()
    except (BusUnavailable, ProtocolError):
        if not answered:
            raise
    return dict(sorted(merged.items()))


def router_of(node: ApiNode) -> APIRouter:
    router = APIRouter(tags=["cluster"], responses=RESPONSES)
    slots = StreamSlots(EVENT_STREAMS_MAX)

    @router.get("/status", response_model=StatusView)
    async def status() -> Response:
        """Who is who now."""
        return await answered(await status_of(node))

    @router.get("/events", response_model=EventList)
    async def events(
        after: Annotated[
            int, Query(ge=0, le=SEQUENCE_MAX, description="Only events with a higher sequence; 0: the newest")
        ] = 0,
        limit: Annotated[int, Query(ge=1, le=EVENT_STREAM_MAX)] = 1000,
    ) -> Response:
        """Events, oldest first. Sequences have no gaps: a jump means that older ones have left the stream."""
        found = await node.bus.events(after, limit)
        return await answered(lambda: EventList(events=[event_view(event) for event in found]))

    @router.get("/events/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
    async def event_stream(
        after: Annotated[
            int | None, Query(ge=0, le=SEQUENCE_MAX, description="Replay from here; left out: only new ones")
        ] = None,
        last_event_id: Annotated[int | None, Header(ge=0, le=SEQUENCE_MAX)] = None,
    ) -> Response:
        """Server-sent events: replay from `after`, then live. `id` is the sequence, `event` the name."""
        return EventStream(node.bus, slots.take(), last_event_id if last_event_id is not None else after)

    @router.get("/failovers")
    async def failovers() -> FailoverList:
        """Every failover that Redis or the database remembers, by epoch."""
        return FailoverList(failovers=list((await failovers_of(node)).values()))

    @router.get("/failovers/{epoch}")
    async def failover(epoch: int) -> dict[str, Any]:
        """One failover: its phases, votes and candidate table."""
        known = await failovers_of(node)
        if epoch not in known:
            have = ", ".join(map(str, known)) or "none"
            raise NotFound(f"no failover has epoch {epoch}; known epochs: {have}")
        return known[epoch]

    return router


def _master(record: Mastership, known: dict[str, NodeInfo]) -> Master | None:
    if record.epoch == 0:
        return None
    info = known.get(record.node)
    named = info is not None and record.held_by(info.id, info.incarnation)
    acting = info is not None and named and info.acting and info.epoch == record.epoch
    return Master(node=record.node, incarnation=record.incarnation, acting=acting)
