"""Health endpoints in Patroni's manner: 200 or 503, for load balancers and orchestrators. The body says why.

/liveness    the process answers
/health      it considers itself healthy and is not leaving
/readiness   healthy, and Redis and the database answer: it can take a request
/master      it is the master and may act
/worker      it is a worker
"""

from __future__ import annotations

from typing import Any

import trio
from fastapi import APIRouter, Response
from fastapi.routing import APIRoute

from ha_stress.api.models import Health
from ha_stress.api.port import ApiNode
from ha_stress.base.errors import BusUnavailable, StoreUnavailable
from ha_stress.cluster.members import Role

_503: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "No"}}


async def _unready(node: ApiNode) -> str:
    """Why this node cannot take a request; empty if it can."""
    reason = _unhealthy(node)
    try:
        await node.bus.ping()
        await node.store.fence()
    except (BusUnavailable, StoreUnavailable) as error:
        reason = reason or str(error)
    return reason


def _unhealthy(node: ApiNode) -> str:
    info = node.info()
    if not info.healthy:
        return "the node reports itself unhealthy"
    if info.leaving or info.role is Role.LEAVING:
        return "the node is leaving"
    if info.role is Role.STARTING:
        return "the node is starting"
    return ""


def router_of(node: ApiNode) -> APIRouter:
    router = APIRouter(tags=["health"], responses=_503)

    def answer(response: Response, reason: str) -> Health:
        info = node.info()
        response.status_code = 503 if reason else 200
        return Health(
            ok=not reason, node=info.id, role=info.role, epoch=info.epoch, acting=info.acting, reason=reason or "ok"
        )

    @router.get("/liveness")
    async def liveness(response: Response) -> Health:
        await trio.lowlevel.checkpoint()
        return answer(response, "")

    @router.get("/health")
    async def health(response: Response) -> Health:
        return answer(response, _unhealthy(node))

    @router.get("/readiness")
    async def readiness(response: Response) -> Health:
        return answer(response, await _unready(node))

    @router.get("/master")
    async def master(response: Response) -> Health:
        info = node.info()
        if info.role is not Role.MASTER:
            return answer(response, f"the node is a {info.role}")
        return answer(response, "" if info.acting else "the master is suspended: it could not renew its lease")

    @router.get("/worker")
    async def worker(response: Response) -> Health:
        info = node.info()
        return answer(response, "" if info.role is Role.WORKER else f"the node is a {info.role}")

    # Load balancers ask without wanting a body: HAProxy's checks are OPTIONS requests by default.
    for route in [route for route in router.routes if isinstance(route, APIRoute)]:
        router.add_api_route(route.path, route.endpoint, methods=["HEAD", "OPTIONS"], include_in_schema=False)
    return router
