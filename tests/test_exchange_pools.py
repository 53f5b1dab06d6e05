"""The connections of HTTP/2: none is kept without use or left open, and no request that was taken goes out twice."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable

import httpcore
import pytest
import trio
import trio.testing
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from ha_stress.base.targets import AllowedTargets
from ha_stress.engines.exchange.http2 import Http2
from ha_stress.engines.exchange.network import NetworkStream
from ha_stress.engines.exchange.pools import Pools
from ha_stress.engines.exchange.race import Race
from ha_stress.engines.exchange.reach import Reach, Traffic
from ha_stress.engines.exchange.transport import Client, Transport
from ha_stress.engines.resolve import Address
from tests.engine_support import unused_port
from tests.exchange_support import tcp_server


class Site:
    """Answers by path: / at once; /held once it is `released`, when its client says no more and may still listen; /endless
    never to its end. `seen` are the paths that were asked for, `open` its connections."""

    def __init__(self) -> None:
        self.port = 0
        self.open: set[trio.CancelScope] = set()
        self.seen: list[str] = []
        self.released = trio.Event()
        self.traffic = Traffic()
        self.pools = Pools(Reach(AllowedTargets.parse()), self.traffic, http2=True, most=100)

    async def serve(self, stream: trio.SocketStream) -> None:
        server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        server.initiate_connection()
        with trio.CancelScope() as scope:
            self.open.add(scope)
            try:
                await self._talk(server, stream)
            finally:
                self.open.remove(scope)

    async def _talk(self, server: H2Connection, stream: trio.SocketStream) -> None:
        held: list[int] = []
        while True:
            await stream.send_all(server.data_to_send())
            data = await stream.receive_some(65_536)
            if not data:
                break
            for event in server.receive_data(data):
                if isinstance(event, RequestReceived):
                    held += self._answer(server, event)
        if held:
            await self.released.wait()
        for number in held:
            server.send_headers(number, [(":status", "200")], end_stream=True)
        await stream.send_all(server.data_to_send())

    def _answer(self, server: H2Connection, event: RequestReceived) -> list[int]:
        """Returns its stream if it is to be answered later."""
        number = event.stream_id
        assert number is not None
        path = next(str(value) for name, value in event.headers or [] if str(name) == ":path")
        self.seen.append(path)
        if path == "/held":
            return [number]
        server.send_headers(number, [(":status", "200")], end_stream=path == "/")
        if path == "/endless":
            server.send_data(number, b"event")
        return []

    def request(self, path: str) -> httpcore.Request:
        host = f"127.0.0.1:{self.port}"
        return httpcore.Request("GET", f"http://{host}{path}", headers={"host": host})

    async def get(self, path: str) -> int:
        connections, response = await self.pools.begin(self.request(path))
        try:
            async for _ in response.aiter_stream():
                pass
        finally:
            await connections.end(response)
        return response.status

    def connection(self) -> Http2:
        """The one that the next request goes to."""
        taken = self.pools._take(self.request("/").url.origin)
        assert isinstance(taken, Http2)
        return taken

    def stream(self) -> NetworkStream:
        return next(iter(self.connection()._backend.streams))

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(5):
            while not condition():  # noqa: ASYNC110  the other side of sockets
                await trio.sleep(0.005)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    async with tcp_server(site.serve) as server:
        site.port = server.port
        yield site


async def test_a_request_that_was_taken_does_not_go_out_again_because_another_one_could_not_be_written(
    site: Site,
) -> None:
    """Regression: httpcore has the failed write of one request raised in all, also in those that are being answered."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 5
        problems: list[Exception] = []

        async def held() -> None:
            try:
                await site.get("/held")
            except httpcore.WriteError as error:
                problems.append(error)

        nursery.start_soon(held)
        await site.until(lambda: site.seen)
        site.stream().wire.sock.shutdown(socket.SHUT_WR)
        assert await site.get("/") == 200
        site.released.set()
    assert (site.seen, len(problems), site.traffic.retried) == (["/held", "/"], 1, 1)


async def test_who_reads_an_answer_only_in_part_leaves_no_connection_behind(site: Site) -> None:
    """Regression: after a hundred of them there was no stream left on it."""
    async with Client(transport=Transport(site.pools, b"")) as client:
        for _ in range(3):
            async with client.stream("GET", f"http://127.0.0.1:{site.port}/endless") as answer:
                async for chunk in answer.aiter_raw():
                    assert chunk == b"event"
                    break
            await site.until(lambda: not site.open)
        for _ in range(3):
            await client.get(f"http://127.0.0.1:{site.port}/")
        assert (site.traffic.connected, len(site.open)) == (4, 1)


async def test_an_answer_that_is_given_back_by_one_who_is_cancelled_is_given_back(site: Site) -> None:
    connections, response = await site.pools.begin(site.request("/endless"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await connections.end(response)
    assert connections.under_way == 0


async def test_a_connection_whose_only_request_was_given_up_is_closed(site: Site) -> None:
    site.released.set()
    for _ in range(2):
        with trio.move_on_after(0.05):
            await site.get("/held")
    assert site.traffic.connected == 2
    await site.until(lambda: not site.open)


async def test_a_connection_that_was_found_closed_is_closed_on_this_side_too(site: Site) -> None:
    assert await site.get("/") == 200
    wire = site.stream().wire
    for scope in site.open:
        scope.cancel()
    await site.until(wire.ended)
    assert await site.get("/") == 200
    assert wire.closed


async def test_who_waits_behind_one_that_was_cancelled_in_the_preface_takes_another_connection(site: Site) -> None:
    """Regression: httpcore closes the connection then, and the next in line got the library's own words."""
    http2 = site.connection()
    connection = await http2._opened(site.request("/"))
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 5
        statuses: list[int] = []

        async def get() -> None:
            statuses.append(await site.get("/"))

        async with connection._init_lock:
            nursery.start_soon(get)
            await trio.testing.wait_all_tasks_blocked()
            await connection.aclose()  # what it does for the one that is cancelled
    assert (statuses, site.traffic.retried, http2.retired) == ([200], 1, True)


async def test_a_race_that_begins_when_its_time_is_over_is_cancelled() -> None:
    addresses: list[Address] = [(socket.AF_INET, ("127.0.0.1", unused_port())) for _ in range(2)]
    with trio.CancelScope(deadline=trio.current_time() - 1) as scope:
        await Race("late").run(addresses)
    assert scope.cancelled_caught
