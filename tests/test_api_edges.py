"""What no caller may do to a node: crash it, hold its loop or its bus, fill its memory, keep it from stopping."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.api import gate, tasks
from ha_stress.api.gate import Gate, plain_enough
from ha_stress.api.serve import serve
from ha_stress.base.errors import ConfigError, ProtocolError
from ha_stress.base.limits import API_STRUCTURE_BYTES_MAX, API_TURNS_MAX
from ha_stress.tasks.admission import check_spec
from ha_stress.tasks.schedule import NodeAssignment, TaskShare
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from ha_stress.wire.codec import encode
from tests.api_support import TASK, Api


@pytest.mark.parametrize(
    "change",
    [
        {"in_flight_max": 10**30},
        {"nodes_max": 10**30},
        {"in_flight_max": 10**400},
        {"rate": 5e-324},
        {"rate": 1e-300, "duration_s": None},
        {"name": "\ud800"},
        {"name": "a\nb"},
        {"name": "\0"},
        {"body": "\ud800"},
        {"url": "http://[::1/"},
        {"url": "http://" + "a b" * 20_000},
        {"id": "a" * 70_000},
        {"method": "a" * 70_000},
        {"headers": {"a": "b" * 300_000}},
        {"\ud800\n": 1},
        {"x" * 5_000: 1},
    ],
    ids=lambda change: next(iter(change))[:20].encode("unicode_escape").decode(),
)
async def test_what_cannot_be_run_or_stored_is_refused_in_one_short_sentence(api: Api, change: dict[str, Any]) -> None:
    body = json.dumps(TASK | change)
    answer = await api.http.post("/api/v1/tasks", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert 0 < len(answer.json()["error"]) <= 1_000 and "\n" not in answer.json()["error"]
    assert (await api.call("GET", "/tasks"))["tasks"] == []


def test_every_number_of_a_checked_task_fits_into_an_assignment() -> None:
    request = HttpRequest(url="http://127.0.0.1:1/")
    share = TaskShare(task="t", request=request, in_flight_max=1 << 70, started_at=0.0, parts=())
    with pytest.raises(ProtocolError):  # and not an OverflowError, which would end the master
        encode(NodeAssignment(epoch=1, revision=1, node="n", incarnation="i", shares=(share,)))
    with pytest.raises(ConfigError):
        check_spec(TaskSpec(id="t", name="t", request=request, rate=1, in_flight_max=1 << 70))


async def test_a_sequence_beyond_64_bits_is_refused(api: Api) -> None:
    for path in ("/events?after=", "/events/stream?after="):
        assert "after" in await api.refused("GET", f"{path}{1 << 63}", status=400)


async def test_load_balancers_may_ask_with_head_and_options(api: Api) -> None:
    for method in ("HEAD", "OPTIONS"):
        for path in ("/health", "/api/v1/worker"):
            assert (await api.http.request(method, path)).status_code == 200
        assert (await api.http.request(method, "/master")).status_code == 503


@pytest.mark.parametrize(
    "body",
    [b"[" * 1_000_000, b'{"0":0,' * 200_000, b"1," * 800_000, b'"' * 1_500_000, b"9" * 1_000_000],
    ids=["nested", "fields", "items", "strings", "digits"],
)
async def test_json_that_would_hold_the_loop_is_refused_unparsed(api: Api, body: bytes) -> None:
    answer = await api.http.post("/api/v1/tasks", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and "fields" in answer.json()["error"]


def test_a_long_text_is_plain_whatever_is_in_it() -> None:
    for text in ("[{,:}]" * 100_000, '"\\' * 200_000, "\0" * 100_000):
        assert plain_enough(json.dumps({"body": text}).encode())


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 900_000, b'\\"' * 900_000, b'"' + b"\\" * 1_800_001, b'"a' * 900_000])
def test_looking_at_the_structure_takes_linear_time(body: bytes) -> None:
    begun = time.process_time()
    plain_enough(body)
    assert time.process_time() - begun < 2  # tens of milliseconds; a backtracking search would take hours


@given(st.lists(st.sampled_from([b'"', b"\\", b"a", b"[", b"ab,"]), max_size=60).map(b"".join), st.integers(1, 9))
def test_what_is_plain_has_few_bytes_outside_of_strings_in_whatever_pieces_it_is_read(body: bytes, piece: int) -> None:
    outside = len(re.sub(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', b"", body, flags=re.DOTALL))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "API_STRUCTURE_BYTES_MAX", 12)
        patch.setattr(gate, "_PIECE_BYTES", piece)
        assert not (plain_enough(body) and outside > 12)
        assert plain_enough(body) or outside + body.count(b'"') > 12


def test_the_structure_of_a_small_body_is_left_to_the_parser() -> None:
    assert plain_enough(b"[" * API_STRUCTURE_BYTES_MAX)
    assert not plain_enough(b"[" * (API_STRUCTURE_BYTES_MAX + 1))


async def _ask(stream: trio.SocketStream, request: bytes) -> bytes:
    await stream.send_all(request)
    with trio.fail_after(10):
        return await stream.receive_some()


POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def _large(_scope: Any, _receive: Any, send: Any) -> None:
    """An answer that fills every buffer on the way."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})


async def test_a_body_that_does_not_come_is_answered_408(nursery: trio.Nursery) -> None:
    port = await nursery.start(serve, Gate(_large, body_timeout_s=0.1), "127.0.0.1", 0)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        answer = await _ask(stream, POST)
        assert answer.startswith(b"HTTP/1.1 408") and b"connection: close" in answer.lower()


async def _serve_until(
    stop: trio.Event, timeout_s: float, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    await serve(_large, "127.0.0.1", 0, stop=stop, send_timeout_s=timeout_s, task_status=task_status)


async def test_a_caller_that_does_not_read_is_cut_off() -> None:
    stop = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(_serve_until, stop, 0.2)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(GET)
                await trio.sleep(0.6)  # not reading is what is tested
                try:
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass  # a reset is as good as an end
            stop.set()


async def test_a_caller_that_does_not_read_keeps_nobody_from_stopping() -> None:
    stop = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(_serve_until, stop, 600.0)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(GET)
                await stream.receive_some(1)
                stop.set()


async def test_a_connection_that_was_closed_is_given_up_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ha_stress.api.serve.API_CONNECTIONS_MAX", 10)
    address = urlsplit(str(api.http.base_url))

    def one_after_the_other() -> None:
        for _ in range(60):
            with socket.create_connection((address.hostname, address.port or 0), 5) as line:
                line.sendall(b"GET /liveness HTTP/1.1\r\nHost: x\r\n\r\n")
                assert line.recv(12) == b"HTTP/1.1 200"

    await trio.to_thread.run_sync(one_after_the_other)


async def test_readers_of_the_api_leave_room_on_the_bus(api: Api) -> None:
    """The calls of a node to Redis are few at a time, and the renewal of its lease is one of them."""
    most, now = 0, 0
    real = api.node.bus.events

    async def counted(after: int = 0, count: int = 1000) -> Any:
        nonlocal most, now
        now += 1
        most = max(most, now)
        try:
            return await real(after, count)
        finally:
            now -= 1

    object.__setattr__(api.node.bus, "events", counted)
    async with trio.open_nursery() as nursery:
        for _ in range(60):
            nursery.start_soon(api.call, "GET", "/events")
    assert 0 < most <= API_TURNS_MAX


async def test_answers_about_tasks_are_made_in_threads(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be megabytes, and the node that answers may be the master."""
    on_loop: dict[str, bool] = {}

    def noted(name: str, real: Any) -> Any:
        def noting(*args: Any) -> Any:
            on_loop[name] = threading.current_thread() is threading.main_thread()
            return real(*args)

        return noting

    for name in ("drafted", "task_view", "task_detail"):
        monkeypatch.setattr(tasks, name, noted(name, getattr(tasks, name)))
    await api.call("POST", "/tasks", TASK, expect=201)
    await api.call("GET", "/tasks")
    await api.call("GET", "/tasks/t-1")
    assert on_loop == {"drafted": False, "task_view": False, "task_detail": False}
    assert "/api/v1/tasks" in (await api.call("GET", "/openapi.json"))["paths"]


async def test_probes_do_not_wait_for_other_requests(api: Api) -> None:
    gate = trio.Event()
    real = api.node.bus.events

    async def slow(after: int = 0, count: int = 1000) -> Any:
        await gate.wait()
        return await real(after, count)

    object.__setattr__(api.node.bus, "events", slow)
    async with trio.open_nursery() as nursery:
        for _ in range(2 * API_TURNS_MAX):
            nursery.start_soon(api.call, "GET", "/events")
        with trio.fail_after(5):
            assert (await api.call("GET", "/liveness"))["ok"]
        gate.set()
