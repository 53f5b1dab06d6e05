"""Real servers for tests: one per session for those that leave it alone, an own one for those that hurt it.

Import the fixtures that a test module uses. Each test gets a cluster name of its own, so they do not meet.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import trio

from ha_stress.base.errors import BusUnavailable
from ha_stress.bus.client import Hint, Resubscribed
from ha_stress.bus.embedded import EmbeddedRedis

#: Redis as Debian packages it, where it is installed: the scripts must mean the same there.
DEBIAN_REDIS = shutil.which("redis-server")
#: Between its choice and its use a port may be taken by somebody else.
PORTS_TRIED_MAX = 5


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def debian_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if DEBIAN_REDIS is None:
        pytest.skip("redis-server is not installed")
    with redis_process(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that the test may stop, suspend and kill."""
    with EmbeddedRedis.start(tmp_path / "valkey") as server:
        yield server
        server.kill()  # also when the test left it suspended


@pytest.fixture(params=["valkey", "redis"])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """Both servers in turn."""
    if request.param == "redis":
        url: str = request.getfixturevalue("debian_redis")
        return url
    server: EmbeddedRedis = request.getfixturevalue("valkey")
    return server.url


@pytest.fixture
def cluster() -> str:
    return f"t{uuid4().hex[:12]}"


@contextmanager
def redis_process(folder: Path, *settings: str) -> Iterator[str]:
    """Debian's Redis with more settings, in which PORT stands for the port that it listens on.

    Yields the URL, without the credentials that `settings` may ask for.
    """
    process, port = _started(folder, settings)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _started(folder: Path, settings: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
    for _ in range(PORTS_TRIED_MAX):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = _start_on(port, folder, settings)
        if process.poll() is None:
            return process, port
    raise AssertionError(f"redis-server ended {PORTS_TRIED_MAX} times in a row")


def _start_on(port: int, folder: Path, settings: Sequence[str]) -> subprocess.Popen[bytes]:
    assert DEBIAN_REDIS is not None
    command = [DEBIAN_REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *settings]
    command = [part.replace("PORT", str(port)) for part in command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    until(lambda: _listens(port) or process.poll() is not None, "redis-server listens, or has ended")
    return process


def plain_client(url: str) -> Any:
    """An outsider with a plain client."""
    return redis.Redis.from_url(url)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.01)


async def expect(
    hints: trio.MemoryReceiveChannel[Hint | Resubscribed], wanted: Hint | Resubscribed, timeout_s: float = 15.0
) -> None:
    """Receive until `wanted` comes."""
    with trio.fail_after(timeout_s):
        async for message in hints:
            if message == wanted:
                return
    raise AssertionError(f"the subscription ended before {wanted}")


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float = 15.0) -> None:
    """Ask until it holds. A server that does not answer counts as no."""
    with trio.move_on_after(timeout_s):
        while True:
            with suppress(BusUnavailable):
                if await condition():
                    return
            await trio.sleep(0.01)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
