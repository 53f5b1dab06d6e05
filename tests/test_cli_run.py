"""`ha-stress run`, as a process: its exit codes, its plans, what it leaves behind. More of it is in test_cli_local."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ha_stress.cli.client import Client, local_urls
from ha_stress.cli.local import LocalCluster, LocalSpec
from ha_stress.cli.main import main

pytestmark = pytest.mark.cluster

COMMAND = [sys.executable, "-m", "ha_stress"]
#: A check that takes some 20 ms for a body of so many letters o: more than an engine has.
BODY_BYTES = 20
SLOW_PATTERN = "body matches ^(o+)+y$"


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    words = [sys.executable, "-m", "ha_stress.target", "--body-bytes", str(BODY_BYTES)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        yield str(json.loads(server.stdout.readline())["url"])
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster of one node that runs already; its directory."""
    directory = tmp_path_factory.mktemp("cluster")
    with LocalCluster(LocalSpec(data_dir=directory, nodes=1, sentinels=0)):
        yield directory


class Run:
    """One `ha-stress run` in a running cluster."""

    every: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, cluster: Path, *words: str) -> None:
        argv = [*COMMAND, "run", *words, "--existing", "--data-dir", str(cluster), "--json"]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.every.append(self.process)

    def ended(self, timeout_s: float = 60.0) -> tuple[int, dict[str, Any]]:
        out, err = self.process.communicate(timeout=timeout_s)
        assert "Traceback" not in err
        return self.process.returncode, json.loads(out)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No run goes on beside the tests that follow, whatever a test finds."""
    yield
    while Run.every:
        process = Run.every.pop()
        process.kill()
        process.wait(60)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def test_thresholds_and_the_allow_list_have_exit_codes_of_their_own(target: str, cluster: Path, tmp_path: Path) -> None:
    load = (target, "--rate", "50", "--duration", "2s")
    passed = Run(
        cluster, *load, "--check", "status==200", "--threshold", "error_rate<1%", "--threshold", "max<60s over 1s"
    )
    broken = Run(cluster, *load, "--check", "size<5", "--threshold", "wrong<1", "--out", str(tmp_path / "out"))
    aborted = Run(cluster, target, "--rate", "50", "--duration", "60s", "--threshold", "completed<20 abort after 1s")
    refused = Run(cluster, "http://8.8.8.8/", "--rate", "1", "--duration", "1s")
    unread = Run(cluster, *load, "--threshold", "max<1us", "--html", str(tmp_path / "unread.html"))
    assert unread.process.stdout is not None
    unread.process.stdout.close()

    code, document = passed.ended()
    assert (code, document["verdict"]["passed"]) == (0, True)
    assert [one["ok"] for one in document["verdict"]["thresholds"]] == [True, True]
    assert document["verdict"]["thresholds"][1]["window"]["from_s"] >= 0

    code, document = broken.ended()
    assert (code, document["verdict"]["passed"], document["check_failures"]) == (7, False, {"size<5": 100})
    assert document["books"]["wrong"] == document["books"]["completed"] == 100
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "report.json", "report.csv", "report.hgrm", "junit.xml"} <= written

    code, document = aborted.ended()
    assert code == 7
    assert document["verdict"]["aborted"]["threshold"] == "completed<20 abort after 1s"
    assert document["verdict"]["aborted"]["after_s"] >= 1.0
    assert document["books"]["balanced"] and document["books"]["intended"] < 3000

    code, document = refused.ended()
    assert code == 9 and "allow" in document["error"]

    assert unread.process.wait(60) == 7, "a reader that goes away takes neither the verdict along"
    assert (tmp_path / "unread.html").exists(), "nor the report"


def test_a_saturated_generator_says_so_with_an_exit_code_of_its_own(target: str, cluster: Path) -> None:
    code, document = Run(cluster, target, "--rate", "150", "--duration", "1.2s", "--check", SLOW_PATTERN).ended()
    assert (code, document["verdict"]["valid"], document["verdict"]["saturated"]) == (8, False, True)
    doubts = {one["name"] for one in document["verdict"]["validity"] if not one["ok"]}
    assert doubts & {"cpu", "late"}


def test_a_node_of_its_own_that_ends_ends_the_run_with_what_it_said_last(tmp_path: Path) -> None:
    (tmp_path / "exit.py").write_text("import os\nasync def scenario(user):\n    os._exit(3)\n")
    words = ["run", "http://127.0.0.1:9/", "--rate", "10", "--duration", "60s", "--scenario", str(tmp_path / "exit.py")]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: node n1, which was started here, has ended; its log ends with: ")
    assert "status 3" in last


def test_ctrl_c_stops_every_task_of_a_plan_and_still_reports(target: str, cluster: Path, tmp_path: Path) -> None:
    import httpx

    plan = tmp_path / "plan.toml"
    task = f"""[[tasks]]\nurl = "{target}/%s"\nrate = 20\nduration = "60s"\n"""
    plan.write_text(task % "a" + task % "b")
    before = httpx.get(f"{target}/__count", trust_env=False).json()["counted"]
    with Client(local_urls(cluster)) as client:
        known = len(client.tasks())
        run = Run(cluster, str(plan))
        until(lambda: len(client.tasks()) == known + 2, "both tasks are created")
    until(lambda: bool(httpx.get(f"{target}/__count", trust_env=False).json()["counted"] > before), "the load runs")
    run.process.send_signal(signal.SIGINT)
    code, document = run.ended()
    assert code == 130 and document["interrupted"]
    assert [one["status"] for one in document["tasks"]] == ["ended", "ended"]
    assert all(one["books"]["balanced"] for one in document["tasks"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("plan.toml",), "plan.toml: tasks[0].ulr: unknown key, did you mean url?"),
        (("none.toml",), "none.toml: No such file"),
        (("plan.toml", "--rate", "5"), "--rate goes into the plan"),
        (("http://127.0.0.1:1/", "--check", "status is 200"), "write for example 'status == 200'"),
        (("http://127.0.0.1:1/", "--threshold", "p99"), "write for example 'p99 < 200ms over 10s abort'"),
        (("http://127.0.0.1:1/", "--existing", "--nodes", "3"), "--nodes is for a cluster that is started here"),
        (("http://127.0.0.1:1/", "--out", "plan.toml/x"), "reports cannot be written"),
    ],
)
def test_bad_input_is_refused_before_anything_is_started(
    words: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text('[[tasks]]\nulr = "http://127.0.0.1/"\n')
    with pytest.raises(SystemExit) as ended:
        main(["run", *words])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_dry_run_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "http://127.0.0.1:1/", "--rate", "300", "--duration", "10s", "--nodes", "4", "--dry-run"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "3,000 arrivals" in out and "33.3%" in out and "Nothing was sent." in out
