"""The client asks the next node when one does not answer."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ha_stress.base.errors import ConfigError, Conflict, NotFound, UserError
from ha_stress.cli.client import DEFAULT_URL, Client, ClusterUnreachable, find_urls


@contextmanager
def node(answers: dict[str, tuple[int, Any]]) -> Iterator[tuple[str, list[str]]]:
    """A small real server; yields its URL and the list of requests that it got."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("content-length") or 0))
            status, document = answers.get(self.path, (404, {"error": "not here"}))
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def dead() -> str:
    """The URL of a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


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
    with node(OK) as (url, _), Client([deaf, url], timeout_s=0.2) as client:
        assert client.status() == STATUS


def test_a_node_that_cannot_reach_its_servers_is_passed_over() -> None:
    with node({"/api/v1/status": (503, {"error": "Redis is away"})}) as (bad, _), node(OK) as (good, _):
        with Client([bad, good]) as client:
            assert client.status() == STATUS
        with Client([bad]) as client, pytest.raises(ClusterUnreachable, match="Redis is away"):
            client.status()


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
