"""Real servers, well-behaved and not: each answer is counted as what it is, each failure under its kind."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

import pytest

from ha_stress.engines.failures import MEANING
from ha_stress.engines.http1 import request_bytes
from ha_stress.tasks.ledger import Counters
from ha_stress.tasks.spec import HttpRequest
from tests.engine_support import part, raw_server, read_request, running_pool, share, target_process, unused_port

Serve = Callable[[socket.socket, int], None]
OK = b"HTTP/1.1 200 OK\r\n"
COUNT = 20


def replies(*segments: bytes, end: bool = False) -> Serve:
    """Answer every request with these segments, each in its own packet."""

    def serve(sock: socket.socket, _number: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pause = threading.Event()
        while read_request(sock):
            for segment in segments:
                sock.sendall(segment)
                if len(segments) > 1:
                    pause.wait(0.002)  # so that the segments arrive apart
            if end:
                return

    return serve


def answer_and_end(sock: socket.socket, _number: int) -> None:
    """Both in one packet, so that no further request can meet them halfway: it would be lost, and rightly."""
    read_request(sock)
    sock.sendall(OK + b"Content-Length: 2\r\n\r\nok", socket.MSG_MORE)


async def run(url: str, *, rate: float = 200.0, count: int = COUNT, **more: object) -> Counters:
    async with running_pool() as rig:
        await rig.pool.apply([share(url, part(rate, count), **more)])  # type: ignore[arg-type]
        books = await rig.settled()
        assert books.started == count
        assert books.under_way == 0
        assert set(books.failed) <= set(MEANING)
        return books


GOOD: dict[str, Serve] = {
    "content-length": replies(OK + b"Content-Length: 5\r\n\r\nhello"),
    "split in the middle of a header": replies(OK + b"Content-Len", b"gth: 5\r\n\r\nhe", b"llo"),
    "chunked": replies(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n"),
    "chunked with trailer": replies(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
    "100 and 103 first": replies(
        b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, b"Content-Length: 0\r\n\r\n"
    ),
    "204": replies(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "304 with a length": replies(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
    "1.0 keep-alive": replies(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
    "500": replies(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
}
CLOSING: dict[str, Serve] = {
    "connection close": replies(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", end=True),
    "1.0 to the end of the connection": replies(b"HTTP/1.0 200 OK\r\n\r\n", b"a body", end=True),
    "1.1 to the end of the connection": replies(OK + b"\r\n", b"a body", end=True),
    "1.0 without any body": replies(b"HTTP/1.0 200 OK\r\n\r\n", end=True),
    "keep-alive, then closed at once": answer_and_end,
}


async def run_one_at_a_time(url: str, **more: object) -> Counters:
    """With one under way at most nobody needs a second connection, however slow the machine is: what comes due before the
    first one is answered is dropped. It makes no difference on one that has time."""
    async with running_pool() as rig:
        await rig.pool.apply([share(url, part(50, 10), in_flight_max=1, **more)])  # type: ignore[arg-type]
        books = await rig.settled()
        assert books.started + books.dropped == 10
        assert books.completed == books.started
        return books


@pytest.mark.parametrize("name", GOOD)
async def test_answers_that_keep_the_connection(name: str) -> None:
    with raw_server(GOOD[name]) as server:
        books = await run_one_at_a_time(server.url)
        assert sum(books.statuses.values()) == books.completed
        assert server.connections == books.connected == 1


@pytest.mark.parametrize("name", CLOSING)
async def test_answers_that_end_the_connection(name: str) -> None:
    with raw_server(CLOSING[name]) as server:
        books = await run(server.url, rate=100)
        assert books.completed == COUNT, books
        assert server.connections == COUNT


async def test_a_head_answer_ends_with_its_headers_and_keeps_the_connection() -> None:
    with raw_server(replies(OK + b"Content-Length: 5000\r\n\r\n")) as server:
        await run_one_at_a_time(server.url, method="HEAD")
        assert server.connections == 1


async def test_a_head_answer_with_close_is_not_reused() -> None:
    with raw_server(replies(OK + b"Connection: close\r\nContent-Length: 5000\r\n\r\n", end=True)) as server:
        books = await run(server.url, method="HEAD")
        assert books.completed == COUNT
        assert server.connections == COUNT


def silent(sock: socket.socket, _number: int) -> None:
    read_request(sock)
    sock.recv(1)


def reset(sock: socket.socket, _number: int) -> None:
    read_request(sock)
    sock.sendall(OK + b"Content-Length: 500\r\n\r\nbegin")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close_mutely(sock: socket.socket, _number: int) -> None:
    read_request(sock)


BAD: dict[str, tuple[Serve, str]] = {
    "reset in the middle": (reset, "reset"),
    "closed before any byte": (close_mutely, "closed"),
    "closed in the middle of a body": (replies(OK + b"Content-Length: 500\r\n\r\nbegin", end=True), "closed"),
    "closed in the middle of a chunk": (replies(OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nx", end=True), "closed"),
    "closed in the middle of the headers": (replies(OK + b"Content-Le", end=True), "closed"),
    "closed after 100": (replies(b"HTTP/1.1 100 Continue\r\n\r\n", end=True), "closed"),
    "not HTTP": (replies(b"SSH-2.0-OpenSSH_9.2\r\n", end=True), "protocol"),
    "bad chunk size": (replies(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", end=True), "protocol"),
}


@pytest.mark.parametrize("name", BAD)
async def test_broken_answers_are_counted_under_their_kind(name: str) -> None:
    serve, kind = BAD[name]
    with raw_server(serve) as server:
        books = await run(server.url)
        assert books.failed == {kind: COUNT}


async def test_nothing_listening_is_connect_refused() -> None:
    assert (await run(f"http://127.0.0.1:{unused_port()}/")).failed == {"connect_refused": COUNT}


async def test_a_full_backlog_is_connect_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        books = await run(f"http://127.0.0.1:{address[1]}/", count=5, timeout_s=0.2)
        assert books.failed == {"connect_timeout": 5}
        for filler in fillers:
            filler.close()


async def test_a_server_that_never_answers_is_timeout() -> None:
    with raw_server(silent) as server:
        assert (await run(server.url, timeout_s=0.2)).failed == {"timeout": COUNT}


async def test_a_server_that_drips_for_ever_is_timeout() -> None:
    def drip(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        pause = threading.Event()
        sock.sendall(OK + b"Content-Length: 5000\r\n\r\n")
        while not pause.wait(0.02):
            sock.sendall(b".")

    with raw_server(drip) as server:
        assert (await run(server.url, timeout_s=0.3)).failed == {"timeout": COUNT}


async def test_a_name_without_address_is_dns() -> None:
    assert (await run("http://no-such-host.invalid/", timeout_s=2)).failed == {"dns": COUNT}


async def test_a_name_whose_first_address_refuses_works_by_the_next() -> None:
    with raw_server(GOOD["content-length"]) as server:
        assert (await run(f"http://localhost:{server.port}/")).completed == COUNT


async def test_a_large_body_is_sent_whole_and_once() -> None:
    with target_process() as target:
        books = await run(target.url, rate=20, count=10, method="POST", body=b"x" * (2 << 20), timeout_s=30)
        assert books.completed == 10
        assert target.counted() == 10


async def test_a_large_answer_is_read_whole() -> None:
    with target_process("--body-bytes", "1000000") as target:
        books = await run(target.url, rate=50)
        assert books.completed == COUNT
        assert books.bytes_in > COUNT * 1_000_000


def test_the_request_has_host_agent_and_length_unless_the_task_gives_them() -> None:
    plain = request_bytes(HttpRequest(url="http://h.example:81/a/b?c=d"))
    assert plain.startswith(b"GET /a/b?c=d HTTP/1.1\r\nHost: h.example:81\r\nUser-Agent: ha-stress/")
    assert b"Content-Length" not in plain
    assert request_bytes(HttpRequest(url="http://u:p@h?q")).startswith(b"GET /?q HTTP/1.1\r\nHost: h\r\n")
    post = request_bytes(
        HttpRequest(url="http://h", method="post", headers=(("host", "other"), ("X", "y")), body=b"123")
    )
    assert post.startswith(b"POST / HTTP/1.1\r\n")
    assert b"Host: h" not in post
    assert b"Content-Length: 3\r\n" in post
    assert post.endswith(b"host: other\r\nX: y\r\n\r\n123")


def test_a_user_in_the_url_is_told_to_the_target_unless_the_task_says_who_it_is() -> None:
    sent = request_bytes(HttpRequest(url="http://me:p%40ss@127.0.0.1:8080/x"))
    assert b"\r\nHost: 127.0.0.1:8080\r\n" in sent
    assert b"\r\nAuthorization: Basic bWU6cEBzcw==\r\n" in sent
    given = HttpRequest(url="http://me:secret@127.0.0.1:8080/x", headers=(("authorization", "Bearer x"),))
    assert request_bytes(given).lower().count(b"authorization:") == 1
    assert b"uthorization" not in request_bytes(HttpRequest(url="http://127.0.0.1/"))
