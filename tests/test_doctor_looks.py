"""How the doctor collects its facts: several looks at the registry, and questions to real servers."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.bus.client import Bus, open_bus
from ha_stress.cluster.members import SentinelInfo
from ha_stress.doctor.ask import worth_asking
from ha_stress.doctor.collect import collect
from ha_stress.doctor.facts import Dialled, Watched
from ha_stress.doctor.finding import Severity
from ha_stress.doctor.findings import findings
from ha_stress.doctor.watched import Look, watched
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.server import serve_mesh
from tests.operator_support import answering, explanation, node_info, sentinel_info
from tests.redis_server import DEBIAN_REDIS, any_redis_url, cluster, debian_redis, plain_client, redis_process, valkey

__all__ = ["any_redis_url", "cluster", "debian_redis", "valkey"]


def sentinel(name: str, **fields: Any) -> SentinelInfo:
    return sentinel_info(name, **({"sent_at": 1_000_000.0} | fields))


def look(at_s: float, *infos: SentinelInfo) -> Look:
    return Look(at_s=at_s, sentinels=infos)


def test_two_sentinels_of_one_id_are_seen_to_take_turns() -> None:
    a, b = sentinel("s1", incarnation="a"), sentinel("s1", incarnation="b")
    found = watched([look(0, a), look(1, b), look(2, b), look(3, a)])
    assert found.incarnations == {"sentinel s1": ("a", "b", "a")}


def test_who_describes_itself_anew_lives() -> None:
    silent = sentinel("s2", sent_at=1.0)
    found = watched([look(0, sentinel("s1", sent_at=1.0), silent), look(1, sentinel("s1", sent_at=2.0), silent)])
    assert found.living == {"s1"}


@pytest.mark.parametrize(("skew_s", "least", "most"), [(0.0, 0.0, 0.0), (5.0, 4.8, 5.0), (-5.0, -5.0, -4.8)])
def test_a_clock_is_compared_with_the_moments_between_which_it_was_read(
    skew_s: float, least: float, most: float
) -> None:
    moments = [0.2 * number for number in range(12)]
    published = [math.floor(at - 0.05) + 0.05 + skew_s for at in moments]  # once a second, a little after the full one
    found = watched([look(at, sentinel("s1", sent_at=sent)) for at, sent in zip(moments, published, strict=True)])
    assert least <= found.skew_s["sentinel s1"] <= most


def test_nothing_is_said_of_a_clock_that_was_not_heard() -> None:
    assert watched([look(0, sentinel("s1")), look(1, sentinel("s1"))]).skew_s == {}
    assert watched([]) == Watched()


def test_those_that_left_long_ago_are_not_asked_but_members_are() -> None:
    infos = [
        sentinel("s1", sent_at=1_000_000.0),
        sentinel("s2", sent_at=1_000_000.0 - 3600),
        sentinel("s8", sent_at=1_000_000.0 - 3600, members=("s8",)),
    ]
    assert [info.id for info in worth_asking(infos)] == ["s1", "s2"]


# With real servers.


@pytest.fixture
async def bus(any_redis_url: str, cluster: str) -> AsyncIterator[Bus]:
    async with open_bus(any_redis_url, cluster) as bus:
        yield bus


async def test_two_real_writers_under_one_id_are_found(bus: Bus) -> None:
    async def describe(incarnation: str, every_s: float) -> None:
        while True:
            await bus.publish_sentinel(sentinel("s1", incarnation=incarnation, sent_at=time.time()))
            await trio.sleep(every_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(describe, "a", 0.3)
        nursery.start_soon(describe, "b", 0.37)
        with trio.fail_after(20):
            found = await collect(bus, "")
        nursery.cancel_scope.cancel()
    assert any("two processes run as sentinel s1" in one.found for one in findings(found))
    assert found.watched.living == {"s1"}


async def test_a_wrong_secret_is_told_from_a_dead_process_and_a_clock_is_measured(bus: Bus) -> None:
    async def deaf(connection: Connection) -> None:
        await trio.sleep_forever()

    async def describe(info: SentinelInfo) -> None:
        while True:
            await bus.publish_sentinel(replace(info, sent_at=time.time() - 30))
            await trio.sleep(0.2)

    async with answering("s1", explanation("s1"), secret="right") as first, trio.open_nursery() as nursery:
        port = await nursery.start(serve_mesh, "127.0.0.1", 0, "wrong", deaf)
        nursery.start_soon(describe, sentinel("s1", mesh_port=first))
        nursery.start_soon(describe, sentinel("s2", mesh_port=port))
        await bus.publish_sentinel(sentinel("s3", mesh_port=1, sent_at=time.time() - 300))
        await bus.register("n1", "i1")
        await bus.publish_info(node_info("n1", incarnation="i1", mesh_port=port), 60.0)
        with trio.fail_after(20):
            found = await collect(bus, "right")
        nursery.cancel_scope.cancel()
    refused = {one.id: one.refused_secret for one in found.asked}
    assert refused == {"s1": False, "s2": True, "s3": False}
    assert found.asked[0].ok and "nothing listens" in found.asked[2].problem
    assert found.dialled == (Dialled(id="n1", problem=found.dialled[0].problem, refused_secret=True),)
    said = {one.about: one.found for one in findings(found) if one.severity is not Severity.OK}
    assert "node n1 refuse the secret" in said["secret"] and "sentinel s2" in said["secret"]
    assert found.watched.skew_s["sentinel s1"] == pytest.approx(-30, abs=1)
    assert found.our_skew_s == pytest.approx(0, abs=0.5)
    assert {info.id for info in found.living_sentinels} == {"s1", "s2"}


async def test_controls_that_cannot_be_read_do_not_keep_the_doctor_from_the_rest(bus: Bus) -> None:
    await bus._link.call(lambda client: client.hset(bus.keys.controls, "revision", "many"))
    found = await collect(bus, "")
    assert "revision" in found.controls_problem and not found.redis_problem
    assert found.server["config:appendonly"] in ("yes", "no")


async def test_a_record_that_cannot_be_read_is_told_from_a_redis_that_is_away(bus: Bus) -> None:
    await bus._link.call(lambda client: client.set(bus.keys.mastership, "text"))
    [found] = [one for one in findings(await collect(bus, "")) if one.about == "redis data"]
    assert bus.keys.mastership in found.found and found.cure.startswith("delete that key")


async def test_without_redis_the_finding_is_redis() -> None:
    async with open_bus("redis://127.0.0.1:1", "c") as nowhere:
        found = await collect(nowhere, "")
    assert "cannot be reached" in findings(found)[0].found


@pytest.mark.skipif(DEBIAN_REDIS is None, reason="redis-server is not installed")
async def test_a_server_that_refuses_config_is_said_to(tmp_path: Path) -> None:
    with redis_process(tmp_path, "--rename-command", "CONFIG", "") as url:
        async with open_bus(url, "c") as hosted:
            found = await collect(hosted, "")
    assert "config_problem" in found.server
    [one] = [one for one in findings(found) if one.about == "redis persistence"]
    assert "CONFIG is refused" in one.found and one.severity is Severity.WARNING


async def test_the_doctor_works_with_the_rights_that_the_documentation_asks_for(redis_url: str, cluster: str) -> None:
    with plain_client(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "u", "on", ">pw", "~hs:*", "&hs:*", "+@all", "-@dangerous")
    async with open_bus(redis_url.replace("redis://", "redis://u:pw@"), cluster) as bus:
        facts = await collect(bus, "")
    assert not facts.redis_problem
    [one] = [one for one in findings(facts) if one.about == "redis persistence"]
    assert "keeps no append-only file" not in one.found  # it does; nobody may look
