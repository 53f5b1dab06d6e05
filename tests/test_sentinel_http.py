"""The sentinel's HTTP endpoint: the protocol with plain sockets, the pages with a real sentinel and a real Redis."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from ha_stress.base.clock import SystemClock
from ha_stress.base.config import SentinelConfig, Timing
from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import SENTINEL_HTTP_CONNECTIONS_MAX, SENTINEL_HTTP_REQUEST_BYTES_MAX
from ha_stress.bus.client import Bus, open_bus
from ha_stress.bus.embedded import EmbeddedRedis
from sentinel.http import Page, json_page, serve_http
from sentinel.server import SentinelServer
from tests.redis_server import cluster, eventually, own_valkey, valkey
from tests.test_sentinel_hooks import Receiver, receiver

__all__ = ["cluster", "own_valkey", "receiver", "valkey"]

TIMING = Timing(
    ping_period_s=1.0,  # a loop that is later than this is not healthy
    down_after_s=1.5,
    view_fresh_s=2.0,
    info_period_s=0.1,
    info_expiry_s=1.0,
    tilt_stall_s=1.5,  # a stall of a busy machine is none that is tested
    tilt_s=0.5,
)


# --- the protocol ---------------------------------------------------------------------------------------------


async def _hello() -> Page:
    return json_page({"hello": "you"})


async def _broken() -> Page:
    raise KeyError("a defect")


async def _large() -> Page:
    return Page(body=b"x" * 3_000_000, content_type="text/plain")


PAGES = {"/": _hello, "/broken": _broken, "/large": _large}


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[int]:
    """The port of a server."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(
            lambda task_status: serve_http("127.0.0.1", 0, PAGES, task_status=task_status, **more)
        )
        nursery.cancel_scope.cancel()


async def converse(port: int, said: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with trio.fail_after(10):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(said)
            heard = b""
            async for chunk in stream:
                heard += chunk
            return heard


def request(method: str = "GET", path: str = "/", *headers: str, close: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_page_is_answered_with_its_length_and_is_not_to_be_kept() -> None:
    async with serving() as port:
        head, _, body = (await converse(port, request(path="/?from=a-probe"))).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body) == {"hello": "you"}
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b"cache-control: no-store" in head.lower()


async def test_a_head_has_no_body_and_an_options_is_answered_like_a_get() -> None:
    async with serving() as port:
        head = await converse(port, request("HEAD"))
        options = await converse(port, request("OPTIONS"))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and head.endswith(b"\r\n\r\n")
    assert options.startswith(b"HTTP/1.1 200 OK\r\n") and options.endswith(b'{"hello": "you"}\n')


async def test_one_connection_takes_many_requests_also_when_they_come_at_once() -> None:
    async with serving() as port:
        heard = await converse(port, request(close=False) * 3 + request("HEAD", close=False) + request())
    assert heard.count(b"HTTP/1.1 200 OK") == 5
    assert heard.count(b'{"hello": "you"}') == 4


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (request(path="/none"), 404),
        (request("POST"), 405),
        (request("DELETE", "/none"), 405),
        (b"what is this\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # without a host
        (request("GET", "/", "X: " + 2 * "y" * SENTINEL_HTTP_REQUEST_BYTES_MAX), 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00\r\n\r\n", 400),  # somebody tries TLS
        (request(path="/broken"), 500),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_one_sentence(said: bytes, status: int) -> None:
    async with serving() as port:
        head, _, body = (await converse(port, said)).partition(b"\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        assert list(json.loads(body)) == ["error"]
        assert (b"allow: GET, HEAD, OPTIONS" in head) == (status == 405)
        assert (await converse(port, request())).startswith(b"HTTP/1.1 200 "), "and the server goes on"


async def test_a_body_is_not_read_and_its_connection_is_closed() -> None:
    async with serving() as port:
        heard = await converse(port, request("GET", "/", "Content-Length: 100", close=False))
    assert heard.startswith(b"HTTP/1.1 200 ")


async def test_a_request_that_never_ends_is_cut() -> None:
    async with serving(request_timeout_s=0.2) as port:
        assert await converse(port, b"GET / HTTP/1.1\r\nHost: ") == b""


@pytest.mark.parametrize("said", [b"", b"GET /liveness HTT"])
async def test_who_only_holds_connections_makes_room_for_who_asks_and_the_longest_waiting_goes_first(
    said: bytes,
) -> None:
    async with serving() as port:
        streams = []
        for _ in range(SENTINEL_HTTP_CONNECTIONS_MAX + 10):
            streams.append(await trio.open_tcp_stream("127.0.0.1", port))
            await streams[-1].send_all(said)
        for _ in range(3):
            assert (await converse(port, request())).startswith(b"HTTP/1.1 200 ")
        with trio.fail_after(5):
            for stream in streams[:10]:
                with suppress(trio.BrokenResourceError):
                    assert await stream.receive_some() == b"", "the first ones were ended"
        with trio.move_on_after(0.05) as waited:
            await streams[-1].receive_some()
        assert waited.cancelled_caught, "the last one is open"
        for stream in streams:
            await trio.aclose_forcefully(stream)


async def test_who_hangs_up_or_does_not_read_disturbs_nobody() -> None:
    async with serving() as port:
        for said in (b"", b"GET", request(), request(path="/large", close=False) * 5):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(said)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # goes with a reset
            await stream.aclose()
        assert (await converse(port, request())).startswith(b"HTTP/1.1 200 ")


async def test_a_port_that_is_taken_is_a_sentence() -> None:
    async with serving() as port:
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: .*--http-port"):
            await serve_http("127.0.0.1", port, PAGES)


# --- the pages ------------------------------------------------------------------------------------------------


class Asked:
    """A sentinel in this process, and a client for its pages."""

    def __init__(self, server: SentinelServer, bus: Bus, http: httpx.AsyncClient) -> None:
        self.server = server
        self.bus = bus
        self.http = http

    async def page(self, path: str) -> tuple[int, dict[str, Any]]:
        answer = await self.http.get(path)
        return answer.status_code, answer.json()

    async def until(self, path: str, status: int, reason: str) -> dict[str, Any]:
        """Ask until the page answers so."""
        found: dict[str, Any] = {}

        async def so() -> bool:
            nonlocal found
            code, found = await self.page(path)
            return code == status and reason in found["reason"]

        try:
            await eventually(so, f"{path}: {status} {reason}", 10.0)
        except AssertionError as error:
            raise AssertionError(f"{error}; last answer: {found}") from None
        return found


@asynccontextmanager
async def sentinel(
    url: str, cluster: str, directory: Path, members: tuple[str, ...] = ("s1",), **more: Any
) -> AsyncIterator[Asked]:
    config = SentinelConfig(
        id="s1", members=members, data_dir=str(directory), cluster=cluster, redis_url=url, timing=TIMING, **more
    )
    async with open_bus(url, cluster) as bus, trio.open_nursery() as nursery:
        server = SentinelServer(config, bus, nursery, SystemClock())
        await server.start()
        async with httpx.AsyncClient(base_url=server.http_url, timeout=10, trust_env=False) as http:
            yield Asked(server, bus, http)
        nursery.cancel_scope.cancel()


async def test_a_lone_sentinel_of_one_is_alive_healthy_and_ready(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with sentinel(valkey.url, cluster, tmp_path) as asked:
        found = await asked.until("/readiness", 200, "ok")
        assert found == {"ok": True, "sentinel": "s1", "epoch": 0, "reason": "ok"}
        assert await asked.page("/liveness") == (200, found)
        assert await asked.page("/health") == (200, found)
        assert (await asked.http.head("/readiness")).status_code == 200
        code, index = await asked.page("/")
        assert code == 200
        assert index["pages"] == ["/", "/liveness", "/health", "/readiness", "/metrics", "/explain"]


async def test_it_says_where_its_pages_are(valkey: EmbeddedRedis, cluster: str, tmp_path: Path) -> None:
    async with sentinel(valkey.url, cluster, tmp_path) as asked:

        async def said() -> bool:
            return [info.http_url for info in await asked.bus.sentinels()] == [asked.server.http_url]

        await eventually(said, "Redis knows the address")
        assert asked.server.http_url.startswith("http://127.0.0.1:")


async def test_without_a_port_it_serves_no_pages(valkey: EmbeddedRedis, cluster: str, tmp_path: Path) -> None:
    async with sentinel(valkey.url, cluster, tmp_path, http_port=None) as asked:
        assert asked.server.http_url == "" == asked.server.info().http_url


async def test_alone_of_three_it_is_healthy_and_not_ready(valkey: EmbeddedRedis, cluster: str, tmp_path: Path) -> None:
    async with sentinel(valkey.url, cluster, tmp_path, ("s1", "s2", "s3")) as asked:
        await asked.until("/readiness", 503, "it hears 1 of 3 sentinels, itself included; a majority is 2")
        assert (await asked.page("/health"))[0] == 200


async def test_a_vote_file_that_cannot_be_written_makes_it_unhealthy_until_it_can(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with sentinel(valkey.url, cluster, tmp_path) as asked:
        obstacle = tmp_path / "vote-s1.new"
        obstacle.mkdir()
        await asked.bus.claim_first("n1", "i1", 3.0)  # a record that it wants to keep on disk
        found = await asked.until("/health", 503, "the vote file cannot be written: ")
        assert not found["ok"]
        assert (await asked.page("/readiness"))[0] == 503
        assert (await asked.page("/liveness"))[0] == 200
        obstacle.rmdir()
        # The next election writes again: n1 does not exist.
        await asked.until("/health", 200, "ok")


async def test_a_stalled_loop_makes_it_unhealthy_and_it_recovers(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with sentinel(valkey.url, cluster, tmp_path) as asked:
        await asked.until("/readiness", 200, "ok")
        time.sleep(2 * TIMING.tilt_stall_s)  # noqa: ASYNC251  the stall is what is tested
        await asked.until("/health", 503, "in tilt")
        await asked.until("/health", 200, "ok")


async def test_redis_away_means_not_ready_and_is_notified_of_at_both_ends(
    own_valkey: EmbeddedRedis, tmp_path: Path, receiver: Receiver
) -> None:
    wanted = ("+bus-down", "-bus-down")
    async with sentinel(own_valkey.url, "c", tmp_path, notify_url=receiver.url, notify_events=wanted) as asked:
        await asked.until("/readiness", 200, "ok")
        own_valkey.kill()
        await asked.until("/readiness", 503, "Redis does not answer")
        assert (await asked.page("/health"))[0] == 200

        async def woken(name: str) -> bool:
            return name in receiver.names()

        await eventually(lambda: woken("+bus-down"), "somebody is woken", 10.0)
        down = receiver.posts[0]
        assert (down["source"], down["sequence"]) == ("s1", 0) and down["at_ms"] > 0
        assert down["cause"].endswith(" s without an answer")
        own_valkey.restart()
        await eventually(lambda: woken("-bus-down"), "and may sleep again", 10.0)
        await asked.until("/readiness", 200, "ok")

        async def stored() -> bool:
            return {"+bus-down", "-bus-down"} <= {event.name for event in await asked.bus.events()}

        await eventually(stored, "the stream has both")
        await trio.sleep(2.5)  # longer than the hooks look away from the stream
    assert receiver.names() == ["+bus-down", "-bus-down"], "once each"


async def test_an_explanation_is_json_that_says_why_nothing_happens(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with sentinel(valkey.url, cluster, tmp_path) as asked:
        await asked.until("/readiness", 200, "ok")
        code, found = await asked.page("/explain")
    assert code == 200
    assert found["sentinel"] == "s1" and found["why_no_failover"]


async def test_a_sentinel_that_nobody_scrapes_does_without_the_library_and_without_hooks_without_a_client() -> None:
    code = "import sys, sentinel.server; print([n for n in ('prometheus_client', 'httpx') if n in sys.modules])"
    found = await trio.run_process([sys.executable, "-c", code], capture_stdout=True)
    assert found.stdout.strip() == b"[]"


def test_each_page_has_a_line_in_the_module_that_makes_them() -> None:
    from sentinel import pages

    said: Callable[[str], bool] = lambda path: f"\n{path} " in (pages.__doc__ or "")  # noqa: E731
    assert all(said(path) for path in ("/liveness", "/health", "/readiness", "/metrics", "/explain"))


# --- the command ----------------------------------------------------------------------------------------------


async def command(
    valkey: EmbeddedRedis, tmp_path: Path, *options: str, **environment: str
) -> tuple[int, str, dict[str, Any]]:
    """`ha-stress sentinel` until it serves or fails: exit status (0: it served), standard error, its ready line if it is
    to be said."""
    words = ["-m", "ha_stress", "sentinel", "--members", "s1", "--id", "s1", "--redis", valkey.url]
    process = await trio.lowlevel.open_process(
        [sys.executable, *words, "--data-dir", str(tmp_path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        with trio.fail_after(30):
            ready = await process.stdout.receive_some()
            if ready:
                return 0, "", json.loads(ready)
            said = b""
            async for chunk in process.stderr:
                said += chunk
            return await process.wait(), said.decode(), {}
    finally:
        process.kill()
        await process.wait()


async def test_the_command_says_where_its_pages_are_or_serves_none(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    _, _, ready = await command(valkey, tmp_path, "--json")
    assert ready["http_url"].startswith("http://127.0.0.1:")
    _, _, ready = await command(valkey, tmp_path, "--json", "--http-port", "-1")
    assert ready["http_url"] == ""


@pytest.mark.parametrize(
    ("options", "header", "sentence"),
    [
        (["--notify-command", "true", "--notify-events", "+tilt, +odwn"], "", "notify_events names '+odwn'"),
        (["--notify-url", "ftp://x/"], "", "notify_url: write for example https://host/path"),
        (["--notify-url", "http://x/"], "Authorization=Bearer a b\nX Y=z", "notify_headers.X Y: not an HTTP header"),
    ],
)
async def test_the_command_refuses_hooks_that_could_not_work_with_one_sentence(
    valkey: EmbeddedRedis, tmp_path: Path, options: list[str], header: str, sentence: str
) -> None:
    status, said, _ = await command(valkey, tmp_path, *options, HA_STRESS_NOTIFY_HEADER=header)
    assert status == 2
    assert sentence in said and said.count("\n") == 1
    assert "Bearer" not in said
