"""The counting target counts what was asked of it, once."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.engine_support import TargetProcess, target_process


def talk(target: TargetProcess, data: bytes, answers: int) -> bytes:
    host, _, port = target.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        sock.sendall(data)
        got = b""
        while got.count(b"HTTP/1.1 ") < answers or not got.endswith((b"o", b"\r\n\r\n", b"}")):
            more = sock.recv(65_536)
            if not more:
                break
            got += more
        return got


GET = b"GET /any/path?q HTTP/1.1\r\nHost: x\r\n\r\n"


def test_every_path_and_method_counts_but_the_count_itself() -> None:
    with target_process() as target:
        assert b"200 OK" in talk(target, GET, 1)
        talk(target, b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 1)
        assert target.counted() == 2
        assert target.counted() == 2


def test_pipelined_requests_are_all_answered() -> None:
    with target_process() as target:
        assert talk(target, GET * 5, 5).count(b"HTTP/1.1 200 OK") == 5
        assert target.counted() == 5


def test_a_head_answer_has_no_body_and_a_closing_one_closes() -> None:
    with target_process("--body-bytes", "10") as target:
        got = talk(target, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 2)
        assert b"Content-Length: 10\r\nConnection: close\r\n\r\n" in got
        assert got.endswith(b"\r\n\r\n")


def test_half_a_request_does_not_count_and_rubbish_is_a_bad_request() -> None:
    with target_process() as target:
        assert b"400 Bad Request" in talk(target, b"rubbish\r\n\r\n", 1)
        host, _, port = target.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=5) as sock:
            sock.sendall(GET[:-2])
        assert target.counted() == 0


def test_status_delay_and_size_are_as_asked() -> None:
    with target_process("--status", "503", "--delay-ms", "80", "--body-bytes", "1000") as target:
        begin = time.monotonic()
        got = talk(target, GET * 3, 3)
        assert time.monotonic() - begin >= 0.08
        assert got.count(b"HTTP/1.1 503 Service Unavailable") == 3
        assert got.count(b"o" * 1000) == 3


def test_a_large_answer_reaches_a_slow_reader_whole() -> None:
    with target_process("--body-bytes", "5000000") as target:
        host, _, port = target.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=5) as sock:
            sock.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            got = 0
            while data := sock.recv(10_000):
                got += len(data)
        assert got > 5_000_000


def test_it_says_where_it_listens_and_ends_well_on_sigterm() -> None:
    with target_process() as target:
        assert target.url.startswith("http://127.0.0.1:")
        target.process.send_signal(signal.SIGTERM)
        assert target.process.wait(5) == 0


@pytest.mark.parametrize("options", [["--status", "99"], ["--delay-ms", "-1"], ["--host", "no-such-host.invalid"]])
def test_bad_options_are_refused_in_one_sentence(options: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "ha_stress.target", *options], capture_output=True, timeout=20)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_the_json_line_is_the_only_output() -> None:
    with subprocess.Popen([sys.executable, "-m", "ha_stress.target", "--json"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert set(json.loads(process.stdout.readline())) == {"url"}
        process.terminate()
        assert process.stdout.read() == b""
