"""The chaos scripts against a live cluster of real processes, as an operator runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ha_stress.cli.local import LocalCluster, LocalSpec

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    data_dir = tmp_path_factory.mktemp("chaos")
    with LocalCluster(LocalSpec(data_dir=data_dir, timing={"down_after_s": "1"})) as local:
        yield local


def run(data_dir: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """One script; its exit code, its JSON document, its standard error."""
    command = [sys.executable, "-m", f"chaos.{words[0]}", *words[1:], "--data-dir", str(data_dir), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def restart_the_dead(cluster: LocalCluster) -> None:
    for child in cluster.children():
        if not child.alive:
            cluster.restart(child.id)


@pytest.mark.parametrize(
    "words",
    [
        ("kill_master",),
        ("kill_leader",),  # of the failover before
        ("kill_worker",),
        ("pause", "master", "--seconds", "3"),
        ("pause", "worker", "--seconds", "0.5"),
        ("pause", "s2", "--seconds", "0.5"),
        ("restart_redis", "--down", "0.3"),
    ],
    ids=" ".join,
)
def test_the_cluster_recovers_and_every_invariant_holds(cluster: LocalCluster, words: tuple[str, ...]) -> None:
    restart_the_dead(cluster)
    code, report, errors = run(cluster.dir, *words)
    assert (code, report.get("ok")) == (0, True), f"{report}\n{errors}"
    assert {check["name"] for check in report["checks"]} >= {"one-acting-master", "one-winner-per-epoch"}


def test_bad_input_gets_one_sentence_and_exit_code_2(cluster: LocalCluster, tmp_path: Path) -> None:
    restart_the_dead(cluster)
    for data_dir, words in (
        (tmp_path, ("kill_master",)),
        (cluster.dir, ("pause", "nobody")),
        (cluster.dir, ("kill_worker", "s1")),
        (cluster.dir, ("kill_master", "--redis", "redis://127.0.0.1:1/0")),
    ):
        code, _, errors = run(data_dir, *words)
        assert code == 2, (words, errors)
        assert errors.startswith("error: ") and len(errors.strip().splitlines()) == 1, errors


def test_a_broken_invariant_is_found_and_gives_exit_code_1(cluster: LocalCluster) -> None:
    """Proof that the checks can fail: an outsider forges a second winner for an epoch that has one."""
    import redis

    from chaos.outside import Outside

    restart_the_dead(cluster)
    described = json.loads((cluster.dir / "cluster.json").read_text("utf-8"))
    outside = Outside(described["redis_url"], described["cluster"])
    won = next(event for event in outside.events() if event["name"] == "+switch-master")
    client = redis.Redis.from_url(described["redis_url"])
    forged: dict[Any, Any] = {**won, "subject": "intruder", "sequence": str(client.incr(outside.keys.event_sequence))}
    entry: Any = client.xadd(outside.keys.events, forged)
    try:
        code, report, _ = run(cluster.dir, "pause", "s1", "--seconds", "0.1")
        broken = [check["name"] for check in report["checks"] if not check["holds"]]
        assert (code, broken) == (1, ["one-winner-per-epoch"])
    finally:
        client.xdel(outside.keys.events, entry)


def test_the_scripts_are_those_that_the_package_names() -> None:
    import chaos

    scripts = {path.stem for path in Path(chaos.__file__).parent.glob("*.py")} - {"__init__", "__main__"}
    lines = (chaos.__doc__ or "").splitlines()
    named = {line.split()[2].removeprefix("chaos.") for line in lines if "python -m chaos." in line}
    assert named == scripts - {"outside", "invariants", "script"}
