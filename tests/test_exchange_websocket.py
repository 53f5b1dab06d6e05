"""WebSocket through the exchange engine: the rate is that of the messages."""

from __future__ import annotations

import os
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.base.limits import ANSWER_BYTES_MAX
from ha_stress.tasks.checks import parse_check
from tests.engine_support import part, share, unused_port
from tests.exchange_support import (
    exchange_rig,
    hang_up,
    reset,
    self_signed,
    tcp_server,
    websocket_server,
    ws_echo,
)


async def test_an_arrival_is_a_message_on_an_idle_connection_and_the_message_that_answers_it() -> None:
    seen: list[str | bytes] = []

    async def answer_twice(request: Any) -> None:
        socket = await request.accept()
        while True:
            message = await socket.get_message()
            seen.append(message)
            await socket.send_message("one moment")
            await socket.send_message(f"here: {message}")

    checks = (parse_check("body == here: hello"), parse_check("body contains hullo"))
    async with websocket_server(answer_twice) as server, exchange_rig(engines=2) as rig:
        asked = share(server.ws, part(300, 150), body=b"hello", expect="here", in_flight_max=20)
        await rig.pool.apply([replace(asked, checks=checks)])
        books = await rig.settled()
        count = books.completed  # all of them, on a machine that has time
        assert (books.failed, books.wrong) == ({}, count)
        assert count == books.started == 150 - books.dropped
        assert books.checks == {"body contains hullo": count}
        assert seen == ["hello"] * count
        assert 2 <= books.connected == server.connections <= 2 * 20


async def test_each_user_keeps_its_connection_and_is_not_late_however_long_it_took_to_open() -> None:
    async def open_slowly(request: Any) -> None:
        await trio.sleep(0.05)
        await ws_echo(request)

    async with websocket_server(open_slowly) as server, exchange_rig(engines=2) as rig:
        closed = part(0, None, modulus=4, slots=(0, 1, 2, 3), users=4)
        asked = share(server.ws, closed, body=b"hello")
        await rig.pool.apply([asked])
        await rig.until(lambda: rig.books().completed > 8)
        until_s = time.time() - asked.started_at
        await rig.pool.apply([replace(asked, parts=(replace(closed, limit=0, until_s=until_s),))])
        books = await rig.settled()
        assert (books.connected, server.connections, books.late, books.failed) == (4, 4, 0, {})


async def test_bytes_that_are_no_text_go_as_a_binary_message() -> None:
    seen: list[str | bytes] = []

    async def keep(request: Any) -> None:
        socket = await request.accept()
        seen.append(await socket.get_message())
        await socket.send_message(seen[0])

    async with websocket_server(keep) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.ws, part(10, 1), body=b"\xff\x00")])
        assert (await rig.settled()).completed == 1
        assert seen == [b"\xff\x00"]


async def test_what_came_unasked_is_not_taken_for_the_answer() -> None:
    async def chatter(request: Any) -> None:
        socket = await request.accept()
        while True:
            await socket.send_message(f"answer to {await socket.get_message()}")
            await socket.send_message("news")

    checks = (parse_check("body == answer to 1"),)
    async with websocket_server(chatter) as server, exchange_rig() as rig:
        await rig.pool.apply([replace(share(server.ws, part(50, 20), body=b"1"), checks=checks)])
        books = await rig.settled()
        assert (books.completed, books.wrong) == (20, 0)


async def test_without_a_body_an_arrival_only_connects_and_closes() -> None:
    async with websocket_server(ws_echo) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.ws, part(100, 20))])
        books = await rig.settled()
        assert books.completed == books.connected == server.connections == 20


async def test_a_websocket_that_was_closed_while_it_was_idle_costs_no_arrival() -> None:
    async def once(request: Any) -> None:
        socket = await request.accept()
        assert await socket.get_message() == "hello"
        # Answer and close at once, so that no arrival meets the close halfway.
        await socket._stream.send_all(b"\x81\x05hello\x88\x02\x03\xe8")
        await trio.sleep_forever()

    async with websocket_server(once) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.ws, part(40, 20), body=b"hello")])
        books = await rig.settled()
        assert (books.completed, books.failed, books.connected) == (20, {}, 20)


async def test_every_failure_has_its_kind() -> None:
    async def forbid(request: Any) -> None:
        await request.reject(403, body=b"no")

    async def leave(request: Any) -> None:
        socket = await request.accept()
        await socket.get_message()
        await socket.aclose(1011, "overloaded")

    async def stay_silent(request: Any) -> None:
        await (await request.accept()).get_message()
        await trio.sleep_forever()

    async def no_http(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await stream.receive_some(65_536)

    async with (
        websocket_server(forbid) as forbidding,
        websocket_server(leave) as leaving,
        websocket_server(stay_silent) as mute,
        tcp_server(hang_up) as rude,
        tcp_server(reset) as hostile,
        tcp_server(no_http) as other,
        exchange_rig() as rig,
    ):
        one = part(100, 5)
        await rig.pool.apply(
            [
                share(forbidding.ws, one, task="ws_rejected", body=b"x"),
                share(leaving.ws, one, task="ws_close", body=b"x"),
                share(mute.ws, one, task="timeout", body=b"x", timeout_s=0.3),
                share(rude.ws, one, task="closed", body=b"x"),
                share(hostile.ws, one, task="reset", body=b"x"),
                share(other.ws, one, task="protocol", body=b"x"),
                share(f"ws://127.0.0.1:{unused_port()}", one, task="connect_refused", body=b"x"),
                share("ws://192.0.2.1/", one, task="not_allowed", body=b"x"),
            ]
        )
        await rig.settled()
        kinds = ("ws_rejected", "ws_close", "timeout", "closed", "reset", "protocol", "connect_refused", "not_allowed")
        assert {kind: rig.of(kind).failed for kind in kinds} == {kind: {kind: 5} for kind in kinds}
        texts = {complaint.kind: complaint.text for complaint in rig.complaints}
        assert "403" in texts["ws_rejected"]
        assert "1011 overloaded" in texts["ws_close"]


async def test_a_subprotocol_is_offered_and_an_extension_that_nobody_here_has_is_not() -> None:
    asked: list[tuple[tuple[str, ...], bool]] = []

    async def choose(request: Any) -> None:
        names = {name.lower() for name, _ in request.headers}
        asked.append((tuple(request.proposed_subprotocols), b"sec-websocket-extensions" in names))
        socket = await request.accept(subprotocol=request.proposed_subprotocols[-1])
        await socket.send_message(await socket.get_message())

    headers = (("Sec-WebSocket-Protocol", "mqtt, graphql-ws"), ("Sec-WebSocket-Extensions", "permessage-deflate"))
    async with websocket_server(choose) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.ws, part(50, 1), body=b"x", headers=headers)])
        books = await rig.settled()
        assert (books.completed, books.failed) == (1, {})
        assert asked == [(("mqtt", "graphql-ws"), False)]


async def test_a_message_that_is_too_large_is_not_the_target_closing_even_if_its_close_crosses_ours() -> None:
    message = b"\x82\x7f" + (ANSWER_BYTES_MAX + 1).to_bytes(8, "big") + bytes(ANSWER_BYTES_MAX + 1)
    close = b"\x88\x02" + (1000).to_bytes(2, "big")

    async def answer_at_length(request: Any) -> None:
        socket = await request.accept()
        await socket.get_message()
        await socket._stream.send_all(message + close)
        await trio.sleep_forever()

    async with websocket_server(answer_at_length) as server, exchange_rig() as rig:
        # Which of the two closes is told to whoever waits is left to the order of the tasks: eight times, not once.
        await rig.pool.apply([share(server.ws, part(50, 8), body=b"x")])
        assert (await rig.settled()).failed == {"too_large": 8}


async def test_a_target_to_which_our_message_is_too_large_has_closed() -> None:
    async def refuse(request: Any) -> None:
        socket = await request.accept()
        await socket.get_message()
        await socket.aclose(1009, "Exceeded maximum message size: 1 bytes")

    async with websocket_server(refuse) as server, exchange_rig() as rig:
        await rig.pool.apply([share(server.ws, part(50, 1), body=b"xx")])
        assert (await rig.settled()).failed == {"ws_close": 1}
        assert "1009 Exceeded maximum message size: 1 bytes" in rig.complaints[0].text


async def test_wss_needs_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with websocket_server(ws_echo, context) as server:
        asked = share(f"wss://localhost:{server.port}/", part(50, 5), body=b"x")
        async with exchange_rig() as rig:
            await rig.pool.apply([asked])
            assert (await rig.settled()).failed == {"tls": 5}
        monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(certificate))
        async with exchange_rig() as rig:
            await rig.pool.apply([asked])
            assert (await rig.settled()).completed == 5
