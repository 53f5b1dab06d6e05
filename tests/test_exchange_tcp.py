"""Raw TCP through the exchange engine, and what is the same for all of its protocols: books, limits, kinds of failure."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest
import trio
import trio.testing

from ha_stress.base.targets import AllowedTargets
from ha_stress.engines import histogram
from ha_stress.engines.exchange.reach import Reach, Traffic
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.schedule import owned_below
from tests.engine_support import part, share, unused_port
from tests.exchange_support import answer_and_end, echo, exchange_rig, hang_up, reset, silent, tcp_server


async def test_each_arrival_is_one_question_and_one_answer_on_pooled_connections() -> None:
    async with tcp_server(echo) as server, exchange_rig(engines=2) as rig:
        asked = part(400, 201, modulus=3, slots=(0, 2))
        await rig.pool.apply([share(server.tcp, asked, body=b"hello", expect="llo", in_flight_max=20)])
        books = await rig.settled()
        count = books.completed  # all of them, on a machine that has time
        assert (books.intended, books.failed) == (owned_below((0, 2), 3, 201), {})
        assert count == books.started == books.intended - books.dropped
        assert books.bytes_in == books.bytes_out == 5 * count
        assert 2 <= books.connected == server.connections <= 2 * 20
        assert {report.engine for report in rig.reports} == {2, 3}  # numbered after the two fast ones
        assert histogram.summary(histogram.merge(r.response_us for r in rig.reports)).count == count
        assert books.cpu_us > 0


async def test_an_answer_may_come_in_pieces_and_ends_with_what_is_expected() -> None:
    async def in_pieces(stream: trio.SocketStream) -> None:
        while await stream.receive_some(65_536):
            for piece in (b"one E", b"N", b"D"):
                await stream.send_all(piece)
                await trio.sleep(0.002)

    checks = (parse_check("body == one END"), parse_check("size < 7"))
    async with tcp_server(in_pieces) as server, exchange_rig() as rig:
        asked = replace(share(server.tcp, part(50, 10), body=b"?", expect="END"), checks=checks)
        await rig.pool.apply([asked])
        books = await rig.settled()
        assert (books.completed, books.wrong) == (10, 10)
        assert books.checks == {"size < 7": 10}


async def test_without_a_body_an_arrival_connects_reads_its_greeting_and_closes() -> None:
    async def greet(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 ready\r\n")
        await silent(stream)

    async with tcp_server(greet) as server, exchange_rig() as rig:
        shares = [
            share(server.tcp, part(100, 20), task="greeted", expect="ready"),
            share(server.tcp, part(100, 20), task="only"),
        ]
        await rig.pool.apply(shares)
        await rig.settled()
        assert rig.of("greeted").completed == rig.of("greeted").connected == 20
        assert rig.of("only").completed == rig.of("only").connected == 20
        assert rig.of("greeted").bytes_in == 20 * len(b"220 ready\r\n")
        only = [report.service_us for report in rig.reports if report.task == "only"]
        assert histogram.percentiles(histogram.merge(only), [50])[50] > 15, "connecting is all that it measures"


async def test_a_connection_that_the_target_closed_while_it_was_idle_costs_no_arrival() -> None:
    async def once(stream: trio.SocketStream) -> None:
        await answer_and_end(stream, await stream.receive_some(65_536))

    async with tcp_server(once) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.tcp, part(40, 20), body=b"hello")])
        books = await rig.settled()
        assert (books.completed, books.failed) == (20, {})
        assert books.connected == 20


async def test_every_failure_has_its_kind() -> None:
    async with (
        tcp_server(silent) as mute,
        tcp_server(hang_up) as rude,
        tcp_server(reset) as hostile,
        exchange_rig() as rig,
    ):
        one = part(100, 5)
        await rig.pool.apply(
            [
                share(mute.tcp, one, task="timeout", body=b"x", timeout_s=0.2),
                share(rude.tcp, one, task="closed", body=b"x"),
                share(hostile.tcp, one, task="reset", body=b"x"),
                share(f"tcp://127.0.0.1:{unused_port()}", one, task="connect_refused", body=b"x"),
                share("tcp://198.51.100.1:7", one, task="not_allowed", body=b"x"),
                share("tcp://[fe80::1]:7", one, task="also not_allowed", body=b"x"),
                share(mute.tcp, one, task="no_data", body_blob="0" * 64),
            ]
        )
        await rig.settled()
        tasks = ("timeout", "closed", "reset", "connect_refused", "not_allowed", "also not_allowed", "no_data")
        assert {task: rig.of(task).failed for task in tasks} == {task: {task.split()[-1]: 5} for task in tasks}
        assert any("198.51.100.1" in complaint.text for complaint in rig.complaints)


async def test_a_name_is_judged_by_its_addresses() -> None:
    async with tcp_server(echo) as server, exchange_rig(settings={"allow": ["10.0.0.0/8"]}) as rig:
        await rig.pool.apply([share(f"tcp://localhost:{server.port}", part(100, 3), body=b"x")])
        assert (await rig.settled()).failed == {"not_allowed": 3}
        assert server.connections == 0


async def test_a_large_body_is_sent_from_the_stored_one() -> None:
    body = bytes(range(256)) * 4096  # 1 MiB

    async def count(stream: trio.SocketStream) -> None:
        while True:
            left = len(body)
            while left:
                left -= len(await stream.receive_some(65_536))
            await stream.send_all(b"thanks")

    async with tcp_server(count) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.tcp, part(20, 4), body_blob="d")], {"d": body})
        books = await rig.settled()
        assert (books.completed, books.bytes_out) == (4, 4 * len(body))


async def test_arrivals_above_the_in_flight_limit_are_dropped_and_counted() -> None:
    async with tcp_server(silent) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.tcp, part(500, 100), body=b"x", in_flight_max=7, timeout_s=0.5)])
        books = await rig.settled()
        assert books.intended == 100
        assert books.failed == {"timeout": books.started}
        assert 7 <= books.started <= 14
        assert books.dropped == 100 - books.started


async def test_a_mix_of_protocols_keeps_its_proportions() -> None:
    async with tcp_server(echo) as first, tcp_server(echo) as second, exchange_rig() as rig:
        both = share(first.tcp, part(400, 120), body=b"1", weight=1)
        other = share(second.tcp, body=b"22", weight=2).request
        await rig.pool.apply([replace(both, mix=(other,))])
        books = await rig.settled()
        assert books.completed == 120
        assert books.bytes_out == 40 * 1 + 80 * 2


async def test_a_large_body_and_its_large_answer_pass_each_other() -> None:
    """Regression: a target that answers as it reads stopped reading, for nobody read its answer before all was sent."""
    body = b"x" * 8_000_000 + b"end"
    async with tcp_server(echo) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.tcp, part(10, 2), body_blob="d", expect="end")], {"d": body})
        books = await rig.settled()
        assert (books.completed, books.failed, books.bytes_in) == (2, {}, 2 * len(body))


async def test_an_answer_before_a_large_body_is_sent_counts_and_costs_the_connection() -> None:
    async def impatient(stream: trio.SocketStream) -> None:
        await stream.receive_some(1_000)
        await stream.send_all(b"the end")
        await trio.sleep_forever()

    async with tcp_server(impatient) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.tcp, part(10, 2), body_blob="d", expect="end")], {"d": bytes(8_000_000)})
        books = await rig.settled()
        assert (books.completed, books.failed, books.connected) == (2, {}, 2)


# Several addresses


def black_hole() -> tuple[socket.socket, list[socket.socket]]:
    """A listener that takes no more connections and refuses none; and what fills it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    return listener, fillers


async def test_an_address_that_swallows_everything_costs_a_moment_once_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Regression: a name whose first address is a black hole could not be loaded at all."""
    listener, fillers = black_hole()
    async with tcp_server(echo) as server:
        hosts = [listener.getsockname(), ("127.0.0.1", unused_port()), ("127.0.0.1", server.port)]

        async def look_up(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", host) for host in hosts]

        monkeypatch.setattr(trio.socket, "getaddrinfo", look_up)
        reach, traffic = Reach(AllowedTargets.parse(("loopback",))), Traffic()
        opened = len(os.listdir("/proc/self/fd"))
        for limit_s in (2.0, 0.1):  # the second time it is not even tried
            with trio.fail_after(limit_s):
                (await reach.connect("several.test", 80, traffic)).close()
        assert traffic.connected == 2
        hosts[:] = [listener.getsockname(), ("127.0.0.1", unused_port())]
        with trio.move_on_after(0.2) as scope:
            await Reach(AllowedTargets.parse(("loopback",))).connect("several.test", 80, traffic)
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(os.listdir("/proc/self/fd")) <= opened + 1  # the server's end of the last one
    for sock in (listener, *fillers):
        sock.close()
