"""The embedded server: a real process with its data on disk."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import redis

from ha_stress.base.errors import BusUnavailable
from ha_stress.bus.embedded import EmbeddedRedis
from tests.redis_server import plain_client


def test_it_answers_when_start_returns_and_is_its_own_session(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path / "new" / "folder") as server:
        assert plain_client(server.url).ping()
        assert os.getsid(server.pid) == server.pid
        alive = [server.alive]
    assert [*alive, server.alive] == [True, False]
    with pytest.raises(redis.ConnectionError):
        plain_client(server.url).ping()


def test_a_stop_keeps_the_data_and_restart_serves_it_on_the_same_port(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        port, first = server.port, server.pid
        plain_client(server.url).set("k", "v")
        server.restart()
        assert (server.port, server.pid != first) == (port, True)
        assert plain_client(server.url).get("k") == b"v"


def test_the_append_only_file_is_written_every_second(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        settings = plain_client(server.url).config_get("append*")
        assert settings["appendonly"] == "yes"
        assert settings["appendfsync"] == "everysec"
        assert plain_client(server.url).config_get("save") == {"save": ""}


def test_after_kill_9_the_data_that_was_appended_is_there(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path) as server:
        plain_client(server.url).set("k", "v")
        server.kill()
        assert not server.alive
        server.restart()
        assert plain_client(server.url).get("k") == b"v"


def test_a_suspended_server_can_be_stopped(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path)
    os.kill(server.pid, signal.SIGSTOP)
    server.stop()
    assert not server.alive
    server.stop()
    server.kill()


def test_a_port_that_is_taken_is_told_with_the_end_of_the_log(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BusUnavailable, match="Address already in use"):
            EmbeddedRedis.start(tmp_path, port=port)


def test_a_stranger_that_answers_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path / "a") as stranger, pytest.raises(BusUnavailable):
        EmbeddedRedis.start(tmp_path / "b", port=stranger.port)


def test_two_servers_choose_different_ports(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path / "a") as a, EmbeddedRedis.start(tmp_path / "b") as b:
        assert a.port != b.port
