"""Servers that do what servers should not: every request is accounted for, under its kind, and nothing is left behind."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ha_stress.engines import failures
from tests.engine_support import raw_server, read_request, unused_port
from tests.engine_thread import EngineThread, arrivals, engine_thread

Serve = Callable[[socket.socket, int], None]
OK = b"HTTP/1.1 200 OK\r\n"
SHORT = OK + b"Content-Length: 2\r\n\r\nok"
PAUSE_S = 0.01
COUNT = 5


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineThread]:
    with engine_thread() as thread:
        yield thread


def pause(seconds: float = PAUSE_S) -> None:
    threading.Event().wait(seconds)


def reset(sock: socket.socket) -> None:
    """From here on closing sends a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def answering(answer: bytes, *, then: str = "stay", bytewise: bool = False) -> Serve:
    """Answer every request with this; then stay for the next, end the connection, reset it, or end only our half."""

    def serve(sock: socket.socket, _number: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while read_request(sock):
            for piece in (answer[i : i + 1] for i in range(len(answer))) if bytewise else (answer,):
                sock.sendall(piece)
            if then == "reset":
                pause()  # so that the reset does not overtake the bytes
                reset(sock)
            if then == "half":
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1)
            if then != "stay":
                return

    return serve


def accepting_only(sock: socket.socket, _number: int) -> None:
    reset(sock)


def endless(start: bytes, more: bytes) -> Serve:
    def serve(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(start)
        while True:
            sock.sendall(more)

    return serve


def cut_after(answer: bytes) -> Serve:
    """Connection number n gets n - 1 bytes of the answer."""

    def serve(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(answer[: number - 1])

    return serve


def one_then(then: str) -> Serve:
    """One good answer on each connection, which is then ended while it is idle."""

    def serve(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(SHORT)
        pause()
        if then == "reset":
            reset(sock)
        elif then == "junk":
            sock.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    return serve


@dataclass(frozen=True, kw_only=True)
class Case:
    """`new`: every request needs a connection of its own, because the one before it cannot be used again."""

    serve: Serve
    status: int = 200
    kind: str = ""
    new: bool = False
    count: int = COUNT
    rate: float = 500.0
    request: dict[str, Any] = field(default_factory=dict)


HEAD = {"method": "HEAD"}
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
CASES: dict[str, Case] = {
    # Unusual, and right
    "every byte by itself": Case(serve=answering(OK + b"Content-Length: 5\r\n\r\nhello", bytewise=True)),
    "every byte of chunks by itself": Case(serve=answering(CHUNKED, bytewise=True)),
    "many informational answers": Case(serve=answering(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 50 + SHORT)),
    "100 bytewise": Case(serve=answering(b"HTTP/1.1 100 Continue\r\n\r\n" + SHORT, bytewise=True)),
    "a header of 200 kB": Case(serve=answering(OK + b"X: " + b"x" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n")),
    "no body at all": Case(serve=answering(OK + b"Content-Length: 0\r\n\r\n")),
    "204 bytewise": Case(serve=answering(b"HTTP/1.1 204 No Content\r\n\r\n", bytewise=True), status=204),
    "304 with a length": Case(serve=answering(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"), status=304),
    "HEAD of a chunked answer": Case(serve=answering(OK + b"Transfer-Encoding: chunked\r\n\r\n"), request=HEAD),
    "HEAD bytewise": Case(serve=answering(OK + b"Content-Length: 9\r\n\r\n", bytewise=True), request=HEAD),
    "HEAD of 1.0": Case(serve=answering(b"HTTP/1.0 200 OK\r\n\r\n", then="end"), request=HEAD, new=True),
    "to the end of the connection, bytewise": Case(
        serve=answering(OK + b"\r\nhello", then="end", bytewise=True), new=True
    ),
    "to the end, after 100": Case(
        serve=answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\nhello", then="end"), new=True
    ),
    "the server's half is closed after the answer": Case(
        serve=answering(SHORT, then="half"), rate=2, count=3, new=True
    ),
    "in another coding than chunks, to the end of the connection": Case(
        serve=answering(OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nhello", then="end", bytewise=True), new=True
    ),
    "reset after a whole answer": Case(serve=answering(SHORT, then="reset"), rate=2, count=3, new=True),
    "switching protocols": Case(
        serve=answering(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
        status=101,
        new=True,
    ),
    # Ended while idle
    "closed while idle": Case(serve=one_then("end"), rate=2, count=3, new=True),
    "reset while idle": Case(serve=one_then("reset"), rate=2, count=3, new=True),
    "spoke while idle": Case(serve=one_then("junk"), rate=2, count=3, new=True),
    # More than was asked for
    "HEAD with a body": Case(serve=answering(SHORT), request=HEAD, new=True),
    "two answers": Case(serve=answering(SHORT + SHORT), new=True),
    "an answer and a half": Case(serve=answering(SHORT + OK), new=True),
    "an answer and rubbish": Case(serve=answering(SHORT + b"\x00rubbish"), new=True),
    "304 with a body": Case(serve=answering(b"HTTP/1.1 304 N\r\nContent-Length: 2\r\n\r\nxx"), status=304, new=True),
    # Wrong
    "accepted and reset": Case(serve=accepting_only, kind=failures.RESET),
    "reset before the answer": Case(serve=answering(b"", then="reset"), kind=failures.RESET),
    "reset in the headers": Case(serve=answering(OK + b"Content-", then="reset"), kind=failures.RESET),
    "reset in the body": Case(serve=answering(OK + b"Content-Length: 9\r\n\r\nx", then="reset"), kind=failures.RESET),
    "reset in a body to the end of the connection": Case(
        serve=answering(OK + b"\r\nhello", then="reset"), kind=failures.RESET
    ),
    "the server's half is closed before the answer": Case(serve=answering(b"", then="half"), kind=failures.CLOSED),
    "cut anywhere": Case(serve=cut_after(OK + b"Content-Length: 2\r\n\r\no"), kind=failures.CLOSED, count=len(OK) + 23),
    "cut anywhere in chunks": Case(serve=cut_after(CHUNKED), kind=failures.CLOSED, count=len(CHUNKED)),
    "length and chunks": Case(
        serve=answering(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        kind=failures.PROTOCOL,
    ),
    "two lengths": Case(
        serve=answering(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), kind=failures.PROTOCOL
    ),
    "a negative length": Case(serve=answering(OK + b"Content-Length: -2\r\n\r\n"), kind=failures.PROTOCOL),
    "a length beyond 64 bits": Case(serve=answering(OK + b"Content-Length: 9" + b"9" * 30), kind=failures.PROTOCOL),
    "a status of letters": Case(serve=answering(b"HTTP/1.1 abc OK\r\n\r\n"), kind=failures.PROTOCOL),
    "HTTP/2's preface": Case(serve=answering(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), kind=failures.PROTOCOL),
    "headers without end": Case(serve=endless(OK, b"X: " + b"y" * 10_000 + b"\r\n"), kind=failures.HEADERS_TOO_LARGE),
    "one header without end": Case(serve=endless(OK + b"X: ", b"y" * 10_000), kind=failures.HEADERS_TOO_LARGE),
    "informational answers without end": Case(
        serve=endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 500), kind=failures.HEADERS_TOO_LARGE
    ),
    "HEAD with headers without end": Case(
        serve=endless(OK, b"X: " + b"y" * 10_000 + b"\r\n"), request=HEAD, kind=failures.HEADERS_TOO_LARGE
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_request_is_accounted_for(engine: EngineThread, name: str) -> None:
    case = CASES[name]
    with raw_server(case.serve) as server:
        books = engine.run(arrivals(server.url, case.count, rate=case.rate, **case.request))
        if case.kind:
            assert (books.completed, books.failed) == (0, {case.kind: case.count})
        else:
            assert (books.statuses, books.failed) == ({str(case.status): case.count}, {})
        assert books.started == case.count
        assert books.retried == 0
        assert books.connected <= server.connections
        if case.new and not case.kind:
            assert books.connected == server.connections == case.count


def test_a_request_body_of_megabytes_is_sent_whole_to_a_reader_that_is_slow(engine: EngineThread) -> None:
    body = bytes(range(256)) * 8_000
    got: list[int] = []

    def serve(sock: socket.socket, _number: int) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        while read_request(sock):
            left = len(body)
            while left:
                piece = sock.recv(min(left, 65_536))
                assert piece == body[len(body) - left :][: len(piece)]
                left -= len(piece)
            got.append(len(body))
            sock.sendall(SHORT)

    with raw_server(serve) as server:
        books = engine.run(arrivals(server.url, 4, rate=50, method="PUT", body=body))
        assert (books.completed, len(got)) == (4, 4)
        assert 4 * len(body) < books.bytes_out < 4 * (len(body) + 300)


@pytest.mark.parametrize("then", ["end", "reset", "drain"])
def test_an_answer_before_the_request_is_whole_counts_and_the_connection_is_given_up(
    engine: EngineThread, then: str
) -> None:
    def serve(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        pause(0.1)  # the engine has seen it by then
        if then == "reset":
            reset(sock)
        while then == "drain" and sock.recv(65_536):
            pass

    with raw_server(serve) as server:
        books = engine.run(arrivals(server.url, 3, method="POST", body=b"x" * 8_000_000))
        assert (books.statuses, books.failed, books.connected) == ({"413": 3}, {}, 3)
        assert books.bytes_out < 3 * 8_000_000


def test_a_target_that_goes_away_in_the_middle_of_a_request_body_is_reset(engine: EngineThread) -> None:
    def serve(sock: socket.socket, _number: int) -> None:
        sock.recv(100)
        reset(sock)

    with raw_server(serve) as server:
        books = engine.run(arrivals(server.url, 3, method="POST", body=b"x" * 8_000_000))
        assert books.failed == {failures.RESET: 3}


def test_a_slow_body_is_waited_for_as_long_as_the_timeout_allows(engine: EngineThread) -> None:
    def serve(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(OK + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            pause()
            sock.sendall(b".")

    with raw_server(serve) as server:
        assert engine.run(arrivals(server.url, timeout_s=5)).completed == COUNT
        assert engine.run(arrivals(server.url, timeout_s=0.05)).failed == {failures.TIMEOUT: COUNT}


# Addresses


def resolves(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Every name has these addresses."""

    def look_up(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in host], socket.SOCK_STREAM, 6, "", (host, port)) for host, port in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that takes no more connections and refuses none."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def test_an_address_that_swallows_everything_costs_a_moment_once(
    engine: EngineThread, monkeypatch: pytest.MonkeyPatch, black_hole: int
) -> None:
    with raw_server(answering(SHORT)) as server:
        resolves(monkeypatch, ("127.0.0.1", black_hole), ("::1", unused_port()), ("127.0.0.1", server.port))
        begun = time.monotonic()
        books = engine.run(arrivals("http://several.test/", 20, rate=1000, timeout_s=4))
        assert (books.completed, books.failed) == (20, {})
        assert time.monotonic() - begun < 2
        begun = time.monotonic()
        engine.run(arrivals("http://several.test/", 3, rate=20, timeout_s=4))
        assert time.monotonic() - begun < 2


def test_with_a_short_timeout_the_next_address_still_gets_its_time(
    engine: EngineThread, monkeypatch: pytest.MonkeyPatch, black_hole: int
) -> None:
    with raw_server(answering(SHORT)) as server:
        resolves(monkeypatch, ("127.0.0.1", black_hole), ("127.0.0.1", server.port))
        assert engine.run(arrivals("http://several.test/", 3, timeout_s=0.4)).completed == 3


def test_an_address_that_refuses_at_once_ends_no_other_ones_time(
    engine: EngineThread, monkeypatch: pytest.MonkeyPatch, black_hole: int
) -> None:
    """Regression: the time was over with the moment after which the second one was tried."""
    broadcast = "127.255.255.255"  # ENETUNREACH, and no need to wait for it
    resolves(monkeypatch, ("127.0.0.1", black_hole), (broadcast, black_hole))
    begun = time.monotonic()
    assert engine.run(arrivals("http://s.test/", 1, timeout_s=1)).failed == {failures.CONNECT_TIMEOUT: 1}
    assert time.monotonic() - begun >= 1


def test_a_name_of_which_no_address_answers_fails_by_what_was_found_last(
    engine: EngineThread, monkeypatch: pytest.MonkeyPatch, black_hole: int
) -> None:
    resolves(monkeypatch, ("127.0.0.1", unused_port()), ("::1", unused_port()))
    assert engine.run(arrivals("http://several.test/")).failed == {failures.CONNECT_REFUSED: COUNT}
    resolves(monkeypatch, ("127.0.0.1", unused_port()), ("127.0.0.1", black_hole))
    assert engine.run(arrivals("http://s.test/", timeout_s=0.2)).failed == {failures.CONNECT_TIMEOUT: COUNT}


def test_only_allowed_addresses_are_connected_to_whatever_name_led_there(
    engine: EngineThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(answering(SHORT)) as server:
        resolves(monkeypatch, ("198.51.100.7", 80), ("127.0.0.1", server.port))
        assert engine.run(arrivals("http://half.test/")).completed == COUNT
        resolves(monkeypatch, ("198.51.100.7", 80), ("2001:db8::1", 80))
        assert engine.run(arrivals("http://none.test/")).failed == {failures.NOT_ALLOWED: COUNT}
    assert engine.run(arrivals("http://198.51.100.7/")).failed == {failures.NOT_ALLOWED: COUNT}
    assert engine.run(arrivals("http://[2001:db8::1]/")).failed == {failures.NOT_ALLOWED: COUNT}


def test_a_literal_address_of_the_other_family_works(engine: EngineThread) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        assert engine.run(arrivals(f"http://[::1]:{unused_port()}/")).failed == {failures.CONNECT_REFUSED: COUNT}
        threading.Thread(target=serve_one, args=(listener,)).start()
        books = engine.run(arrivals(f"http://[::1]:{listener.getsockname()[1]}/", 1))
        assert books.completed == 1


def serve_one(listener: socket.socket) -> None:
    sock, _ = listener.accept()
    with sock:
        read_request(sock)
        sock.sendall(SHORT)
