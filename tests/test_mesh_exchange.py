"""The exchange: many connections behind one task, against the real server and against peers that misbehave."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import wsproto
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage

from ha_stress.base.errors import MeshUnavailable
from ha_stress.base.limits import MESH_BAD_MESSAGES_MAX, MESH_MESSAGE_BYTES_MAX
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.exchange import Exchange, Link
from ha_stress.wire.codec import encode
from ha_stress.wire.messages import Message
from tests.test_mesh import HOST, Child, child, ping, serving

__all__ = ["child"]  # a fixture


@asynccontextmanager
async def exchanging() -> AsyncIterator[Exchange]:
    exchange = Exchange()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        yield exchange
        nursery.cancel_scope.cancel()


class Ear:
    """Takes messages, and lets a test wait for a number of them."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self._more = trio.Event()

    def __call__(self, message: Message) -> None:
        self.heard.append(message)
        self._more.set()

    async def wait(self, number: int) -> list[Message]:
        with trio.fail_after(5):
            while len(self.heard) < number:
                self._more = trio.Event()
                await self._more.wait()
        return self.heard


async def dial(exchange: Exchange, port: int, ear: Ear, secret: str = "", timeout_s: float = 2) -> Link:
    return await exchange.dial(HOST, port, secret, timeout_s=timeout_s, hear=ear)


async def ended(link: Link) -> None:
    with trio.fail_after(5):
        await link.ended.wait()


async def test_messages_go_both_ways_in_order_on_many_links_at_once() -> None:
    async with serving() as port, exchanging() as exchange:
        ears = [Ear() for _ in range(20)]
        links = [await dial(exchange, port, ear) for ear in ears]
        for number in range(30):
            for link in links:
                link.send(encode(ping(number)))
        for ear in ears:
            assert await ear.wait(30) == [ping(number) for number in range(30)]


async def test_a_wrong_secret_is_refused_and_the_right_one_enters() -> None:
    async with serving(secret="s3cret") as port, exchanging() as exchange:
        with pytest.raises(MeshUnavailable, match="refused our secret") as caught:
            await dial(exchange, port, Ear(), "wrong")
        assert not caught.value.refused
        ear = Ear()
        (await dial(exchange, port, ear, "s3cret")).send(encode(ping()))
        assert await ear.wait(1) == [ping()]


async def test_where_nothing_listens_the_dial_is_refused_and_who_does_not_answer_is_a_timeout() -> None:
    async with exchanging() as exchange:
        with socket.socket() as other:
            other.bind((HOST, 0))
            with pytest.raises(MeshUnavailable, match="nothing listens") as caught:
                await dial(exchange, other.getsockname()[1], Ear())
            assert caught.value.refused
            other.listen()
            began = time.monotonic()
            with pytest.raises(MeshUnavailable) as caught:
                await dial(exchange, other.getsockname()[1], Ear(), timeout_s=0.2)
            assert not caught.value.refused
            assert 0.1 < time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\x00\xff garbage\r\n\r\n", b"x" * 100_000]
)
async def test_a_server_that_is_no_mesh_is_told_from_one_at_once(answer: bytes) -> None:
    async def other(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if answer:
            await stream.send_all(answer)
        await stream.aclose()

    async with trio.open_nursery() as nursery, exchanging() as exchange:
        [listener] = await nursery.start(partial(trio.serve_tcp, other, 0, host=HOST))
        began = time.monotonic()
        with pytest.raises(MeshUnavailable):
            await dial(exchange, listener.socket.getsockname()[1], Ear(), timeout_s=30)
        assert time.monotonic() - began < 5.0
        nursery.cancel_scope.cancel()


async def test_a_peer_that_is_killed_is_noticed_at_once_and_sending_to_it_is_harmless(child: Child) -> None:
    async with exchanging() as exchange:
        ear = Ear()
        link = await dial(exchange, child.port, ear)
        link.send(encode(ping()))
        await ear.wait(1)
        child.process.kill()
        await ended(link)
        link.send(encode(ping()))
        link.close()


async def test_a_peer_that_does_not_read_is_hung_up_on_without_waiting(child: Child) -> None:
    async with exchanging() as exchange:
        link = await dial(exchange, child.port, Ear())
        child.process.send_signal(signal.SIGSTOP)
        with trio.fail_after(5):
            while not link.ended.is_set():
                link.send(encode(ping(sender="x" * 500_000)))
                await trio.lowlevel.checkpoint()


async def test_closing_says_goodbye_and_the_end_of_the_exchange_closes_all_links() -> None:
    left = 0

    async def listen(connection: Connection) -> None:
        nonlocal left
        try:
            await connection.receive()
        except MeshUnavailable:
            left += 1

    async with serving(listen) as port:
        async with exchanging() as exchange:
            first, second = await dial(exchange, port, Ear()), await dial(exchange, port, Ear())
            first.close()
            first.close()
            assert first.ended.is_set() and not second.ended.is_set()
        assert second.ended.is_set()
        with trio.fail_after(5):
            while left < 2:  # noqa: ASYNC110  the other side of sockets
                await trio.sleep(0.01)


# --- peers that speak websocket and not our language ---


Say = Callable[[wsproto.WSConnection], bytes]


@asynccontextmanager
async def saying(*sentences: Say) -> AsyncIterator[int]:
    """A server that accepts, says these things in one go, and then reads until the end."""

    async def serve(stream: trio.SocketStream) -> None:
        websocket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        websocket.receive_data(await stream.receive_some())
        assert any(isinstance(event, Request) for event in websocket.events())
        await stream.send_all(websocket.send(AcceptConnection()) + b"".join(say(websocket) for say in sentences))
        while await stream.receive_some():
            pass

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host=HOST))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def words(data: bytes, finished: bool = True) -> Say:
    return lambda websocket: websocket.send(BytesMessage(data=data, message_finished=finished))


async def test_a_message_in_fragments_is_put_together_also_when_it_comes_with_the_handshake() -> None:
    data = encode(ping(7))
    asks = [lambda websocket: websocket.send(Ping(payload=b"x"))]
    async with (
        saying(words(data[:5], False), words(data[5:], True), *asks, words(data)) as port,
        exchanging() as exchange,
    ):
        ear = Ear()
        link = await dial(exchange, port, ear)
        assert await ear.wait(2) == [ping(7), ping(7)]
        assert not link.ended.is_set()


async def test_what_is_not_understood_is_passed_over_until_it_is_too_much() -> None:
    text: Say = lambda websocket: websocket.send(TextMessage(data="hello"))  # noqa: E731
    bad = [words(b"\xff rubbish"), text] * (MESH_BAD_MESSAGES_MAX // 2)
    async with saying(*bad, words(encode(ping())), *bad) as port, exchanging() as exchange:
        ear = Ear()
        link = await dial(exchange, port, ear)
        assert await ear.wait(1) == [ping()]
        assert not link.ended.is_set(), "it was understood in between"
    async with saying(*bad, words(b"one too many"), words(encode(ping()))) as port, exchanging() as exchange:
        link = await dial(exchange, port, ear)
        await ended(link)
        assert ear.heard == [ping()]


async def test_a_message_over_the_limit_and_broken_frames_end_the_link() -> None:
    half = b"x" * (MESH_MESSAGE_BYTES_MAX // 2 + 1)
    garbage: Say = lambda websocket: b"\xff" * 50  # noqa: E731
    goodbye: Say = lambda websocket: websocket.send(CloseConnection(code=1000))  # noqa: E731
    stories: list[tuple[Say, ...]] = [(words(half, False), words(half)), (garbage,), (goodbye,)]
    for story in stories:
        async with saying(*story) as port, exchanging() as exchange:
            await ended(await dial(exchange, port, Ear()))
