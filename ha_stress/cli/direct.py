"""Look at a cluster without any node: from Redis and over the mesh, as at three in the morning no node may be alive."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ha_stress.cli.options import client_of

if TYPE_CHECKING:
    from ha_stress.bus.client import Bus
    from ha_stress.cli.client import Client

T = TypeVar("T")

_DEFAULT_REDIS = "redis://127.0.0.1:6379/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to look, and what to say there."""

    redis: str
    cluster: str
    secret: str


def place_of(redis: str, cluster: str, secret: str, secret_file: Path | None, data_dir: Path | None) -> Place:
    """As given, or else as the local cluster in the directory describes itself, or else the defaults of the servers."""
    from ha_stress.base.ids import check_name
    from ha_stress.cli.client import data_dir_of, local_cluster
    from ha_stress.cli.server_commands import secret_of

    directory = data_dir_of(data_dir)
    local = local_cluster(directory) or {}
    if redis and redis != local.get("redis_url"):
        local = {}  # another cluster than the one that happens to run here
    kept = directory / "secret"
    if not secret and secret_file is None and local and kept.exists():
        secret_file = kept
    return Place(
        redis=redis or os.environ.get("HA_STRESS_REDIS", "") or str(local.get("redis_url", _DEFAULT_REDIS)),
        cluster=check_name("cluster", cluster or str(local.get("cluster", "default"))),
        secret=secret_of(secret, secret_file),
    )


def by_a_node(api: list[str], data_dir: Path | None, ask: Callable[[Client], dict[str, Any]]) -> dict[str, Any] | None:
    """What a node answers; None, and a line on standard error, if there is none that answers."""
    from ha_stress.cli.client import ClusterUnreachable
    from ha_stress.cli.output import console

    with client_of(api, data_dir) as client:
        try:
            return ask(client)
        except ClusterUnreachable as error:
            words = f"No node answers ({error.tried}); looking from here instead."
            console(stderr=True).print(words, style="yellow", markup=False, soft_wrap=True)
            return None


def doctor_from_here(place: Place) -> dict[str, Any]:
    from ha_stress.doctor.collect import collect
    from ha_stress.doctor.facts import Facts
    from ha_stress.doctor.finding import Severity
    from ha_stress.doctor.findings import findings, verdict

    async def look(bus: Bus) -> Facts:
        return await collect(bus, place.secret)

    found = findings(_with_bus(place, look))
    return {
        "summary": verdict(found),
        "ok": all(one.severity is not Severity.PROBLEM for one in found),
        "asked_by": "",
        "findings": [asdict(one) for one in found],
    }


def explain_from_here(place: Place) -> dict[str, Any]:
    from ha_stress.doctor.ask import ask_sentinels
    from ha_stress.doctor.facts import Asked
    from ha_stress.doctor.summary import summary

    async def look(bus: Bus) -> list[Asked]:
        return await ask_sentinels(await bus.sentinels(), place.secret)

    asked = _with_bus(place, look)
    return {
        "summary": summary(asked),
        "sentinels": [
            {"id": one.id, "ok": one.ok, "problem": one.problem, "explanation": dict(one.body)} for one in asked
        ],
    }


def _with_bus(place: Place, look: Callable[[Bus], Awaitable[T]]) -> T:
    import trio

    from ha_stress import log
    from ha_stress.bus.client import open_bus

    async def opened() -> T:
        async with open_bus(place.redis, place.cluster) as bus:
            return await look(bus)

    log.configure("error", False)  # what cannot be read comes out in the answer
    return trio.run(opened)
