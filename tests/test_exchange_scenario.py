"""Scenarios: Python that an arrival runs, with data that nobody else gets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import trio

from ha_stress.engines import histogram
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.scenario import Feeder, Scenario
from ha_stress.tasks.schedule import TaskShare
from tests.engine_support import part, share, unused_port
from tests.exchange_support import (
    Server,
    asgi_server,
    echo,
    exchange_rig,
    tcp_server,
    versions,
    websocket_server,
    ws_echo,
)


def playing(source: str, *parts: Any, feeders: tuple[Feeder, ...] = (), data: str = "", **more: Any) -> TaskShare:
    url = more.pop("url", "http://127.0.0.1:9/")
    return replace(
        share(url, *parts, **more), scenario=Scenario(name="shop.py", source=source, feeders=feeders, data=data)
    )


def feeder(name: str, rows: int, *, again: bool = True) -> tuple[Feeder, bytes]:
    text = "id,name\n" + "".join(f"{i},name {i}\n" for i in range(rows))
    return Feeder(name=name, blob=f"digest of {name}", rows=rows, again=again), text.encode()


class Collector(Server):
    """A TCP server that keeps what it was told, line by line."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[str] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        text = b""
        while data := await stream.receive_some(65_536):
            text += data
        self.lines += text.decode().splitlines()


SAY_ROW = """
async def scenario(user):
    row = user.row("people")
    async with user.tcp("127.0.0.1", {port}) as line:
        await line.send(f"{{row['id']}} {{row['name']}}\\n".encode())
"""


async def test_no_row_is_used_twice_by_two_engines_and_two_holders() -> None:
    people, text = feeder("people", 120)
    told = Collector()
    async with tcp_server(told.serve) as server, exchange_rig(engines=2) as rig:
        halves = [part(400, 120, modulus=4, slots=slots) for slots in ((0, 3), (1, 2))]
        source = SAY_ROW.format(port=server.port)
        shares = [playing(source, half, feeders=(people,), task=f"holder {half.slots}") for half in halves]
        await rig.pool.apply(shares, {people.blob: text})
        books = await rig.settled()
        assert (books.completed, books.failed) == (120, {})
        await rig.until(lambda: len(told.lines) == 120)
        assert Counter(told.lines) == Counter(f"{i} name {i}" for i in range(120))


async def test_rows_begin_again_or_their_end_is_counted() -> None:
    people, text = feeder("people", 10)
    once = replace(people, again=False)
    told = Collector()
    async with tcp_server(told.serve) as server, exchange_rig(engines=2) as rig:
        source = SAY_ROW.format(port=server.port)
        shares = [
            playing(source, part(200, 30), feeders=(people,), task="again"),
            playing(source, part(200, 30), feeders=(once,), task="once"),
        ]
        await rig.pool.apply(shares, {people.blob: text})
        await rig.settled()
        assert rig.of("again").completed == 30
        assert (rig.of("once").completed, rig.of("once").failed) == (10, {"no_data": 20})
        await rig.until(lambda: len(told.lines) == 40)
        assert Counter(told.lines) == Counter({f"{i} name {i}": 4 for i in range(10)})


async def test_users_have_rows_of_their_own() -> None:
    people, text = feeder("people", 1000)
    told = Collector()
    async with tcp_server(told.serve) as server, exchange_rig(engines=2) as rig:
        closed = part(0, 0, modulus=3, slots=(0, 1, 2), users=3, until_s=1.5)
        asked = playing(SAY_ROW.format(port=server.port), closed, feeders=(people,))
        await rig.pool.apply([replace(asked, think_time_s=0.01)], {people.blob: text})
        books = await rig.settled()
        assert books.completed > 10
        await rig.until(lambda: len(told.lines) == books.completed)
        assert len(set(told.lines)) == len(told.lines)


async def test_steps_over_several_protocols_with_checks_and_think_time() -> None:
    source = """
async def scenario(user):
    answer = await user.http.post("/status/201", content="a")
    user.check(answer.status_code == 201, "created")
    user.check(answer.text == "1.1 b", "body is b")
    await user.think(0.05)
    with user.step("feed"):
        async with user.websocket("ws://127.0.0.1:{ws}/") as feed:
            await feed.send("hello")
            user.check(await feed.expect("ell") == "hullo", "feed echoes")
    async with user.tcp("127.0.0.1", {tcp}) as line:
        await line.send(b"one two")
        assert await line.expect(b"one") == b"one"
        assert await line.receive() == b" two"
    assert user.data == {{"token": 7}} and user.slot is None
"""
    async with (
        asgi_server(versions) as web,
        websocket_server(ws_echo) as ws,
        tcp_server(echo) as tcp,
        exchange_rig(engines=2) as rig,
    ):
        asked = playing(
            source.format(ws=ws.port, tcp=tcp.port),
            part(50, 20),
            url=f"http://127.0.0.1:{web.port}/",
            data='{"token": 7}',
        )
        await rig.pool.apply([asked])
        books = await rig.settled()
        assert (books.completed, books.failed, books.wrong) == (20, {}, 20)
        assert books.checks == {"body is b": 20, "feed: feed echoes": 20}
        assert books.statuses == {"201": 20}
        durations = histogram.summary(histogram.merge(r.service_us for r in rig.reports))
        assert durations.min_us > 50_000
        assert books.bytes_out > 0


async def test_cookies_belong_to_one_run_and_connections_are_kept() -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                await send({"type": (await receive())["type"] + ".complete"})
        known = any(name == b"cookie" for name, _ in scope["headers"])
        headers = [(b"set-cookie", b"seen=1")]
        await send({"type": "http.response.start", "status": 200 if known else 201, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    source = """
async def scenario(user):
    for wanted in (201, 200):
        user.check((await user.http.get("/")).status_code == wanted, f"status {wanted}")
"""
    async with asgi_server(app) as server, exchange_rig() as rig:
        url = f"http://127.0.0.1:{server.port}/"
        await rig.pool.apply([playing(source, part(40, 20), url=url, in_flight_max=3)])
        books = await rig.settled()
        runs = books.completed
        assert (runs + books.dropped, books.failed, books.checks) == (20, {}, {})
        assert books.statuses == {"200": runs, "201": runs}
        assert books.connected <= min(3, runs)  # of two requests each


async def test_every_failure_of_a_scenario_has_its_kind_and_the_author_sees_the_first() -> None:
    sources = {
        "scenario": "async def scenario(user):\n    with user.step('pay'):\n        1 / 0",
        "assertion": "async def scenario(user):\n    assert user.number < 0, 'no'",
        "timeout": "import trio\nasync def scenario(user):\n    await trio.sleep(60)",
        "connect_refused": f"async def scenario(user):\n    await user.http.get('http://127.0.0.1:{unused_port()}/')",
        "not_allowed": "async def scenario(user):\n    await user.http.get('http://192.0.2.1/')",
        "no_data": "async def scenario(user):\n    user.row('people')",
    }
    people, _ = feeder("people", 10)
    async with exchange_rig() as rig:
        one = part(100, 5)
        shares = [playing(source, one, task=kind, feeders=(people,), timeout_s=1) for kind, source in sources.items()]
        broken = playing("1 / 0\nasync def scenario(user): pass", one, task="broken")
        leaving = playing("async def scenario(user):\n    raise SystemExit(3)", one, task="leaving")
        await rig.pool.apply([*shares, broken, leaving])
        await rig.settled()
        assert {kind: rig.of(kind).failed for kind in sources} == {kind: {kind: 5} for kind in sources}
        assert rig.of("broken").failed == rig.of("leaving").failed == {"scenario": 5}
        texts = {(complaint.task, complaint.kind): complaint.text for complaint in rig.complaints}
        assert "shop.py" in texts["scenario", "scenario"]
        assert "ZeroDivisionError" in texts["scenario", "scenario"]
        assert "'pay'" in texts["scenario", "scenario"]
        assert len(texts) == len(rig.complaints) == 7  # one of each kind; a timeout says nothing


RUDE = {
    "interrupt": "async def scenario(user):\n    raise KeyboardInterrupt",
    "interrupt in a group": "async def scenario(user):\n    raise BaseExceptionGroup('x', [KeyboardInterrupt()])",
    "cancelled by another library": "import asyncio\nasync def scenario(user):\n    raise asyncio.CancelledError",
    "interrupt at the load": "raise KeyboardInterrupt\nasync def scenario(user):\n    pass",
    "half a character": "async def scenario(user):\n    raise ValueError('\\ud800')",
    "mute": "class E(Exception):\n    def __str__(self): raise E\nasync def scenario(user):\n    raise E",
    "no text": "class E(Exception):\n    def __str__(self): return 5\nasync def scenario(user):\n    raise E",
}


async def test_a_request_that_cannot_be_sent_is_its_authors_mistake() -> None:
    source = 'async def scenario(user):\n    await user.http.get("/", headers={"x-token": "abc\\n"})\n'
    async with tcp_server(echo) as server, exchange_rig() as rig:
        await rig.pool.apply([playing(source, part(100, 3), url=f"http://127.0.0.1:{server.port}/")])
        books = await rig.settled()
        assert books.failed == {"scenario": 3}
        await rig.until(lambda: bool(rig.complaints))
        assert "Illegal header value" in rig.complaints[0].cause


async def test_a_body_whose_coding_is_broken_is_the_targets_mistake() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nrubbish"

    async def serve(stream: trio.SocketStream) -> None:
        while await stream.receive_some(65_536):
            await stream.send_all(answer)

    async with tcp_server(serve) as server, exchange_rig() as rig:
        source = 'async def scenario(user):\n    await user.http.get("/")\n'
        await rig.pool.apply([playing(source, part(100, 3), url=f"http://127.0.0.1:{server.port}/")])
        assert (await rig.settled()).failed == {"protocol": 3}


async def test_nothing_that_a_scenario_raises_ends_its_engine() -> None:
    """Regression: an engine that ends takes its node down, and the next node gets its share, and the next one."""
    async with exchange_rig() as rig:
        await rig.pool.apply([playing(source, part(100, 3), task=name) for name, source in RUDE.items()])
        await rig.settled()
        assert {name: rig.of(name).failed for name in RUDE} == {name: {"scenario": 3} for name in RUDE}
        assert len(rig.complaints) == len(RUDE)


@pytest.mark.parametrize("closed", [False, True])
async def test_code_that_does_not_hear_of_its_time_limit_has_failed_and_takes_up_its_place(closed: bool) -> None:
    source = """
import trio
async def scenario(user):
    while True:
        try:
            await trio.sleep(0.02)
        except:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)
"""
    users = part(0, 0, users=2, modulus=2, slots=(0, 1), until_s=1.0)
    async with exchange_rig() as rig:
        what = users if closed else part(50, 20)
        await rig.pool.apply([playing(source, what, timeout_s=0.3, in_flight_max=5)])
        books = await rig.settled()
        assert books.failed == {"timeout": 2 if closed else 5}
        assert (books.dropped, books.closed) == ((0, 2) if closed else (15, 0))
        assert "beyond its time limit" in rig.complaints[0].cause


async def test_a_scenario_that_will_not_stop_does_not_hold_up_the_books() -> None:
    source = """
import trio
async def scenario(user):
    with trio.CancelScope(shield=True):
        await trio.sleep(3600)
"""
    async with exchange_rig() as rig:
        await rig.pool.apply([playing(source, part(100, None))])
        await rig.until(lambda: rig.books().started > 5)
        await rig.pool.apply([])
        books = await rig.settled(2)
        assert books.failed == {"cancelled": books.started}


async def test_code_that_blocks_the_engine_is_ended_and_others_go_on() -> None:
    source = """
import time
async def scenario(user):
    while user.number == 3:
        try:
            time.sleep(60)
        except Exception:
            pass
"""
    async with exchange_rig() as rig:
        await rig.pool.apply([playing(source, part(50, 20))])
        books = await rig.settled()
        assert (books.completed, books.failed) == (19, {"scenario": 1})
        assert "without waiting" in rig.complaints[0].cause


async def test_the_names_of_checks_are_bounded_and_a_latency_may_be_asked_of_the_whole() -> None:
    source = "async def scenario(user):\n    user.check(False, f'number {user.number}')"
    async with exchange_rig() as rig:
        asked = playing(source, part(400, 150))
        await rig.pool.apply([replace(asked, checks=(parse_check("latency < 0.000001ms"),))])
        books = await rig.settled()
        assert (books.completed, books.wrong, books.checks["other checks"]) == (150, 150, 50)
        assert books.checks["latency < 0.000001ms"] == 150
        assert len(books.checks) == 102
