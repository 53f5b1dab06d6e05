"""Whether a task may run programs, and load its targets: asked when it is created. Engines ask again when they connect.

A name that cannot be looked up now is let through: where a node sends its requests is decided by what *it* resolves.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import trio

from ha_stress.base.config import NodeConfig
from ha_stress.base.errors import NotAllowed
from ha_stress.base.limits import API_LOOKUPS_MAX
from ha_stress.base.targets import AllowedTargets
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.spec import TaskSpec

#: A caller has given up soon after. What a resolver that hangs is asked for stays in its thread until it answers.
LOOKUP_TIMEOUT_S: Final = 2.0


def check_scenario(spec: TaskSpec, config: NodeConfig) -> None:
    """NotAllowed if it is a scenario and this node's API takes none."""
    if spec.scenario is not None and not config.takes_scenarios:
        raise NotAllowed(
            "a scenario is a program, and this node does not run programs for whoever reaches its API: start the nodes with "
            "--scenarios if it shall"
        )


def lookups() -> trio.CapacityLimiter:
    """How many names a node looks up at once."""
    return trio.CapacityLimiter(API_LOOKUPS_MAX)


async def check_targets(spec: TaskSpec, allowed: AllowedTargets, limiter: trio.CapacityLimiter) -> None:
    """NotAllowed names the first target of which no address may be loaded."""
    hosts = dict.fromkeys(urlsplit(request.url).hostname or "" for request in requests_of(spec))
    found: dict[str, list[str]] = {}

    async def look_up(host: str) -> None:
        found[host] = await trio.to_thread.run_sync(_addresses, host, limiter=limiter, abandon_on_cancel=True)

    with trio.move_on_after(LOOKUP_TIMEOUT_S):
        async with trio.open_nursery() as nursery:
            for host in hosts:
                nursery.start_soon(look_up, host)
    for host in hosts:
        addresses = found.get(host, [])
        if addresses and not any(allowed.permits(address) for address in addresses):
            raise NotAllowed(_sentence(host, addresses, allowed))


def _addresses(host: str) -> list[str]:
    """All addresses of a name, or of what is one in whatever spelling; none if there are none."""
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _sentence(host: str, addresses: Iterable[str], allowed: AllowedTargets) -> str:
    first = next(iter(addresses))
    who = first if first == host else f"{host} is {first}, which"
    return (
        f"{who} is not on the allow-list ({allowed}): to load it, start the nodes with --allow {first} "
        "(beside what else is to be allowed), or set HA_STRESS_ALLOW"
    )
