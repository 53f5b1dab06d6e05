"""HTTP/2 through the exchange engine: in the clear with prior knowledge, in TLS agreed upon."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame

from ha_stress.engines.exchange.network import Frames
from ha_stress.tasks.checks import parse_check
from tests.engine_support import part, share, unused_port
from tests.exchange_support import (
    answer_and_end,
    asgi_server,
    exchange_rig,
    hang_up,
    reset,
    self_signed,
    silent,
    tcp_server,
    versions,
)


async def test_several_streams_share_a_connection() -> None:
    checks = (parse_check("body == 2 hello"), parse_check("status in 200-299"))
    async with asgi_server(versions) as server, exchange_rig() as rig:
        url = f"http://127.0.0.1:{server.port}/"
        asked = share(url, part(150, 100), http2=True, method="POST", body=b"hello")
        await rig.pool.apply([replace(asked, checks=checks)])
        books = await rig.settled()
        assert (books.completed, books.failed, books.wrong) == (100, {}, 0)
        assert books.statuses == {"200": 100}
        assert books.connected == 1


async def test_a_status_of_an_error_is_wrong_unless_a_check_says_otherwise() -> None:
    async with asgi_server(versions) as server, exchange_rig() as rig:
        asked = share(f"http://127.0.0.1:{server.port}/status/503", part(100, 10), http2=True)
        wanted = replace(asked, task="wanted", checks=(parse_check("status == 503"),))
        await rig.pool.apply([asked, wanted])
        await rig.settled()
        assert (rig.of("t").wrong, rig.of("t").checks) == (10, {"status<400": 10})
        assert (rig.of("wanted").wrong, rig.of("wanted").statuses) == (0, {"503": 10})


async def test_every_failure_has_its_kind() -> None:
    async with (
        asgi_server(versions) as server,
        tcp_server(hang_up) as rude,
        tcp_server(reset) as hostile,
        exchange_rig() as rig,
    ):
        one = part(100, 5)
        urls = {
            "timeout": f"http://127.0.0.1:{server.port}/wait",
            "closed": f"http://127.0.0.1:{rude.port}/",
            "reset": f"http://127.0.0.1:{hostile.port}/",
            "connect_refused": f"http://127.0.0.1:{unused_port()}/",
            "not_allowed": "http://192.0.2.1/",
        }
        await rig.pool.apply([share(url, one, task=kind, http2=True, timeout_s=0.5) for kind, url in urls.items()])
        await rig.settled()
        assert {kind: rig.of(kind).failed for kind in urls} == {kind: {kind: 5} for kind in urls}


async def test_tls_agrees_on_http2_and_a_mix_may_have_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(certificate[1]))
    async with asgi_server(versions, certificate) as server, exchange_rig() as rig:
        url = f"https://localhost:{server.port}/"
        new, old = share(url, part(50, 10), task="mixed", http2=True), share(url)
        checked = replace(new, mix=(old.request,), checks=(parse_check("body contains 2"),))
        await rig.pool.apply([checked])
        books = await rig.settled()
        assert (books.completed, books.failed, books.wrong) == (10, {}, 5)
        assert books.connected < 10


async def test_a_connection_that_the_target_closed_while_it_was_idle_costs_no_arrival() -> None:
    async def once(stream: trio.SocketStream) -> None:
        server = H2Connection(H2Configuration(client_side=False))
        server.initiate_connection()
        while True:
            data = await stream.receive_some(65_536)
            if data.startswith(b"GET / HTTP/1.1"):
                await answer_and_end(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                return
            for event in server.receive_data(data):
                if isinstance(event, RequestReceived):
                    assert event.stream_id is not None
                    server.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
                    await answer_and_end(stream, server.data_to_send())
                    return
            await stream.send_all(server.data_to_send())

    async with tcp_server(once) as server, exchange_rig() as rig:
        url = f"http://127.0.0.1:{server.port}/"
        both = share(url, part(8, 8), http2=True, in_flight_max=1)  # two on one connection would share its end
        await rig.pool.apply([replace(both, mix=(share(url).request,))])
        books = await rig.settled()
        assert (books.started, books.failed) == (8 - books.dropped, {})
        assert books.completed == books.connected == server.connections == books.started


async def answer_and_send_away(stream: trio.SocketStream) -> None:
    """As nginx does: after three requests new ones are refused, those three are answered, then it closes."""
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    taken: list[int] = []
    while len(taken) < 3:
        await stream.send_all(server.data_to_send())
        data = await stream.receive_some(65_536)
        if not data:
            return
        for event in server.receive_data(data):
            if isinstance(event, RequestReceived) and len(taken) < 3:
                assert event.stream_id is not None
                taken.append(event.stream_id)
    await trio.sleep(0.05)  # what is sent meanwhile is refused
    await stream.send_all(GoAwayFrame(stream_id=0, last_stream_id=taken[-1]).serialize())
    for number in taken:
        server.send_headers(number, [(":status", "200")], end_stream=True)
    await stream.send_all(server.data_to_send())
    await silent(stream)


async def test_a_target_that_sends_new_streams_away_costs_no_arrival() -> None:
    async with tcp_server(answer_and_send_away) as server, exchange_rig() as rig:
        await rig.pool.apply([share(f"http://127.0.0.1:{server.port}/", part(100, 24), http2=True)])
        books = await rig.settled()
        assert (books.completed, books.failed) == (24, {})
        assert books.connected == server.connections >= 8
        assert books.retried > 0


Answer = Callable[[H2Connection, int], None]


def answering(answer: Answer) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """An HTTP/2 server that answers each request as soon as it has its head, and takes nothing of its body."""

    async def serve(stream: trio.SocketStream) -> None:
        server = H2Connection(H2Configuration(client_side=False))
        server.initiate_connection()
        await stream.send_all(server.data_to_send())
        while data := await stream.receive_some(65_536):
            for event in server.receive_data(data):
                if isinstance(event, RequestReceived):
                    assert event.stream_id is not None
                    answer(server, event.stream_id)
            await stream.send_all(server.data_to_send())

    return serve


def refuse_body(server: H2Connection, stream: int) -> None:
    server.send_headers(stream, [(":status", "413")], end_stream=True)


def refuse_body_and_reset(server: H2Connection, stream: int) -> None:
    refuse_body(server, stream)
    server.reset_stream(stream, ErrorCodes.NO_ERROR)


@pytest.mark.parametrize("answer", [refuse_body, refuse_body_and_reset])
async def test_an_answer_before_the_request_is_whole_counts(answer: Answer) -> None:
    """Regression: a target that answers early grants no more room, and the request waited for it until its timeout."""
    async with tcp_server(answering(answer)) as server, exchange_rig() as rig:
        url = f"http://127.0.0.1:{server.port}/"
        await rig.pool.apply(
            [share(url, part(100, 5), http2=True, method="POST", body_blob="d")], {"d": bytes(500_000)}
        )
        books = await rig.settled()
        assert (books.statuses, books.failed, books.connected) == ({"413": 5}, {}, 1)
        assert books.bytes_out < 5 * 500_000


async def test_large_bodies_share_a_connection() -> None:
    checks = (parse_check(f"size == {2 + 700_000}"),)
    async with asgi_server(versions) as server, exchange_rig() as rig:
        url = f"http://127.0.0.1:{server.port}/"
        asked = share(url, part(200, 8), http2=True, method="POST", body_blob="d")
        await rig.pool.apply([replace(asked, checks=checks)], {"d": bytes(700_000)})
        books = await rig.settled()
        assert (books.completed, books.failed, books.wrong, books.connected) == (8, {}, 0, 1)


@pytest.mark.parametrize(("code", "retried"), [(ErrorCodes.INTERNAL_ERROR, False), (ErrorCodes.REFUSED_STREAM, True)])
async def test_a_stream_that_is_reset_is_reset_and_goes_out_again_only_if_it_was_refused(
    code: ErrorCodes, retried: bool
) -> None:
    resetting = answering(lambda server, stream: server.reset_stream(stream, code))
    async with tcp_server(resetting) as server, exchange_rig() as rig:
        await rig.pool.apply([share(f"http://127.0.0.1:{server.port}/", part(100, 5), http2=True)])
        books = await rig.settled()
        assert (books.failed, bool(books.retried)) == ({"reset": 5}, retried)
        assert (books.connected > 1) == retried


async def test_streams_beyond_what_the_target_allows_go_over_another_connection() -> None:
    """It says so after it had allowed more: what is under way then is no reason to stop reading."""

    async def serve(stream: trio.SocketStream) -> None:
        server = H2Connection(H2Configuration(client_side=False))
        server.initiate_connection()
        server.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        waiting: list[int] = []
        while True:
            await stream.send_all(server.data_to_send())
            data = b""
            with trio.move_on_after(0.05) as pause:
                data = await stream.receive_some(65_536)
            events = server.receive_data(data)  # raises if there are too many
            waiting += [event.stream_id for event in events if isinstance(event, RequestReceived) and event.stream_id]
            if pause.cancelled_caught:
                for number in waiting:
                    server.send_headers(number, [(":status", "200")], end_stream=True)
                waiting.clear()
            elif not data:
                return

    async with tcp_server(serve) as server, exchange_rig() as rig:
        await rig.pool.apply([share(f"http://127.0.0.1:{server.port}/", part(200, 40), http2=True, timeout_s=5)])
        books = await rig.settled()
        assert (books.completed, books.failed) == (40, {})
        assert books.connected > 1


def test_only_the_frames_that_send_away_are_taken_out() -> None:
    told: list[int] = []
    frames = Frames(told.append)
    ping, data = PingFrame(0, opaque_data=b"12345678").serialize(), DataFrame(1, data=b"x" * 300).serialize()
    whole = ping + GoAwayFrame(0, last_stream_id=7).serialize() + data
    passed = b"".join(frames.feed(whole[i : i + 1]) for i in range(len(whole)))
    assert (passed, told) == (ping + data, [7])
    assert frames.feed(b"HTTP/1.1 400 Bad Request") == b"HTTP/1.1 400 Bad Request"
