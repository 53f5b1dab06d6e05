"""TLS: it works, and every way in which it does not has its kind."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ha_stress.engines import failures, histogram
from tests.engine_support import raw_server, read_request
from tests.engine_thread import EngineThread, arrivals, engine_thread, users

Wrap = Callable[[socket.socket], ssl.SSLSocket]
OK = b"HTTP/1.1 200 OK\r\n"
COUNT = 4


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    directory = tmp_path_factory.mktemp("tls")
    key, cert = directory / "key.pem", directory / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command.split(), *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return key, cert


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(certificate[1]))


@pytest.fixture
def wrap(certificate: tuple[Path, Path]) -> Wrap:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    return lambda sock: context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=True)


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineThread]:
    with engine_thread() as thread:
        yield thread


def https(port: int, host: str = "localhost") -> str:
    return f"https://{host}:{port}/"


def answering(answer: bytes, *, end: bool = False) -> Callable[[socket.socket, int], None]:
    def serve(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            sock.sendall(answer)
            if end:
                return

    return serve


SHORT = answering(OK + b"Content-Length: 2\r\n\r\nok")


@pytest.mark.usefixtures("trusted")
def test_connections_are_kept_and_users_go_on_over_them(engine: EngineThread, wrap: Wrap) -> None:
    with raw_server(SHORT, wrap) as server:
        books = engine.run(arrivals(https(server.port), COUNT, rate=20, share={"in_flight_max": 1}))
        assert books.completed == books.started == COUNT - books.dropped
        assert server.connections == 1
    with raw_server(SHORT, wrap) as server:
        books = engine.run(users(https(server.port), 2, 1.2))
        assert (books.closed, books.connected, books.failed) == (2, 2, {})
        assert books.completed > 10


@pytest.mark.usefixtures("trusted")
def test_a_target_that_takes_its_time_for_each_handshake_does_not_make_the_generator_late(
    engine: EngineThread, wrap: Wrap
) -> None:
    def slowly(sock: socket.socket) -> ssl.SSLSocket:
        time.sleep(0.05)
        return wrap(sock)

    with raw_server(answering(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", end=True), slowly) as server:
        books = engine.run(arrivals(https(server.port), 20, rate=100))
        assert books.completed == 20
        assert books.late < 10  # each was sent 50 ms after its schedule, but begun on it if the machine was not busy
        response = histogram.summary(histogram.merge(report["response_us"] for report in engine.reports))
        assert response.min_us > 49_000
        books = engine.run(users(https(server.port), 2, 0.3))
        assert books.connected > 2
        assert books.late == 0


@pytest.mark.usefixtures("trusted")
def test_long_answers_and_long_requests_arrive_whole(engine: EngineThread, wrap: Wrap) -> None:
    body = bytes(range(256)) * 4_000
    got: list[bytes] = []

    def serve(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            data = b""
            while len(data) < len(body):
                data += sock.recv(65_536)
            got.append(data)
            sock.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    with raw_server(serve, wrap) as server:
        books = engine.run(arrivals(https(server.port), 3, rate=10, method="POST", body=body))
        assert (books.completed, books.failed) == (3, {})
        assert got == [body] * 3
        assert books.bytes_in > 3 * len(body) < books.bytes_out


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (OK + b"Content-Length: 2\r\n\r\nok", ""),
        (OK + b"\r\nto the end of the connection", ""),
        (OK + b"Content-Length: 9\r\n\r\nok", failures.CLOSED),
        (OK + b"Content-Le", failures.CLOSED),
        (b"", failures.CLOSED),
    ],
)
@pytest.mark.parametrize("notify", [False, True])
def test_an_end_with_and_without_notice_is_the_same(
    engine: EngineThread, wrap: Wrap, answer: bytes, kind: str, notify: bool
) -> None:
    """Most servers that end an answer with their connection give no notice, so its absence is no failure."""

    def serve(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        if answer:
            sock.sendall(answer)
        if notify:
            sock.unwrap()  # type: ignore[attr-defined]

    with raw_server(serve, wrap) as server:
        books = engine.run(arrivals(https(server.port), COUNT))
        assert books.failed == ({kind: COUNT} if kind else {})
        assert books.completed == (0 if kind else COUNT)


@pytest.mark.usefixtures("trusted")
def test_a_reset_in_the_answer_is_reset_and_one_while_idle_is_nothing(engine: EngineThread, wrap: Wrap) -> None:
    def serve(sock: socket.socket, _number: int) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a reset discards what waits to be sent
        read_request(sock)
        sock.sendall(OK + b"Content-Length: 2\r\n\r\no" + b"k" * complete)
        threading.Event().wait(0.01)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    for complete in (False, True):
        with raw_server(serve, wrap) as server:
            books = engine.run(arrivals(https(server.port), 3, rate=5))  # time enough to see the reset before the next
            assert books.failed == ({} if complete else {failures.RESET: 3})
            assert server.connections == 3


def test_a_certificate_that_nobody_vouches_for_is_tls(engine: EngineThread, wrap: Wrap) -> None:
    with raw_server(SHORT, wrap) as server:
        assert engine.run(arrivals(https(server.port), COUNT)).failed == {failures.TLS: COUNT}


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_tls(engine: EngineThread, wrap: Wrap) -> None:
    with raw_server(SHORT, wrap, host="0.0.0.0") as server:
        books = engine.run(arrivals(https(server.port, "127.0.0.2"), COUNT))
        assert books.failed == {failures.TLS: COUNT}


def in_the_handshake(then: str) -> Callable[[socket.socket, int], None]:
    def serve(sock: socket.socket, _number: int) -> None:
        sock.recv(1_000)
        if then == "plain":
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif then == "half a record":
            sock.sendall(b"\x16\x03\x03\x00\x50\x02")
        elif then == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif then == "silence":
            sock.recv(1_000)

    return serve


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        ("plain", failures.TLS),
        ("half a record", failures.TLS),
        ("end", failures.TLS),
        ("reset", failures.RESET),
        ("silence", failures.CONNECT_TIMEOUT),
    ],
)
def test_a_handshake_that_does_not_end_has_its_kind(engine: EngineThread, then: str, kind: str) -> None:
    with raw_server(in_the_handshake(then)) as server:
        books = engine.run(arrivals(https(server.port), COUNT, timeout_s=0.2 if then == "silence" else 10.0))
        assert books.failed == {kind: COUNT}
        assert books.connected == books.bytes_out == 0
