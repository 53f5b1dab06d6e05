"""Which exchange carries a request. The libraries of a protocol are loaded by the first request that speaks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from ha_stress.base.limits import IN_FLIGHT_MAX
from ha_stress.engines import failures
from ha_stress.engines.exchange.arrival import Arrival
from ha_stress.engines.exchange.interface import Exchange
from ha_stress.engines.exchange.reach import Reach, Traffic
from ha_stress.engines.exchange.reasons import Failed
from ha_stress.tasks.checking import Compiled, compiled
from ha_stress.tasks.checks import Subject
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.spec import HttpRequest

if TYPE_CHECKING:
    from ha_stress.engines.exchange.pools import Pools


def exchanges_of(
    share: TaskShare,
    *,
    blobs: Mapping[str, bytes],
    checks: Compiled,
    reach: Reach,
    traffic: Traffic,
    nursery: trio.Nursery,
) -> list[Exchange]:
    """One for each request of the task, or the one that runs its scenario.

    Checks look at what there is to look at: a message has no status, a scenario only a duration.
    """
    if share.scenario is not None:
        from ha_stress.engines.exchange.play import Play

        checks = compiled(check for check in share.checks if check.subject is Subject.LATENCY)
        return [Play(share, blobs=blobs, checks=checks, reach=reach, traffic=traffic, nursery=nursery)]
    bodies = compiled(check for check in share.checks if check.subject not in (Subject.STATUS, Subject.HEADER))
    make = _Maker(blobs=blobs, checks=checks, bodies=bodies, reach=reach, traffic=traffic, nursery=nursery)
    return [make.exchange(request) for request in requests_of(share)]


class Missing:
    """Stands for a request whose body is not here."""

    def __init__(self, digest: str) -> None:
        self._digest = digest

    async def run(self, arrival: Arrival) -> None:
        raise Failed(failures.NO_DATA, f"the stored data {self._digest} is not there")

    def close(self) -> None:
        pass


class _Maker:
    def __init__(
        self,
        *,
        blobs: Mapping[str, bytes],
        checks: Compiled,
        bodies: Compiled,
        reach: Reach,
        traffic: Traffic,
        nursery: trio.Nursery,
    ) -> None:
        self._blobs = blobs
        self._checks = checks
        self._bodies = bodies
        self._reach = reach
        self._traffic = traffic
        self._nursery = nursery
        self._pools: dict[bool, Pools] = {}

    def exchange(self, request: HttpRequest) -> Exchange:
        body: bytes | None = request.body
        if request.body_blob:
            body = self._blobs.get(request.body_blob)
        if body is None:
            return Missing(request.body_blob)
        match urlsplit(request.url).scheme:
            case "tcp":
                from ha_stress.engines.exchange.tcp import TcpExchange

                return TcpExchange(request, body, self._bodies, self._reach, self._traffic)
            case "ws" | "wss":
                from ha_stress.engines.exchange.websocket import Opener, WebSocketExchange

                return WebSocketExchange(
                    request, body, self._bodies, Opener(self._reach, self._traffic, self._nursery), self._traffic
                )
            case _:
                from ha_stress.engines.exchange.web import WebExchange

                return WebExchange(request, body, self._checks, self._pools_for(request.http2), self._nursery)

    def _pools_for(self, http2: bool) -> Pools:
        from ha_stress.engines.exchange.pools import Pools

        return self._pools.setdefault(http2, Pools(self._reach, self._traffic, http2=http2, most=IN_FLIGHT_MAX))
