"""/explain and /doctor: what the sentinels would do now, and what is wrong.

Both wait for other processes, up to a few seconds; so they do not hold one of the API's turns, and are bounded here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Final

import trio
from fastapi import APIRouter

from ha_stress.api.models_operator import Diagnosis, ExplanationList, FindingView, SentinelExplanation
from ha_stress.api.port import ApiNode
from ha_stress.api.problems import RESPONSES
from ha_stress.base.errors import StoreUnavailable, Unavailable
from ha_stress.doctor.ask import ask_sentinels
from ha_stress.doctor.collect import collect
from ha_stress.doctor.finding import Severity
from ha_stress.doctor.findings import findings, verdict
from ha_stress.doctor.summary import summary

#: Each dials every process of the cluster: a few people may look at once, a loop of scripts may not.
LOOKS_AT_ONCE: Final = 2
#: Longer than a look takes, shorter than a caller waits.
QUEUE_S: Final = 2.0


def router_of(node: ApiNode) -> APIRouter:
    router = APIRouter(tags=["operator"], responses=RESPONSES)
    turns = trio.CapacityLimiter(LOOKS_AT_ONCE)

    @router.get("/explain")
    async def explain() -> ExplanationList:
        """What each sentinel sees and would do now: who would win, why not the others, why no failover has started."""
        async with _turn(turns):
            asked = await ask_sentinels(await node.bus.sentinels(), node.config.secret)
        return ExplanationList(
            summary=summary(asked),
            sentinels=[
                SentinelExplanation(id=one.id, ok=one.ok, problem=one.problem, explanation=dict(one.body))
                for one in asked
            ],
        )

    @router.get("/doctor")
    async def doctor() -> Diagnosis:
        """What is wrong, whose fault it is, and what to do. Takes about two seconds."""
        async with _turn(turns):
            me = node.info()
            facts = await collect(
                node.bus,
                node.config.secret,
                asked_by=me.id,
                asked_by_incarnation=me.incarnation,
                database=await _database(node),
            )
        found = findings(facts)
        return Diagnosis(
            summary=verdict(found),
            ok=all(one.severity is not Severity.PROBLEM for one in found),
            asked_by=me.id,
            findings=[FindingView(**asdict(one)) for one in found],
        )

    return router


@asynccontextmanager
async def _turn(turns: trio.CapacityLimiter) -> AsyncIterator[None]:
    me = object()
    with trio.move_on_after(QUEUE_S) as patience:
        await turns.acquire_on_behalf_of(me)
    if patience.cancelled_caught:
        raise Unavailable("several others look at the same time; try again, or ask another node")
    try:
        yield
    finally:
        turns.release_on_behalf_of(me)


async def _database(node: ApiNode) -> str:
    try:
        await node.store.fence()
        return await node.store.misplaced() or "ok"
    except StoreUnavailable as error:
        return str(error)
