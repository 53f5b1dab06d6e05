"""The exchange engine's process: what is taken away, what comes back, stalls, users, its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import psutil
import trio

from ha_stress.engines import histogram
from ha_stress.engines.process import Kind, kind_of
from ha_stress.tasks.ledger import add
from ha_stress.tasks.scenario import Scenario
from tests.engine_support import part, share
from tests.exchange_support import ExchangeRig, echo, exchange_rig, silent, tcp_server


def test_only_what_is_plain_http_goes_to_the_fast_engine() -> None:
    assert kind_of(share("http://h/")) is kind_of(share("https://h/")) is Kind.FAST
    others: tuple[tuple[str, dict[str, Any]], ...] = (
        ("http://h/", {"http2": True}),
        ("ws://h/", {}),
        ("wss://h/", {}),
        ("tcp://h:1", {}),
    )
    for url, more in others:
        assert kind_of(share(url, **more)) is Kind.EXCHANGE
        assert kind_of(replace(share("http://h/"), mix=(share(url, **more).request,))) is Kind.EXCHANGE


async def test_a_task_that_is_taken_away_is_cancelled_at_once_and_goes_on_when_it_comes_back() -> None:
    async with tcp_server(silent) as server, exchange_rig() as rig:
        whole = share(server.tcp, part(200, 260), body=b"x", timeout_s=0.4)
        await rig.pool.apply([whole])
        await rig.until(lambda: rig.books().started >= 20)
        await rig.pool.apply([])
        books = await rig.settled(2)
        assert books.failed["cancelled"] > 0
        assert books.under_way == 0
        await rig.pool.apply([whole])
        books = await rig.settled()
        assert books.started == books.failed_total == 260


async def test_no_arrival_is_lost_or_doubled_over_a_change_of_revision() -> None:
    async with tcp_server(echo) as server, exchange_rig(engines=2) as rig:
        first = share(server.tcp, part(300, None), body=b"x")
        await rig.pool.apply([first])
        await rig.until(lambda: rig.books().started > 0)
        at_s = time.time() - first.started_at + 0.25
        limit = round(at_s * 300)
        changed = replace(first, parts=(part(300, limit), part(400, 100, revision=2, at_s=limit / 300)))
        for _ in range(3):  # saying it again changes nothing
            await rig.pool.apply([changed])
        await rig.until(lambda: rig.books(2).started > 0)
        await rig.settled()
        assert (rig.books(1).completed, rig.books(2).completed) == (limit, 100)


async def test_what_is_due_in_the_warm_up_counts_and_is_not_measured() -> None:
    async with tcp_server(echo) as server, exchange_rig() as rig:
        await rig.pool.apply([replace(share(server.tcp, part(200, 100), body=b"x"), warm_up_s=0.25)])
        assert (await rig.settled()).completed == 100
        assert sum(report.counters.started for report in rig.reports if report.warm_up) == 50
        assert histogram.summary(histogram.merge(r.response_us for r in rig.reports)).count == 50


async def test_what_is_due_in_the_warm_up_is_of_it_also_if_it_fails_long_after() -> None:
    async def first_not(stream: trio.SocketStream) -> None:
        while await stream.receive_some(65_536):
            if time.time() < opened_at:
                await trio.sleep(0.6)
            await stream.send_all(b"y")

    async with tcp_server(first_not) as server, exchange_rig() as rig:
        asked = replace(share(server.tcp, part(100, 60), body=b"x"), warm_up_s=0.2499)
        opened_at = asked.started_at + 0.2
        request = replace(asked.request, timeout_s=0.4)
        await rig.pool.apply([replace(asked, request=request)])
        books = await rig.settled()
        warm_up, rest = (add(r.counters for r in rig.reports if r.warm_up is which) for which in (True, False))
        assert (warm_up.started, rest.started, rest.failed) == (25, 35, {})
        assert books.failed_total == warm_up.failed["timeout"] > 0
        assert warm_up.under_way == rest.under_way == 0


async def test_what_comes_after_the_end_of_the_warm_up_is_in_its_books_if_nothing_is_due_any_more() -> None:
    asked_for, over = 0, trio.Event()

    async def late(stream: trio.SocketStream) -> None:
        nonlocal asked_for
        while await stream.receive_some(65_536):
            asked_for += 1
            await over.wait()
            await stream.send_all(b"answer")

    async with tcp_server(late) as server, exchange_rig() as rig:
        asked = replace(share(server.tcp, part(100, 10), body=b"x"), warm_up_s=0.1)
        await rig.pool.apply([asked])
        await rig.until(lambda: asked_for == 10 and time.time() > asked.started_at + 0.15)
        await rig.pool.apply([asked])  # so that it looks what is due behind the warm-up
        await rig.until(lambda: sum(report.counters.bytes_out for report in rig.reports) == 10)
        over.set()
        books = await rig.settled()
        assert (books.completed, books.bytes_out, books.bytes_in) == (10, 10, 10 * len(b"answer"))


async def test_users_ask_again_once_they_are_answered_until_their_time_is_over() -> None:
    slow = 0.02

    async def slowly(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some(65_536):
            await trio.sleep(slow)
            await stream.send_all(data)

    async with tcp_server(slowly) as server, exchange_rig(engines=2) as rig:
        closed = part(0, None, modulus=5, slots=(0, 1, 2, 3, 4), users=5)
        asked = replace(share(server.tcp, closed, body=b"x", in_s=0.1), think_time_s=0.01)
        await rig.pool.apply([asked])
        await rig.until(lambda: rig.books().completed > 20)
        until_s = time.time() - asked.started_at + 0.2
        await rig.pool.apply([replace(asked, parts=(replace(closed, limit=0, until_s=until_s),))])
        books = await rig.settled()
        assert books.closed == 5
        assert books.started == books.completed <= 5 * (until_s / (slow + 0.01) + 1)
        assert server.connections == books.connected == 5


async def test_users_of_a_target_that_refuses_do_not_spin() -> None:
    async with tcp_server(echo) as server, exchange_rig() as rig:
        port = server.port
    async with exchange_rig() as rig:
        closed = part(0, 0, modulus=1, slots=(0,), users=1, until_s=1.2)
        failing = Scenario(name="s.py", source="async def scenario(user):\n    raise ValueError")
        shares = {
            "tcp": share(f"tcp://127.0.0.1:{port}", closed, body=b"x", in_s=0.1),
            "ws": share(f"ws://127.0.0.1:{port}", closed, in_s=0.1),
            "scenario": replace(share(f"http://127.0.0.1:{port}", closed, in_s=0.1), scenario=failing),
        }
        await rig.pool.apply([replace(one, task=name) for name, one in shares.items()])
        await rig.settled()
        for name, kind in (("tcp", "connect_refused"), ("ws", "connect_refused"), ("scenario", "scenario")):
            assert 1 <= rig.of(name).failed[kind] <= 121


async def test_a_stopped_engine_asks_before_it_goes_on() -> None:
    asked: list[int] = []
    rigs: list[ExchangeRig] = []

    async def on_stall() -> None:
        asked.append(rigs[0].books().started)
        await rigs[0].pool.apply([])  # the share was handed over meanwhile

    questions = 0

    async def count(stream: trio.SocketStream) -> None:
        nonlocal questions
        while data := await stream.receive_some(65_536):
            questions += len(data)
            await stream.send_all(data)

    async with tcp_server(count) as server, exchange_rig(on_stall=on_stall) as rig:
        rigs.append(rig)
        await rig.pool.apply([share(server.tcp, part(100, None), body=b"x")])
        await rig.until(lambda: rig.books().started > 0)
        os.kill(rig.pool.pids[0], signal.SIGSTOP)
        await trio.sleep(1.6)  # longer than an engine takes for chance
        before = questions
        os.kill(rig.pool.pids[0], signal.SIGCONT)
        await rig.until(lambda: bool(asked))
        books = await rig.settled()
        # None of the 160 arrivals of the stop went out; of those before it some may have been on their way.
        assert questions - before < 20
        assert books.started - books.failed.get("cancelled", 0) <= questions <= books.started


async def test_what_it_takes_to_be_idle_and_to_load_a_scenario_is_not_in_the_books() -> None:
    busy = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end:\n    pass\n"
    source = busy + "async def scenario(user):\n    pass\n"
    async with exchange_rig() as rig:
        await rig.pool.apply(
            [replace(share("tcp://127.0.0.1:1", part(20, 20)), scenario=Scenario(name="s.py", source=source))]
        )
        books = await rig.settled()
        assert books.completed == 20
        assert 0 < books.cpu_us < 300_000


async def test_a_pool_starts_each_kind_of_engine_with_its_first_work_and_leaves_none() -> None:
    async with tcp_server(echo) as server, exchange_rig(engines=2) as rig:
        assert len(rig.pool.pids) == 2  # no fast one
        await rig.pool.apply([share(server.tcp, part(100, 10), body=b"x"), share("http://127.0.0.1:9/", part(0, 0))])
        pids: tuple[int, ...] = rig.pool.pids
        assert len(pids) == 4
        assert (await rig.settled()).completed == 10
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_an_exchange_engine_ends_when_its_control_socket_closes() -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "ha_stress.engines.exchange.child", str(theirs.fileno()), "0", "1", "{}"]
    with subprocess.Popen(command, pass_fds=(theirs.fileno(),)) as child:
        theirs.close()
        ours.close()
        assert child.wait(10) == 0
