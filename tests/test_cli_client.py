"""The client asks the next node when one does not answer."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.base.config import NodeConfig
from ha_stress.base.errors import ConfigError, Conflict, NotFound, Unavailable, UserError
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cli.client import DEFAULT_URL, Client, ClusterUnreachable, find_urls
from ha_stress.node.server import open_node
from tests import idle_driver
from tests.engine_support import unused_port
from tests.http_server import http_server
from tests.redis_server import cluster, valkey

__all__ = ["cluster", "valkey"]  # fixtures

#: How everything begins that gzip has made.
GZIP = gzip.compress(b"")[:2]


@contextmanager
def node(answers: dict[str, tuple[int, Any]]) -> Iterator[tuple[str, list[str]]]:
    """A small real server; yields its URL and the list of requests that it got. Bytes are sent as they are."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, document = answers.get(self.path, (404, {"error": "not here"}))
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            if data[:2] == GZIP:
                self.send_header("content-encoding", "gzip")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http_server(Handler) as url:
        yield url, asked


@pytest.fixture
def dead() -> str:
    """The URL of a port on which nothing listens."""
    return f"http://127.0.0.1:{unused_port()}"


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a port that accepts and never answers, as a suspended process does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


STATUS: dict[str, Any] = {"nodes": []}
OK: dict[str, tuple[int, Any]] = {"/api/v1/tasks": (201, {"id": "t-1"}), "/api/v1/status": (200, STATUS)}


def test_a_dead_node_is_passed_over_and_the_living_one_is_asked_first_from_then_on(dead: str) -> None:
    with node(OK) as (url, asked), Client([dead, url]) as client:
        assert client.create_task({"id": "t-1"}) == {"id": "t-1"}
        assert client.urls == [url, dead]
        assert asked == ["POST /api/v1/tasks"]


def test_a_node_that_does_not_answer_in_time_is_passed_over(deaf: str) -> None:
    with node(OK) as (url, _), Client([deaf, url], timeout_s=1.5) as client:
        assert client.status() == STATUS


def test_a_node_that_cannot_reach_its_servers_is_passed_over() -> None:
    with node({"/api/v1/status": (503, {"error": "Redis is away"})}) as (bad, _), node(OK) as (good, _):
        with Client([bad, good]) as client:
            assert client.status() == STATUS
        with Client([bad]) as client, pytest.raises(ClusterUnreachable, match="Redis is away"):
            client.status()


def test_what_cannot_be_read_or_is_no_url_at_all_is_passed_over() -> None:
    with node({"/api/v1/status": (200, GZIP + b"broken")}) as (strange, _), node(OK) as (good, _):
        with Client([strange, "http://::1:42807", good]) as client:
            assert client.status() == STATUS
        with Client([strange, "http://::1:42807"]) as client, pytest.raises(ClusterUnreachable) as caught:
            client.status()
    assert strange in str(caught.value) and "http://::1:42807" in str(caught.value)


async def test_a_node_on_an_ipv6_address_names_a_url_that_can_be_asked(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    config = {"id": "n6", "host": "::1", "cluster": cluster, "redis_url": valkey.url, "sentinels": 0}
    stored = {"database_url": f"sqlite:///{tmp_path}/tasks.db", "driver": idle_driver.register()}
    async with open_node(NodeConfig.model_validate(config | stored)) as server:
        url = server.info().api_url
        with Client([url], timeout_s=30.0) as client:
            assert (await trio.to_thread.run_sync(client.status))["nodes"][0]["api_url"] == url
            assert client.urls == [url]


def test_events_are_followed_at_a_node_that_has_room_and_refused_once_none_has() -> None:
    stream = "/api/v1/events/stream?after=0"
    full = OK | {stream: (503, {"error": "too many follow the events of this node"})}
    with node(full) as (first, _), node(full) as (second, _):
        roomy = OK | {stream: (200, b'data: {"sequence": 1}\n\n')}
        with node(roomy) as (third, _), Client([first, second, third]) as client:
            assert next(client.follow(0)) == {"sequence": 1}
        with Client([first, second]) as client, pytest.raises(Unavailable, match="too many follow"):
            next(client.follow(0))


def test_nodes_that_the_status_names_are_asked_later(dead: str) -> None:
    with node(OK) as (second, _):
        named = {"nodes": [{"api_url": second}, {"api_url": ""}]}
        with node({"/api/v1/status": (200, named)}) as (first, _), Client([first]) as client:
            client.status()
        assert client.urls == [first, second]
        with Client([dead]) as client:
            client.learn([second])
            assert client.status() == STATUS


def test_when_nobody_answers_the_sentence_says_what_to_do(dead: str) -> None:
    with Client([dead]) as client, pytest.raises(ClusterUnreachable, match="ha-stress up") as caught:
        client.status()
    assert dead in str(caught.value) and "nothing listens there" in str(caught.value)


@pytest.mark.parametrize(("status", "kind"), [(400, UserError), (404, NotFound), (409, Conflict)])
def test_the_callers_mistakes_are_not_tried_elsewhere(status: int, kind: type[UserError]) -> None:
    refusal = {"/api/v1/tasks": (status, {"error": "one sentence"})}
    with node(refusal) as (first, _), node(OK) as (second, asked), Client([first, second]) as client:
        with pytest.raises(kind, match="one sentence"):
            client.create_task({"id": "t-1"})
        assert asked == []


def test_where_to_ask_comes_from_options_then_environment_then_the_local_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HA_STRESS_API", raising=False)
    assert find_urls([], tmp_path) == [DEFAULT_URL]
    described = {"processes": [{"kind": "node", "api_url": "http://127.0.0.1:7001"}, {"kind": "sentinel"}]}
    (tmp_path / "cluster.json").write_text(json.dumps(described))
    assert find_urls([], tmp_path) == ["http://127.0.0.1:7001"]
    monkeypatch.setenv("HA_STRESS_API", "http://a:1, b:2")
    assert find_urls([], tmp_path) == ["http://a:1", "http://b:2"]
    assert find_urls(["http://c:3/"], tmp_path) == ["http://c:3"]
    with pytest.raises(ConfigError, match="--api"):
        find_urls(["ftp://x"], tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"processes": 5}', '{"processes": [1]}', '{"processes": [{"api_url": 5}]}', "\udcff"],
)
def test_a_description_that_cannot_be_read_is_named_and_not_passed_over(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HA_STRESS_API", raising=False)
    (tmp_path / "cluster.json").write_text(text, errors="surrogateescape")
    with pytest.raises(ConfigError, match=r"cluster\.json"):
        find_urls([], tmp_path)


@pytest.mark.parametrize(
    ("status", "document"), [(200, {}), (200, []), (200, None), (200, "nodes"), (301, {}), (404, "<html>"), (500, {})]
)
def test_a_server_that_is_no_node_is_passed_over_and_named(status: int, document: Any) -> None:
    with node({"/api/v1/status": (status, document)}) as (strange, _), node(OK) as (good, _):
        with Client([strange, good]) as client:
            assert client.status() == STATUS
        with Client([strange]) as client, pytest.raises(ClusterUnreachable, match="not as the API of a node"):
            client.status()
