"""The API's contract for tasks, against a real database, a real Redis and a real port."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trio
from hdrh.histogram import HdrHistogram

from ha_stress.base.limits import API_BODY_BYTES_MAX
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.ledger import Counters, Frame
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import Status
from tests.api_support import RECORD, TASK, Api


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


async def test_a_task_of_several_requests_tells_them_apart(api: Api) -> None:
    further = {"url": "http://127.0.0.1:1/y", "method": "POST", "name": "buy"}
    mixed = TASK | {"requests": [further]}
    assert (await api.call("POST", "/tasks", mixed, expect=201))["requests"][0]["name"] == "buy"
    whole = frame_of(Holder("n1", "i1"), [1_000] * 89 + [200_000])
    named = {"buy": RequestFigures(started=90, completed=88, failed={"reset": 2}, service_us=whole.service_us)}
    await api.node.store.commit_frames(RECORD, [replace(whole, requests=named)], "1-0")
    first, buy = (await api.call("GET", "/tasks/t-1"))["by_request"]
    assert (first["name"], first["started"], first["service"]) == ("GET /x", 0, None)
    assert (buy["name"], buy["completed"], buy["failed"], buy["failures"]) == ("buy", 88, 2, {"reset": 2})
    assert buy["service"]["count"] == 90

    await api.call("POST", "/tasks", TASK | {"id": "t-2"}, expect=201)
    assert (await api.call("GET", "/tasks/t-2"))["by_request"] == []


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
    unused = dict.fromkeys(("late", "wrong", "retried", "connected", "bytes_in", "bytes_out", "cpu_us"), 0)
    assert detail["books"] | unused == {
        "planned": 200,
        "intended": 200,
        "started": 90,
        "completed": 88,
        "failed": 2,
        "dropped": 10,
        "uncovered": 100,
        **unused,
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
