"""The local cluster: real processes, that die with whoever started them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from ha_stress.base.errors import Conflict, NotFound
from ha_stress.cli.local import LocalCluster, LocalSpec

pytestmark = pytest.mark.cluster

COMMAND = [sys.executable, "-m", "ha_stress"]


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def started(words: list[str], stderr: int | IO[bytes] = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A command, of which nothing is left behind whatever a test finds."""
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=stderr)
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """A counting server; the URL."""
    server = subprocess.Popen([sys.executable, "-m", "ha_stress.target", "--json"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        yield str(json.loads(server.stdout.readline())["url"])
    finally:
        server.terminate()
        server.wait(60)


def test_a_killed_master_is_replaced_and_comes_back_as_a_worker(tmp_path: Path) -> None:
    spec = LocalSpec(data_dir=tmp_path / "data", timing={"down_after_s": "1"})
    with LocalCluster(spec) as cluster, cluster.client() as client:
        before = client.status()
        old = before["master"]["node"]

        def master_is_another() -> bool:
            master = client.status()["master"]
            return bool(master["node"] != old and master["acting"])

        def came_back() -> bool:
            return any(node["id"] == old and node["role"] == "worker" for node in client.status()["nodes"])

        with pytest.raises(Conflict):
            cluster.restart(old)
        with pytest.raises(NotFound):
            cluster.kill("n9")
        cluster.kill(old)
        until(master_is_another, "a successor acts")
        cluster.restart(old)
        until(came_back, "the old master is a worker")
        assert client.failovers()[0]["old"]["node"] == old
        with pytest.raises(Conflict, match="already"):
            LocalCluster(spec).start()
        pids = [process["pid"] for process in json.loads((tmp_path / "data" / "cluster.json").read_text())["processes"]]
    assert all(gone(pid) for pid in pids)
    assert not (tmp_path / "data" / "cluster.json").exists()


@pytest.mark.parametrize("kind", ["node", "sentinel"])
def test_a_server_that_waits_for_redis_stops_at_once_when_it_is_told_to(kind: str, tmp_path: Path) -> None:
    words = [kind, "--id", "x1", "--redis", "redis://127.0.0.1:1", "--data-dir", str(tmp_path), "--log-json"]
    words += ["--members", "x1"] if kind == "sentinel" else ["--api-port", "0"]
    with subprocess.Popen([*COMMAND, *words], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        assert any("cannot be reached" in line for line in server.stderr)  # it has tried
        server.terminate()
        assert server.wait(60) == 0, "a stop that is overdue ends with 1"


def test_an_empty_secret_of_a_start_that_was_cut_off_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    with LocalCluster(LocalSpec(data_dir=tmp_path, nodes=1, sentinels=0)):
        assert (tmp_path / "secret").read_text()


def test_without_sentinels_the_only_node_is_master_again_after_a_kill_and_after_a_stop(tmp_path: Path) -> None:
    """Regression: the record named the process before, and nobody was there to elect another."""
    spec = LocalSpec(data_dir=tmp_path / "data", nodes=1, sentinels=0, timing={"lease_ttl_s": "1.5"})
    with LocalCluster(spec) as cluster:
        cluster.kill("n1")
        cluster.restart("n1")
        with cluster.client() as client:
            until(lambda: bool(client.status()["master"]["acting"]), "it acts again")
            assert client.status()["epoch"] == 2
            assert [failover["epoch"] for failover in client.failovers()] == [2]
    with LocalCluster(spec) as cluster, cluster.client() as client:  # returns only with an acting master
        assert client.status()["epoch"] == 3


def test_a_killed_parent_takes_everything_with_it(tmp_path: Path) -> None:
    words = ["up", "--json", "--nodes", "1", "--sentinels", "1", "--data-dir", str(tmp_path / "data")]
    up = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert up.stdout is not None
        ready = json.loads(up.stdout.readline())
        assert ready["status"]["master"]["acting"]
        described = json.loads((tmp_path / "data" / "cluster.json").read_text())
    finally:
        up.kill()
        up.wait(60)
    pids = [process["pid"] for process in described["processes"]]
    assert len(pids) == 3
    until(lambda: all(gone(pid) for pid in pids), "no process is left")


def test_ctrl_c_stops_a_cluster_in_good_order(tmp_path: Path) -> None:
    words = ["up", "--json", "--nodes", "1", "--sentinels", "0", "--data-dir", str(tmp_path / "data")]
    with started(words) as up:
        assert up.stdout is not None
        up.stdout.readline()
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
    assert "error" not in (tmp_path / "data" / "n1.log").read_text()


def test_a_cluster_of_which_nobody_is_left_has_not_ended_well(tmp_path: Path) -> None:
    words = ["up", "--json", "--nodes", "1", "--sentinels", "0", "--data-dir", str(tmp_path / "data")]
    aside = tmp_path / "stderr"
    with aside.open("wb") as file, started(words, stderr=file) as up:
        assert up.stdout is not None
        up.stdout.readline()
        described = json.loads((tmp_path / "data" / "cluster.json").read_text())["processes"]
        pids = {process["id"]: process["pid"] for process in described}
        os.kill(pids["redis"], signal.SIGKILL)
        until(lambda: "redis ended: without it no node acts as master;" in aside.read_text(), "it is told of Redis")
        os.kill(pids["n1"], signal.SIGKILL)
        out, _ = up.communicate(timeout=60)
    assert up.returncode == 3
    *_, told, error = aside.read_text().splitlines()
    assert told.startswith("node n1 ended (by SIGKILL);")
    assert error == f"error: {json.loads(out)['error']}"
    assert error.startswith("error: every node and sentinel has ended; their logs are in ")


def run(*words: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([*COMMAND, "run", *words, "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_run_counts_every_request(target: str) -> None:
    code, document = run(target, "--rate", "100", "--duration", "1s")
    assert code == 0 and document["ok"]
    assert document["books"]["completed"] == document["books"]["intended"] == 100
    assert document["statuses"] == {"200": 100}
    assert document["latency"]["response"]["count"] == 100


def test_a_run_that_fails_says_so_with_its_exit_code() -> None:
    code, document = run("http://127.0.0.1:1/", "--rate", "20", "--duration", "1s")
    assert code == 4 and not document["ok"]
    assert document["books"]["failed"] == document["books"]["intended"] == 20


def test_ctrl_c_stops_a_run_and_still_reports(target: str) -> None:
    words = ["run", target, "--rate", "50", "--duration", "60s", "--json"]
    counted = f"{target}/__count"
    import httpx

    with started(words) as process:
        until(lambda: httpx.get(counted, trust_env=False).json()["counted"] > 0, "the load runs")
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    document = json.loads(out)
    assert process.returncode == 130 and document["interrupted"]
    assert document["books"]["balanced"] and document["books"]["started"] > 0
    assert document["books"]["started"] == httpx.get(counted, trust_env=False).json()["counted"]
