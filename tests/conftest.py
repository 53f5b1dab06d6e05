"""Settings and fixtures of several test files. Hypothesis derives its examples from the test: each run is the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ha_stress.bus.embedded import EmbeddedRedis
from tests.api_support import Api, open_api

settings.register_profile(
    "house", derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server of the test file's own."""
    with EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The HTTP API over that server, in a cluster of the test's own."""
    async with open_api(redis_url, tmp_path, tmp_path.name.replace("_", "-")[:60]) as opened:
        yield opened
