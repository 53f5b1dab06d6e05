"""The API's contract for status, events, failovers, health and the server itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from ha_stress.api.app import create_app
from ha_stress.api.serve import serve
from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import EVENT_STREAMS_MAX
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.events import Event
from ha_stress.cluster.members import Role, SentinelInfo
from tests.api_support import RECORD, TASK, Api, open_api
from tests.redis_server import plain_client


async def test_status_says_who_is_who(api: Api) -> None:
    node = api.node
    node.known = await node.bus.claim_first("n1", "i1", 5.0)
    node.role, node.acting = Role.MASTER, True
    await node.bus.publish_sentinel(SentinelInfo(id="s1", incarnation="x", mesh_host="127.0.0.1", mesh_port=2, epoch=1))
    status = await api.call("GET", "/status")
    assert status["master"] == {"node": "n1", "incarnation": "i1", "acting": True}
    assert (status["epoch"], status["redis"], status["database"], status["answered_by"]) == (1, "ok", "ok", "n1")
    assert [one["id"] for one in status["nodes"]] == ["n1"]
    assert [one["id"] for one in status["sentinels"]] == ["s1"]


async def test_without_a_master_the_status_says_so(api: Api) -> None:
    status = await api.call("GET", "/status")
    assert status["master"] is None and status["epoch"] == 0


async def test_while_redis_is_away_status_answers_and_intent_is_taken(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path / "redis")
    try:
        async with open_api(server.url, tmp_path) as api:
            api.node.known = RECORD
            server.kill()
            with trio.fail_after(20):
                status = await api.call("GET", "/status")
                assert status["redis"] != "ok" and status["database"] == "ok"
                assert status["master"]["node"] == "n1" and status["epoch"] == 1
                await api.call("POST", "/tasks", TASK, expect=201)
                await api.refused("GET", "/events", status=503)
                assert (await api.call("GET", "/failovers"))["failovers"] == []
                assert (await api.call("GET", "/readiness", expect=503))["ok"] is False
    finally:
        server.kill()


async def test_failovers_come_from_redis_and_from_the_database(api: Api) -> None:
    await api.node.store.take_over(RECORD)
    await api.node.store.save_failover(RECORD, 2, {"epoch": 2, "outcome": "awarded"})
    await api.node.store.save_failover(RECORD, 3, {"epoch": 3, "outcome": "awarded"})
    await api.node.bus.save_failover(3, {"epoch": 3, "outcome": "accepted"})
    found = (await api.call("GET", "/failovers"))["failovers"]
    assert [(one["epoch"], one["outcome"]) for one in found] == [(2, "awarded"), (3, "accepted")]
    assert (await api.call("GET", "/failovers/3"))["outcome"] == "accepted"
    assert "2, 3" in await api.refused("GET", "/failovers/9", status=404)


async def test_events_can_be_read_from_a_sequence_on(api: Api) -> None:
    for name in ("+node", "+sdown", "+odown"):
        await api.node.bus.add_event(Event(name=name, source="s1", epoch=1, subject="n1"))
    found = (await api.call("GET", "/events?after=1"))["events"]
    assert [(event["sequence"], event["name"]) for event in found] == [(2, "+sdown"), (3, "+odown")]
    assert found[0]["meaning"] == "one sentinel holds the subject to be down"
    assert len((await api.call("GET", "/events?limit=1"))["events"]) == 1
    await api.refused("GET", "/events?after=-1", status=400)


async def test_the_event_stream_replays_and_then_goes_on_live(api: Api) -> None:
    bus = api.node.bus
    for number in range(3):
        await bus.add_event(Event(name="+node", source="s1", epoch=1, subject=f"n{number}"))
    seen: list[dict[str, Any]] = []
    with trio.fail_after(10):
        async with api.http.stream("GET", "/api/v1/events/stream?after=1") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line[6:]))
                if len(seen) == 2:
                    await bus.add_event(Event(name="+odown", source="s1", epoch=1, subject="n9"))
                    seen.append({})
                if len(seen) == 4:
                    break
    assert [event["subject"] for event in seen if event] == ["n1", "n2", "n9"]


async def test_there_is_a_bound_on_event_streams(api: Api) -> None:
    async def listen(task_status: trio.TaskStatus[None]) -> None:
        async with api.http.stream("GET", "/api/v1/events/stream?after=0") as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            task_status.started()
            await trio.sleep_forever()

    await api.node.bus.add_event(Event(name="+node", source="s1", epoch=1))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for _ in range(EVENT_STREAMS_MAX):
                await nursery.start(listen)
            assert "event streams" in await api.refused("GET", "/events/stream", status=503)
            nursery.cancel_scope.cancel()


async def test_an_event_stream_goes_on_after_redis_lost_its_data_and_counts_from_one_again(
    api: Api, redis_url: str
) -> None:
    bus = api.node.bus
    for _ in range(3):
        await bus.add_event(Event(name="+node", source="s1", epoch=1))
    with trio.fail_after(20):
        async with api.http.stream("GET", "/api/v1/events/stream?after=2") as answer:
            lines = (line async for line in answer.aiter_lines() if line.startswith("id: "))
            assert await anext(lines) == "id: 3"
            plain_client(redis_url).delete(bus.keys.events, bus.keys.event_sequence)
            await bus.add_event(Event(name="-node", source="s1", epoch=1))
            assert await anext(lines) == "id: 1"


@pytest.mark.parametrize(
    ("role", "acting", "leaving", "answers"),
    [
        (Role.MASTER, True, False, {"master": 200, "worker": 503, "health": 200, "liveness": 200, "readiness": 200}),
        (Role.MASTER, False, False, {"master": 503, "worker": 503, "health": 200, "liveness": 200, "readiness": 200}),
        (Role.WORKER, False, False, {"master": 503, "worker": 200, "health": 200, "liveness": 200, "readiness": 200}),
        (Role.WORKER, False, True, {"master": 503, "worker": 200, "health": 503, "liveness": 200, "readiness": 503}),
        (Role.STARTING, False, False, {"master": 503, "worker": 503, "health": 503, "liveness": 200, "readiness": 503}),
    ],
)
async def test_health_endpoints_answer_for_load_balancers(
    api: Api, role: Role, acting: bool, leaving: bool, answers: dict[str, int]
) -> None:
    api.node.role, api.node.acting, api.node.leaving = role, acting, leaving
    for name, status in answers.items():
        for prefix in ("", "/api/v1"):
            answer = await api.http.get(f"{prefix}/{name}")
            assert (name, answer.status_code) == (name, status)
            assert answer.json()["ok"] is (status == 200)


async def test_openapi_describes_every_answer(api: Api) -> None:
    document = await api.call("GET", "/openapi.json")
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in methods.items():
            ok = next(answer for code, answer in operation["responses"].items() if code.startswith("2"))
            assert ok["content"], f"{method} {path}"
    assert document["components"]["schemas"]["NewTask"]["additionalProperties"] is False


async def test_a_stop_lets_the_server_end_and_frees_its_port(redis_url: str, tmp_path: Path) -> None:
    async with open_api(redis_url, tmp_path) as api:
        stop = trio.Event()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                app = create_app(api.node)

                async def serving(*, task_status: trio.TaskStatus[int]) -> None:
                    await serve(app, "127.0.0.1", 0, stop=stop, task_status=task_status)

                port: int = await nursery.start(serving)
                async with httpx.AsyncClient(trust_env=False) as http:
                    assert (await http.get(f"http://127.0.0.1:{port}/liveness")).status_code == 200
                stop.set()
        with pytest.raises(OSError):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_a_port_that_is_taken_is_one_sentence(api: Api) -> None:
    port = api.http.base_url.port
    assert port is not None
    with pytest.raises(ConfigError, match="cannot listen"):
        await serve(create_app(api.node), "127.0.0.1", port)


async def test_a_refused_method_is_told_which_ones_are_not(api: Api) -> None:
    answer = await api.http.put("/api/v1/status")
    assert answer.status_code == 405 and "GET" in answer.headers["allow"]
