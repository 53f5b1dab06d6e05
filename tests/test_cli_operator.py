"""The operator's commands: how answers look, and what they do to a real cluster."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from ha_stress.cli import main as cli
from ha_stress.cli import processes
from ha_stress.cli.cluster_views import membership_view, status_view
from ha_stress.cli.failover_views import failover_view
from ha_stress.cli.gaps import Gaps
from ha_stress.cli.local import LocalCluster, LocalSpec
from ha_stress.cli.operator_views import doctor_view, explain_view
from ha_stress.cli.processes import Child
from tests.engine_support import target_process
from tests.redis_server import plain_client
from tests.test_cli_views import STATUS

CONTROLS: dict[str, Any] = {
    "revision": 1,
    "paused": False,
    "pause_why": "",
    "switchover": None,
    "membership": {"version": 0, "members": [], "floor": 0},
    "tags": {},
}
SENTINEL: dict[str, Any] = {
    "id": "s1",
    "epoch": 1,
    "voted_epoch": 1,
    "members": ["s1", "s2", "s3"],
    "members_version": 0,
    "pid": 7,
    "mesh_host": "127.0.0.1",
    "mesh_port": 9,
    "tilt": False,
    "leading": False,
    "paused": False,
    "sent_at": 100.0,
}
RECORD: dict[str, Any] = {
    "epoch": 5,
    "kind": "failover",
    "leader": "s2",
    "old": {"node": "n1"},
    "winner": {"node": "n3"},
    "cause": "crash",
    "outcome": "accepted",
    "at": 1.0,
    "phases": {
        "last_pong_ms": -400.0,
        "sdown_ms": 0.0,
        "odown_ms": 2.0,
        "elected_ms": 40.0,
        "awarded_ms": 50.0,
        "accepted_ms": 80.0,
    },
    "votes": {"s1": "granted", "s2": "granted", "s3": "in tilt"},
    "candidates": [
        {"node": "n3", "rank": 1, "dropped": "", "score": {"priority": 100, "cpu_bucket": 1, "sequence": 3}},
        {"node": "n2", "rank": None, "dropped": "draining", "score": {}},
    ],
}


def shown(what: RenderableType, width: int = 120) -> str:
    screen = Console(file=io.StringIO(), width=width, color_system=None)
    screen.print(what)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


# How it looks.


def test_a_pause_is_the_first_thing_that_the_status_says() -> None:
    paused = STATUS | {"controls": CONTROLS | {"paused": True, "pause_why": "night shift"}}
    assert "FAILOVERS ARE PAUSED (night shift)" in shown(status_view(paused)).splitlines()[0]
    assert "PAUSED" not in shown(status_view(STATUS | {"controls": CONTROLS}))


def test_the_status_shows_tags_and_an_open_wish() -> None:
    controls = CONTROLS | {
        "tags": {"node-1": {"priority": 0, "draining": True}},
        "switchover": {"epoch": 1, "to": "n2", "open": True},
    }
    found = shown(status_view(STATUS | {"controls": controls}))
    assert "tag priority 0, tag draining" in found and "a switchover to n2 is asked for" in found


def test_silent_unknown_and_missing_sentinels_are_told_apart() -> None:
    sentinels = [SENTINEL, SENTINEL | {"id": "s2", "sent_at": 40.0}, SENTINEL | {"id": "s9"}]
    found = shown(membership_view(STATUS | {"nodes": [], "sentinels": sentinels, "controls": CONTROLS}))
    lines = {line.split()[0]: line for line in found.splitlines() if line}
    assert "silent for 60 s" in lines["s2"] and "not a member" in lines["s9"] and "never seen" in lines["s3"]
    assert "1 of 3 sentinels live, and a failover takes 2" in found


def test_an_ipv6_address_has_brackets_before_its_port() -> None:
    sentinels = [SENTINEL | {"mesh_host": "fd00::1"}]
    found = shown(membership_view(STATUS | {"nodes": [], "sentinels": sentinels, "controls": CONTROLS}))
    assert "[fd00::1]:9 " in found


def test_who_left_long_ago_is_not_shown() -> None:
    gone = SENTINEL | {"id": "s9", "sent_at": -9000.0}
    assert "s9" not in shown(
        membership_view(STATUS | {"nodes": [], "sentinels": [SENTINEL, gone], "controls": CONTROLS})
    )


def test_a_failover_is_a_sentence_then_its_phases_votes_and_candidates() -> None:
    found = shown(failover_view(RECORD))
    assert found.startswith("n3 took over from n1 (crash), 80.0 ms after the first suspicion.")
    rows = [line for line in found.splitlines() if "#" in line or "|" in line]
    assert [line.split("  ")[0] for line in rows] == [
        "last answer of n1",
        "down for s2 (+sdown)",
        "down for a quorum (+odown)",
        "s2 elected by a majority",
        "the record names n3",
        "n3 seen acting",
    ]
    columns = [line.rstrip()[-1:] and line.rindex(line.rstrip()[-1]) for line in rows]
    assert columns == sorted(columns), "time goes to the right"
    assert "in tilt" in found and "2 of 3 that answered granted it" in found
    assert "won" in found and "draining" in found


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "switchover", "cause": "switchover"}, "n1 handed over to n3 (switchover) in 80.0 ms."),
        ({"outcome": "accept-timeout"}, "did not act in time"),
        ({"outcome": "no-good-node", "winner": None}, "Nobody could follow n1"),
        ({"outcome": "awarded"}, "was not seen acting"),
        ({"outcome": None, "phases": None, "votes": None, "candidates": None, "at": None}, "unknown outcome"),
    ],
)
def test_every_outcome_has_its_sentence(fields: dict[str, Any], says: str) -> None:
    assert says in shown(failover_view(RECORD | fields))


def test_an_explanation_fits_on_a_narrow_terminal_and_names_who_did_not_answer() -> None:
    said = {
        "sentinel": "s1",
        "epoch": 5,
        "voted_epoch": 5,
        "master": {"node": "n1", "down": True, "cause": "crash", "objectively_down": False},
        "views": {"s2": {"fresh": True}, "s3": None},
        "phase": "idle",
        "would_win": "",
        "candidates": [{"node": "n2", "rank": None, "dropped": "draining"}],
        "why_no_failover": ["n1 is down for 1 of the 2 sentinels that make the quorum"],
        "nodes": [{"node": "n1", "down": True, "cause": "crash", "silent_ms": 420.0, "connected": False}],
    }
    document = {
        "summary": "n1 is down.",
        "sentinels": [
            {"id": "s1", "ok": True, "problem": "", "explanation": said},
            {"id": "s2", "ok": False, "problem": "nothing listens on h:1", "explanation": {}},
        ],
    }
    found = shown(explain_view(document))
    assert found.splitlines()[0] == "n1 is down."
    for words in (
        "n1 down: crash",
        "1 of 2",
        "nobody",
        "nothing listens on h:1",
        "draining",
        "s1: n1 is down for 1",
        "420",
    ):
        assert words in found
    assert "draining" in shown(explain_view(document), 60)


def test_a_finding_says_what_whose_fault_and_what_to_do() -> None:
    finding = {"severity": "problem", "about": "quorum", "found": "none lives", "fault": "s1", "cure": "start it"}
    well = {"severity": "ok", "about": "clocks", "found": "agree", "fault": "", "cure": ""}
    found = shown(doctor_view({"summary": "Bad.", "ok": False, "asked_by": "", "findings": [finding, well]}))
    assert found.splitlines()[0].strip() == "Bad."
    assert (
        "none lives" in found and "fault: s1" in found and "do:    start it" in found and "no node was asked" in found
    )


@pytest.mark.parametrize(
    ("after", "sequences", "says"),
    [
        (0, [7, 8, 9], []),
        (6, [7, 8], []),
        (3, [7, 8], ["3 events were missed (sequences 4 to 6)"]),
        (0, [7, 9], ["1 event was missed (sequence 8)"]),
        (0, [7, 1, 2], ["Redis has lost its data"]),
    ],
)
def test_a_gap_between_events_is_told_with_its_size(after: int, sequences: list[int], says: list[str]) -> None:
    gaps = Gaps(after)
    found = [gap for sequence in sequences if (gap := gaps.seen({"sequence": sequence}))]
    assert len(found) == len(says)
    assert all(words in gap.sentence for words, gap in zip(says, found, strict=True))


# What it does.


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    folder = tmp_path_factory.mktemp("operator") / "data"
    with LocalCluster(LocalSpec(data_dir=folder, timing={"down_after_s": "2"})) as running:
        yield running


class Shell:
    """Commands against one cluster, in this process. `code` is how the last one ended."""

    def __init__(self, cluster: LocalCluster, capsys: pytest.CaptureFixture[str]) -> None:
        self.cluster = cluster
        self.code: object = None
        self._capsys = capsys

    def run(self, *words: str, code: int | None = 0) -> str:
        """What it writes; `code` is what it has to end with, None where that is looked at later."""
        with pytest.raises(SystemExit) as caught:
            cli.main([*words, "--data-dir", str(self.cluster.dir)])
        out, err = self._capsys.readouterr()
        self.code = caught.value.code
        assert code in (self.code, None), out + err
        return out

    def json(self, *words: str, code: int | None = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code))

    def master(self) -> str:
        return str(self.json("status")["master"]["node"])

    def worker(self) -> str:
        return next(str(node["id"]) for node in self.json("status")["nodes"] if node["role"] == "worker")

    def events(self) -> list[str]:
        return [event["name"] for event in self.json("events", "--limit", "1000")["events"]]


@pytest.fixture
def shell(cluster: LocalCluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in [name for name in os.environ if name.startswith("HA_STRESS")]:
        monkeypatch.delenv(name)
    return Shell(cluster, capsys)


def ends_after_s(shell: Shell, name: str) -> float:
    """Load something and stop it all: seconds from the word to the last request, of which none is unaccounted for."""
    tasks = [f"{name}-{number}" for number in range(3)]
    with target_process() as target:
        for task in tasks:
            shell.run("task", "create", target.url, "--rate", "100", "--id", task)
        until(lambda: target.counted() > 300, "the load runs")
        assert sorted(shell.json("stop", "--all")["stopped"]) == tasks
        said_at = last_at = time.monotonic()
        counted = target.counted()

        def closed() -> bool:
            nonlocal counted, last_at
            over = not shell.json("stop", "--all")["stopped"]
            if (now := target.counted()) != counted:
                counted, last_at = now, time.monotonic()
            return over

        until(closed, "the books are closed")
        time.sleep(0.3)
        assert target.counted() == counted
    books = [shell.json("task", "show", task)["books"] for task in tasks]
    assert sum(one["started"] for one in books) == counted and all(one["balanced"] for one in books)
    return last_at - said_at


@pytest.mark.cluster
def test_every_load_of_the_cluster_has_ended_a_second_after_the_word(shell: Shell) -> None:
    """A second in which somebody could not run, on a busy machine, is forgiven: then it is done again."""
    assert any(ends_after_s(shell, f"stop{turn}") < 1.0 for turn in range(5))
    assert "Nothing to stop" in shell.run("stop", "--all")
    shell.run("stop", code=2)
    shell.run("stop", "stop0-0", code=2)
    shell.run("task", "create", "http://198.51.100.7/", "--rate", "1", code=9)


@pytest.mark.cluster
def test_a_switchover_names_another_master_and_says_how_long_nobody_acted(shell: Shell) -> None:
    before, to = shell.master(), shell.worker()
    found = shell.json("switchover", "--to", to)
    assert (found["ok"], found["from"], found["to"]) == (True, before, to)
    assert 0 <= found["gap_ms"] < 5000 and 0 < found["duration_ms"] < 10_000
    assert shell.master() == to
    record = shell.json("failovers", "show", str(found["epoch"]))
    assert (record["kind"], record["old"]["node"], record["winner"]["node"]) == ("switchover", before, to)
    assert "without an acting master" in shell.run("switchover")
    assert shell.json("status")["controls"]["switchover"]["open"] is False
    assert {"+switchover", "+switch-master", "+acting"} <= set(shell.events())


@pytest.mark.cluster
def test_a_switchover_that_is_not_possible_says_why_and_ends_with_1(shell: Shell) -> None:
    assert "is the master already" in shell.run("switchover", "--to", shell.master(), code=1)
    assert "no living node is called n9" in shell.json("switchover", "--to", "n9", code=1)["why"]


@pytest.mark.cluster
def test_a_switchover_that_nobody_carries_out_is_withdrawn_and_explained(shell: Shell) -> None:
    children = list(shell.cluster.sentinels.values())
    try:
        for child in children:
            os.kill(child.pid, signal.SIGSTOP)
        found = shell.json("switchover", "--timeout", "300ms", code=1)
    finally:
        for child in children:
            os.kill(child.pid, signal.SIGCONT)
    assert "withdrawn" in found["why"] and "None of the 3 sentinels answers" in found["why"]
    assert shell.json("status")["controls"]["switchover"] is None
    wait_until_well(shell)


@pytest.mark.cluster
def test_a_pause_is_known_to_every_sentinel_and_ends(shell: Shell) -> None:
    assert "paused (night shift)" in shell.run("pause", "--why", "night shift")
    until(lambda: all(one["paused"] for one in shell.json("status")["sentinels"]), "all observe only")
    assert "FAILOVERS ARE PAUSED (night shift)" in shell.run("status")
    until(lambda: "Failovers are paused" in shell.json("explain")["summary"], "a sentinel answers in time and says so")

    def only_warned() -> bool:
        found = shell.json("doctor", code=None)["findings"]
        return "paused" in [one["about"] for one in found] and shell.code == 0

    until(only_warned, "a warning is not a failure")
    assert "on" in shell.run("resume")
    until(lambda: not any(one["paused"] for one in shell.json("status")["sentinels"]), "all are back")


@pytest.mark.cluster
def test_a_tagged_node_is_not_chosen(shell: Shell) -> None:
    node = shell.worker()
    assert f"{node}: priority 0, draining." in shell.run("tag", node, "--priority", "0", "--draining")
    assert f"{node}: draining." in shell.run("tag", node, "--no-priority")

    def dropped() -> list[str | None]:
        """What each sentinel says of it; one that does not answer in time says nothing."""
        said = [one["explanation"].get("candidates", []) for one in shell.json("explain")["sentinels"]]
        return [next((row["dropped"] for row in rows if row["node"] == node), None) for rows in said]

    until(lambda: dropped() == ["draining"] * 3, "the sentinels have heard of it")
    assert "draining" in shell.json("switchover", "--to", node, code=1)["why"]
    assert f"{node}: no tags." in shell.run("tag", node, "--no-draining")
    assert shell.json("tag", node)["tags"] == {}
    shell.run("tag", node, "--priority", "5", "--no-priority", code=2)
    shell.run("tag", "n9", code=2)
    shell.run("tag", "n9", "--draining", code=2)
    until(lambda: dropped() == [""] * 3, "the sentinels have heard of that too")


@pytest.mark.cluster
def test_sentinels_are_added_and_removed_one_at_a_time(shell: Shell) -> None:
    assert "does not run" in json.loads(shell.run("sentinels", "add", "s4", "--json", code=2))["error"]
    fourth = start_sentinel(shell.cluster, "s4")
    try:
        until(lambda: "s4" in [one["id"] for one in shell.json("sentinels")["sentinels"]], "it describes itself")
        found = shell.json("sentinels", "add", "s4")
        assert found["reached"] and found["have"] >= 3
        assert "4 of 4 sentinels live, and a failover takes 3." in shell.run("sentinels")
        survive = "4 sentinels survive the loss of 1"
        until(lambda: survive in shell.run("doctor", code=None) and shell.code == 0, "the doctor counts them")
        found = shell.json("sentinels", "remove", "s4")
        assert found["membership"] == {
            "version": 2,
            "members": ["s1", "s2", "s3"],
            "floor": found["membership"]["floor"],
        }
        refused = json.loads(shell.run("sentinels", "remove", "s1", "--json", code=2))
        assert "three sentinels are the least" in refused["error"]
    finally:
        fourth.kill_tree()
    assert shell.events().count("+members") == 2


@pytest.mark.cluster
def test_explain_says_who_would_win_and_the_doctor_that_all_is_well(shell: Shell) -> None:
    wait_until_well(shell)

    def all_explain() -> bool:
        found = shell.json("explain")
        return bool("would win" in found["summary"]) and answering(found) >= {"s1", "s2", "s3"}

    until(all_explain, "all answer in time, and somebody would win")
    until(lambda: "why no failover has started" in shell.run("explain"), "one answers in time, and says why")

    def well() -> bool:
        said = shell.run("doctor", code=None)
        return shell.code == 0 and ("All is well" in said or "should be looked at" in said)

    until(well, "the doctor finds no problem")


@pytest.mark.cluster
def test_a_gap_in_the_events_is_told(shell: Shell) -> None:
    client = plain_client(shell.cluster.redis_url)
    key = "hs:{local}:events"
    entries = client.xrange(key, count=4)
    client.xdel(key, entries[1][0], entries[2][0])
    found = shell.json("events", "--after", "1", "--limit", "2")
    assert found["gaps"][0]["gap"] == {"after": 1, "before": 4, "missed": 2}
    assert "2 events were missed (sequences 2 to 3)" in shell.run("events", "--after", "1", "--limit", "2")


@pytest.mark.cluster
def test_when_no_node_lives_the_doctor_and_explain_look_by_themselves(shell: Shell) -> None:
    """The last test of this cluster: it kills every node."""
    for child in shell.cluster.nodes.values():
        child.kill_tree()
    found = shell.json("doctor", "--redis", shell.cluster.redis_url, code=1)
    assert found["asked_by"] == ""
    until(lambda: "no node lives" in shell.run("doctor", code=1), "their descriptions have run out")
    until(lambda: answering(shell.json("explain")) >= {"s1", "s2", "s3"}, "all answer in time")
    shell.run("switchover", code=3)

    def refused() -> bool:
        found = shell.json("doctor", "--redis", shell.cluster.redis_url, "--secret", "wrong", code=1)["findings"]
        return any("every process refuses our secret" in one["found"] for one in found)

    until(refused, "the doctor says whose fault it is")


def answering(explained: dict[str, Any]) -> set[str]:
    """The sentinels that answered in time."""
    return {one["id"] for one in explained["sentinels"] if one["ok"]}


def until(condition: Any, what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.05)


def wait_until_well(shell: Shell) -> None:
    """After a suspension sentinels distrust themselves for a while."""

    def well() -> bool:
        status = shell.json("status")
        return bool(status["master"]["acting"]) and not any(one["tilt"] for one in status["sentinels"])

    until(well, "a master acts, and nobody is in tilt")


def start_sentinel(cluster: LocalCluster, name: str) -> Child:
    """A sentinel that waits to be added: it was started with all members and itself."""
    folder = cluster.dir
    argv = ["ha_stress", "sentinel", "--id", name, "--cluster", "local", "--redis", cluster.redis_url]
    argv += ["--secret-file", str(folder / "secret"), "--members", f"s1,s2,s3,{name}", "--data-dir", str(folder / name)]
    child = processes.start("sentinel", name, [*argv, "--timing", "down_after_s=2"], Path(folder / f"{name}.log"))
    processes.wait_ready([child], time.monotonic() + 30)
    return child
