"""The API's contract, against a real database, a real Redis and a real port."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hdrh.histogram import HdrHistogram

from ha_stress.api.app import create_app
from ha_stress.api.serve import serve
from ha_stress.base.config import NodeConfig
from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import API_BODY_BYTES_MAX, EVENT_STREAMS_MAX
from ha_stress.bus.client import Bus, open_bus
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, Role, SentinelInfo
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.ledger import Counters, Frame
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import Status

TASK = {"id": "t-1", "url": "http://127.0.0.1:1/x", "rate": 100, "duration_s": 2}
RECORD = Mastership(epoch=1, node="n1", incarnation="i1", why="first")


@dataclass
class OneNode:
    """An `ApiNode` whose state a test sets."""

    config: NodeConfig
    bus: Bus
    store: Store
    role: Role = Role.WORKER
    acting: bool = False
    leaving: bool = False
    known: Mastership = field(default_factory=lambda: NOBODY)

    def info(self) -> NodeInfo:
        return NodeInfo(
            id="n1",
            incarnation="i1",
            sequence=1,
            priority=100,
            mesh_host="127.0.0.1",
            mesh_port=1,
            api_url="http://127.0.0.1:1",
            role=self.role,
            epoch=self.known.epoch,
            acting=self.acting,
            leaving=self.leaving,
        )

    def record(self) -> Mastership:
        return self.known


class Api:
    """The served application, a client for it, and what is behind it."""

    def __init__(self, node: OneNode, http: httpx.AsyncClient) -> None:
        self.node = node
        self.http = http

    async def call(self, method: str, path: str, body: Any = None, *, expect: int = 200) -> Any:
        answer = await self.http.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, body: Any = None, *, status: int) -> str:
        """The one sentence of a refusal."""
        found = await self.call(method, path, body, expect=status)
        assert list(found) == ["error"] and "\n" not in found["error"]
        return str(found["error"])


@asynccontextmanager
async def open_api(redis_url: str, directory: Path, cluster: str = "api") -> AsyncIterator[Api]:
    database = f"sqlite:///{directory / 'test.db'}"
    config = NodeConfig(id="n1", cluster=cluster, redis_url=redis_url, database_url=database)
    async with (
        open_bus(redis_url, cluster) as bus,
        open_store(database) as store,
        trio.open_nursery() as nursery,
    ):
        node = OneNode(config=config, bus=bus, store=store)
        port = await nursery.start(serve, create_app(node), "127.0.0.1", 0)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as http:
            yield Api(node, http)
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(redis_url, tmp_path, tmp_path.name.replace("_", "-")[:60]) as opened:
        yield opened


# Tasks.


async def test_a_task_is_created_once_however_often_it_is_sent(api: Api) -> None:
    created = await api.call("POST", "/tasks", TASK, expect=201)
    assert (created["id"], created["status"], created["wanted"]) == ("t-1", "pending", "run")
    assert created["name"] == "GET 127.0.0.1:1/x"
    again = await api.call("POST", "/tasks", TASK, expect=201)
    assert again == created
    assert [task["id"] for task in (await api.call("GET", "/tasks"))["tasks"]] == ["t-1"]


async def test_a_taken_id_with_another_wish_is_a_conflict(api: Api) -> None:
    await api.call("POST", "/tasks", TASK, expect=201)
    assert "t-1" in await api.refused("POST", "/tasks", TASK | {"duration_s": 3}, status=409)


async def test_a_task_sent_again_after_a_change_of_rate_is_still_the_same_task(api: Api) -> None:
    await api.call("POST", "/tasks", TASK, expect=201)
    await api.call("PUT", "/tasks/t-1/rate", {"rate": 250})
    again = await api.call("POST", "/tasks", TASK, expect=201)
    assert again["rate"] == 250


async def test_the_request_of_a_task_comes_back_as_it_was_given(api: Api) -> None:
    wish = TASK | {"method": "post", "headers": [["A", "1"], ["A", "2"]], "body_base64": "AAEC", "timeout_s": 1.5}
    created = await api.call("POST", "/tasks", wish | {"nodes_max": 2, "name": "mine"}, expect=201)
    for key, value in {
        "method": "POST",
        "headers": [["A", "1"], ["A", "2"]],
        "body_base64": "AAEC",
        "timeout_s": 1.5,
        "nodes_max": 2,
        "name": "mine",
    }.items():
        assert created[key] == value


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": "red"}, "colour: unknown field"),
        ({"rate": -1}, "rate"),
        ({"rate": "fast"}, "rate"),
        ({"url": "ftp://x/"}, "http://"),
        ({"url": "http://127.0.0.1:0/"}, "port 0"),
        ({"duration_s": 0}, "duration"),
        ({"id": "no spaces"}, "task id"),
        ({"headers": {"A:B": "x"}}, "header"),
        ({"body_base64": "!"}, "body_base64"),
        ({"body": "x", "body_base64": "AA=="}, "not both"),
        ({"in_flight_max": 0}, "in_flight_max"),
        ({"nodes_max": 0}, "nodes_max"),
        ({"timeout_s": 0}, "timeout"),
    ],
)
async def test_bad_input_is_refused_in_one_sentence(api: Api, change: dict[str, Any], says: str) -> None:
    assert says in await api.refused("POST", "/tasks", TASK | change, status=400)
    assert (await api.call("GET", "/tasks"))["tasks"] == []


async def test_a_body_that_is_not_json_is_refused_in_one_sentence(api: Api) -> None:
    answer = await api.http.post("/api/v1/tasks", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["error"]


async def test_a_body_above_the_limit_is_refused_unread(api: Api) -> None:
    answer = await api.http.post("/api/v1/tasks", content=b" " * (API_BODY_BYTES_MAX + 1))
    assert answer.status_code == 413
    assert "larger" in answer.json()["error"]


async def test_what_is_not_there_is_404_and_what_cannot_be_done_405(api: Api) -> None:
    for method, path in (
        ("GET", "/tasks/t-9"),
        ("POST", "/tasks/t-9/stop"),
        ("GET", "/failovers/9"),
        ("GET", "/nowhere"),
    ):
        await api.refused(method, path, status=404)
    await api.refused("PUT", "/tasks/t-9/rate", {"rate": 1}, status=404)
    await api.refused("DELETE", "/status", status=405)


async def test_rate_and_stop_are_intent_until_the_task_has_ended(api: Api) -> None:
    await api.call("POST", "/tasks", TASK, expect=201)
    assert (await api.call("PUT", "/tasks/t-1/rate", {"rate": 0.5}))["rate"] == 0.5
    assert (await api.call("POST", "/tasks/t-1/stop"))["wanted"] == "stop"
    store = api.node.store
    await store.take_over(RECORD)
    await store.save_state(RECORD, "t-1", status=Status.ENDED, plan=None, seen_intent=3, ended_at=5.0)
    await api.refused("PUT", "/tasks/t-1/rate", {"rate": 2}, status=409)
    assert (await api.call("GET", "/tasks?open=1"))["tasks"] == []


async def test_a_change_of_intent_is_hinted_at_on_the_bus(api: Api) -> None:
    bus = api.node.bus
    with trio.fail_after(5):
        async with bus.subscribe(bus.keys.intent_channel) as hints:
            await hints.receive()  # the subscription stands
            await api.call("POST", "/tasks", TASK, expect=201)
            await hints.receive()


async def test_books_plan_and_latencies_of_a_task(api: Api) -> None:
    await api.call("POST", "/tasks", TASK, expect=201)
    mine, lost = Holder("n1", "i1"), Holder("n2", "i2")
    revision = Revision(number=1, at_s=0, rate=100, holders=(mine, lost), table=(0, 1), limit=200, why="the task began")
    plan = Plan(started_at=10.0, duration_s=2.0, revisions=(revision,), lost=(lost,))
    store = api.node.store
    await store.take_over(RECORD)
    await store.save_state(RECORD, "t-1", status=Status.RUNNING, plan=plan, seen_intent=1)
    await store.commit_frames(RECORD, [frame_of(mine, [1_000] * 89 + [200_000])], "1-0")

    detail = await api.call("GET", "/tasks/t-1?timeline=1")
    assert detail["started_at"] == 10.0
    assert detail["books"] | {"late": 0, "bytes_in": 0} == {
        "planned": 200,
        "intended": 200,
        "started": 90,
        "completed": 88,
        "failed": 2,
        "dropped": 10,
        "uncovered": 100,
        "late": 0,
        "bytes_in": 0,
        "balanced": True,
    }
    assert detail["failures"] == {"reset": 2} and detail["statuses"] == {"200": 88}
    assert detail["latency"]["response"]["count"] == 90
    assert detail["latency"]["response"]["p50_ms"] == pytest.approx(1, rel=0.01)
    assert detail["latency"]["response"]["max_ms"] == pytest.approx(200, rel=0.01)
    shares = detail["plan"][0]["shares"]
    assert [(share["node"], share["rate"], share["lost"]) for share in shares] == [("n1", 50, False), ("n2", 50, True)]
    assert sum(second["started"] for second in detail["timeline"]) == 90
    assert (await api.call("GET", "/tasks/t-1"))["timeline"] is None


def frame_of(holder: Holder, response_us: list[int]) -> Frame:
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for value in response_us:
        histogram.record_value(value)
    blob = histogram.encode()
    counters = Counters(intended=100, started=90, completed=88, dropped=10, failed={"reset": 2}, statuses={"200": 88})
    return Frame(
        node=holder.node,
        incarnation=holder.incarnation,
        sequence=1,
        epoch=1,
        task="t-1",
        revision=1,
        engine=0,
        second=11,
        counters=counters,
        response_us=blob,
        service_us=blob,
    )


# The cluster.


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


# Serving.


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
