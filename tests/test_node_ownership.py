"""Whose is a node's id, when two processes have registered under it."""

from __future__ import annotations

from pathlib import Path

from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.node.ownership import Ownership, Verdict
from tests.redis_server import cluster, eventually, valkey
from tests.test_original_bugs import TIMING, World

__all__ = ["cluster", "valkey"]  # fixtures


def test_who_is_refused_while_another_one_speaks_ends() -> None:
    assert Ownership(4.0).refused(10.0, other_speaks=True) is Verdict.END


def test_who_is_refused_while_nobody_speaks_waits_and_then_registers_again() -> None:
    mine = Ownership(4.0)
    assert mine.refused(10.0, other_speaks=False) is Verdict.WAIT
    assert mine.refused(13.9, other_speaks=False) is Verdict.WAIT
    assert mine.refused(14.0, other_speaks=False) is Verdict.REGISTER
    assert mine.refused(14.1, other_speaks=False) is Verdict.WAIT, "it takes its time each time"


def test_a_description_that_was_taken_ends_the_doubt() -> None:
    mine = Ownership(4.0)
    mine.refused(10.0, other_speaks=False)
    mine.granted()
    assert mine.refused(20.0, other_speaks=False) is Verdict.WAIT


async def test_a_registration_of_a_dead_process_that_came_late_does_not_hide_the_living_one(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with World.open(valkey, cluster, tmp_path) as world:
        node = await world.node("n1")
        await node.bus.register("n1", "dead-process")

        async def is_listed() -> bool:
            return [info.incarnation for info in await node.bus.nodes()] == [node.holder.incarnation]

        async def is_hidden() -> bool:
            return not await node.bus.nodes()

        await eventually(is_hidden, "the dead one owns the id")
        await eventually(is_listed, "the living one took it back", timeout_s=10 * TIMING.info_expiry_s)
