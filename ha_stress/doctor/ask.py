"""Questions over the mesh: each process is asked at once and has about a second. Nothing raises; silence is an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import trio

from ha_stress.base.addresses import endpoint
from ha_stress.base.errors import MeshUnavailable, ProtocolError
from ha_stress.base.limits import SENTINELS_MAX
from ha_stress.cluster.members import NodeInfo, SentinelInfo
from ha_stress.doctor.facts import Asked, Dialled, Explanation
from ha_stress.mesh.client import connect_mesh
from ha_stress.wire.codec import from_plain
from ha_stress.wire.messages import Answer, Question

#: A sentinel on the same network answers within milliseconds; one that needs a second is as good as away.
ANSWER_TIMEOUT_S: Final = 1.0
#: A sentinel that has described itself within this time of the newest is asked, though nobody names it as a member.
RECENT_S: Final = 10.0
#: Nodes that are dialled: a wrong secret shows at the first ones.
DIALLED_MAX: Final = 100
_DIALS_AT_ONCE: Final = 50


def worth_asking(sentinels: Sequence[SentinelInfo]) -> list[SentinelInfo]:
    """Those that are alive by their words or named as members by such; the registry also keeps those of years ago."""
    newest = max((info.sent_at for info in sentinels), default=0.0)
    recent = [info for info in sentinels if newest - info.sent_at < RECENT_S]
    named = {member for info in recent for member in info.members} | {info.id for info in recent}
    return [info for info in sentinels if info.id in named][:SENTINELS_MAX]


async def ask_sentinels(sentinels: Sequence[SentinelInfo], secret: str) -> list[Asked]:
    """Ask each that is worth it for its explanation, all at once; by id."""
    found: list[Asked] = []

    async def one(info: SentinelInfo) -> None:
        found.append(await _ask(info, secret))

    async with trio.open_nursery() as nursery:
        for info in worth_asking(sentinels):
            nursery.start_soon(one, info)
    return sorted(found, key=lambda asked: asked.id)


async def dial_nodes(nodes: Sequence[NodeInfo], secret: str) -> list[Dialled]:
    """Dial the mesh endpoint of each, prove the secret, and hang up; by id."""
    found: list[Dialled] = []
    lines = trio.CapacityLimiter(_DIALS_AT_ONCE)

    async def one(info: NodeInfo) -> None:
        async with lines:
            try:
                async with connect_mesh(info.mesh_host, info.mesh_port, secret, connect_timeout_s=ANSWER_TIMEOUT_S):
                    found.append(Dialled(id=info.id))
            except MeshUnavailable as error:
                found.append(Dialled(id=info.id, problem=str(error), refused_secret=error.refused_secret))

    async with trio.open_nursery() as nursery:
        for info in nodes[:DIALLED_MAX]:
            nursery.start_soon(one, info)
    return sorted(found, key=lambda dialled: dialled.id)


async def _ask(info: SentinelInfo, secret: str) -> Asked:
    where = endpoint(info.mesh_host, info.mesh_port)
    try:
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            async with connect_mesh(
                info.mesh_host, info.mesh_port, secret, connect_timeout_s=ANSWER_TIMEOUT_S
            ) as connection:
                await connection.send(Question(about="explain"))
                while not isinstance(answer := await connection.receive(), Answer):
                    pass
                return _read(info.id, answer)
    except MeshUnavailable as error:
        return Asked(id=info.id, problem=str(error), refused_secret=error.refused_secret)
    except ProtocolError as error:
        return Asked(id=info.id, problem=f"{where} answered what this version cannot read: {error}")
    return Asked(id=info.id, problem=f"{where} did not answer within {ANSWER_TIMEOUT_S:g} s")


def _read(sentinel: str, answer: Answer) -> Asked:
    try:
        body = json.loads(answer.body)
        if not isinstance(body, dict):
            raise ValueError("not an object")
    except ValueError as error:
        return Asked(id=sentinel, problem=f"its answer is not JSON: {error}")
    if "problem" in body:
        return Asked(id=sentinel, problem=str(body["problem"]))
    if answer.sender != sentinel:
        return Asked(id=sentinel, problem=f"{answer.sender} answers at its address")
    try:
        return Asked(id=sentinel, body=body, seen=from_plain(Explanation, body))
    except ProtocolError as error:
        return Asked(id=sentinel, problem=f"its answer is of another version: {error}")
