"""`python -m chaos`: a few real rounds, and proof that what it looks for is found when it is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.rounds import network, servers
from chaos.rounds.books import Entry, audit, owed
from chaos.rounds.cluster import Cluster
from chaos.rounds.conduct import runnable
from chaos.rounds.deck import draw
from chaos.rounds.faults import FAULTS
from chaos.rounds.gate import SOURCE_ARGUMENT, arguments_of, words_of
from chaos.rounds.history import History, Violation
from chaos.rounds.sampler import Sampler
from chaos.rounds.tally import Outcome, report

A, B = ("n1", "i1"), ("n2", "i2")
BROKEN = Violation("an-invariant", "this", "that")


def invariants(history: History) -> list[str]:
    return [violation.invariant for violation in history.take_violations()]


# --- the deck and the table ---


def test_each_fault_comes_equally_often_and_a_seed_repeats_the_rounds() -> None:
    drawn = draw("abcde", 23, seed=4)
    counts = Counter(drawn)
    assert len(drawn) == 23 and set(counts.values()) == {4, 5}
    assert drawn == draw("abcde", 23, seed=4) != draw("abcde", 23, seed=5)
    assert sorted(drawn[:5]) == list("abcde"), "every fault comes once before one comes twice"


def outcome(fault: str, ms: float | None, uncovered: int = 0, violations: int = 0) -> Outcome:
    return Outcome(fault=fault, failover_ms=ms, arrivals=800, uncovered=uncovered, violations=(BROKEN,) * violations)


def test_the_report_has_the_median_and_the_worst_of_the_rounds_with_a_failover() -> None:
    rounds = [
        outcome("b", 90.0),
        outcome("a", None, 7),
        outcome("b", 130.25, 5, 1),
        outcome("b", None),
        outcome("b", 70),
    ]
    document = report(rounds, ["a", "b", "never"])
    assert document["rounds"] == 5 and document["violations"] == 1
    assert document["uncovered"] == 12 and document["arrivals"] == 4000
    assert document["faults"] == [
        {
            "name": "a",
            "rounds": 1,
            "failover_ms": {"median": None, "worst": None},
            "uncovered": 7,
            "violations": 0,
        },
        {
            "name": "b",
            "rounds": 4,
            "failover_ms": {"median": 90.0, "worst": 130.2},
            "uncovered": 5,
            "violations": 1,
        },
    ]


def test_what_cannot_run_here_is_left_out_with_its_reason() -> None:
    faults, skipped = runnable("no root", "no mount")
    assert {fault.needs for fault in faults} == {""} and len(faults) + len(skipped) == len(FAULTS)
    assert skipped["cut-master"] == "no root" and skipped["full-disk"] == "no mount"


# --- what must never be ---


def test_a_record_that_falls_is_found_unless_a_loss_was_declared() -> None:
    history = History()
    history.see_record((3, "n1", "i"), "3:n1:i")
    history.see_record((2, "n2", "i"), "")
    assert invariants(history) == ["epoch-never-falls"]
    history.declare_loss()
    for record in ((3, "n1", "i"), (0, "", ""), (3, "n1", "i")):
        history.see_record(record, "")
    assert invariants(history) == []
    history.see_record((0, "", ""), "")
    assert invariants(history) == ["epoch-never-falls"], "it was repaired: the declared loss is over"


def test_a_second_winner_of_an_epoch_is_found_even_after_a_loss_of_data() -> None:
    history = History()
    history.see_record((1, "n1", "i"), "")
    history.see_record((2, "n2", "i"), "")
    history.declare_loss()
    history.see_record((0, "", ""), "")
    history.see_record((1, "n3", "i"), "1:n3:i")
    assert invariants(history) == ["one-winner-per-epoch"]


def test_a_foreign_lease_is_found() -> None:
    history = History()
    history.see_record((2, "n2", "i"), "1:n1:i")
    assert invariants(history) == ["lease-is-the-masters"]


def test_a_fence_that_falls_or_is_above_the_record_or_is_nobodys_is_found() -> None:
    history = History()
    history.see_record((2, "n2", "i"), "")
    history.see_fence((3, "n3", "i"))
    history.fence_is_covered()
    assert invariants(history) == ["fence-not-above-the-record"]
    history.see_fence((2, "n2", "i"))
    assert invariants(history) == ["fence-never-falls"]
    other = History()
    other.see_record((2, "n2", "i"), "")
    other.see_fence((2, "n1", "i"))
    assert invariants(other) == ["fence-is-a-winners"]


def test_a_vote_that_falls_or_changes_or_is_lost_is_found() -> None:
    history = History()
    history.vote_lost("s1", "there never was one")
    history.see_vote("s1", 4, "s2")
    history.see_vote("s1", 4, "s2")
    assert invariants(history) == []
    history.see_vote("s1", 4, "s3")
    history.see_vote("s1", 3, "s3")
    history.vote_lost("s1", "vote-s1.json: not JSON")
    assert invariants(history) == ["one-vote-per-epoch", "votes-never-fall", "votes-never-fall"]


def test_two_leaders_two_acting_masters_and_a_gap_are_found_in_the_events() -> None:
    def event(sequence: int, name: str, source: str, subject: str = "") -> dict[str, str]:
        return {"sequence": str(sequence), "epoch": "5", "name": name, "source": source, "subject": subject}

    history = History()
    history.see_record((5, "n1", "i"), "")
    history.see_events([event(1, "+elected-leader", "s1"), event(2, "+switch-master", "s1", "n1")])
    assert invariants(history) == []
    history.see_events(
        [
            event(3, "+elected-leader", "s2"),
            event(4, "+acting", "n1"),
            event(5, "+acting", "n2"),
            event(7, "+switch-master", "s2", "n2"),
        ]
    )
    assert sorted(invariants(history)) == [
        "events-without-gaps",
        "one-acting-master-per-epoch",
        "one-leader-per-epoch",
        "one-winner-per-epoch",
    ]


def test_a_settled_cluster_without_repair_or_with_another_fence_is_found() -> None:
    history = History()
    history.see_record((5, "n1", "i"), "")
    history.declare_loss()
    history.see_record((0, "", ""), "")
    history.close()
    assert invariants(history) == ["record-is-repaired"]
    history.see_record((5, "n1", "i"), "")
    history.see_fence((4, "n3", "i"))
    history.close()
    assert invariants(history) == ["fence-is-the-masters"]


# --- the books ---

PLAN: dict[str, Any] = {
    "revisions": [
        {
            "number": 1,
            "limit": 60,
            "table": [0, 1],
            "holders": [{"node": A[0], "incarnation": A[1]}, {"node": B[0], "incarnation": B[1]}],
        },
        {"number": 2, "limit": 40, "table": [0], "holders": [{"node": A[0], "incarnation": A[1]}]},
    ]
}


def entry(revision: int, holder: tuple[str, str], started: int, dropped: int = 0, intended: int = -1) -> Entry:
    intended = started + dropped if intended < 0 else intended
    return Entry(revision=revision, holder=holder, intended=intended, started=started, dropped=dropped)


def broken(entries: list[Entry], counted: dict[str, int], *killed: tuple[str, str], planned: int = 100) -> list[str]:
    found = audit(
        PLAN,
        entries,
        counted=counted,
        places={"n1": "x", "n2": "y"},
        killed=frozenset(killed),
        planned=planned,
    )
    return [violation.invariant for violation in found.violations]


def test_arrivals_are_counted_one_by_one() -> None:
    assert owed(PLAN) == {(1, A): 30, (1, B): 30, (2, A): 40}


def test_exact_books_have_nothing_to_say() -> None:
    full = [entry(1, A, 28, 2), entry(1, B, 30), entry(2, A, 40)]
    assert broken(full, {"x": 68, "y": 30}) == []


def test_what_a_killed_holder_did_not_account_for_is_named_and_may_have_been_sent() -> None:
    entries = [entry(1, A, 30), entry(1, B, 12), entry(2, A, 40)]
    found = audit(
        PLAN,
        entries,
        counted={"x": 70, "y": 20},
        places={"n1": "x", "n2": "y"},
        killed=frozenset([B]),
        planned=100,
    )
    assert (found.violations, found.uncovered, found.reached) == ((), {B: 18}, {"y": 8})


def test_what_nobody_accounts_for_and_what_comes_twice_is_found() -> None:
    entries = [entry(1, A, 30), entry(1, B, 12), entry(2, A, 40)]
    assert broken(entries, {"x": 70, "y": 12}) == ["every-arrival-is-accounted-for"]
    assert broken(entries, {"x": 70, "y": 31}, B) == ["no-arrival-twice"]
    assert broken(entries, {"x": 69, "y": 12}, B) == ["target-got-what-was-started"]
    assert broken([*entries, entry(1, B, 30)], {"x": 70, "y": 42}) == ["no-arrival-twice"]
    assert broken([entry(1, A, 29, 0, 30), entry(1, B, 30), entry(2, A, 40)], {"x": 69, "y": 30}) == ["books-balance"]
    full = [entry(1, A, 30), entry(1, B, 30), entry(2, A, 40)]
    assert broken(full, {"x": 70, "y": 30}, planned=99) == ["every-arrival-is-planned"]


def test_the_gate_reads_a_command_as_far_as_it_has_arrived() -> None:
    command = b"*7\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n2\r\n$2\r\nk1\r\n$2\r\nk2\r\n$2\r\n17\r\n$2\r\ns1\r\n"
    assert arguments_of(words_of(command)) == [b"17", b"s1"]
    for size in range(len(command)):
        assert len(arguments_of(words_of(command[:size]))) < 2 <= SOURCE_ARGUMENT


# --- real processes ---


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[Cluster, Sampler]]:
    with (
        tempfile.TemporaryDirectory(prefix=f"{servers.DIRECTORY_PREFIX}{os.getpid()}-") as directory,
        Cluster(Path(directory), None, disks=False) as cluster,
        Sampler(cluster, History()) as sampler,
    ):
        deadline = time.monotonic() + 20
        while cluster.outside.look().master is None:
            assert time.monotonic() < deadline, "no master acts"
            time.sleep(0.05)
        yield cluster, sampler


def found_within(
    sampler: Sampler, invariant: str, seconds: float = 5.0, again: Callable[[], object] = lambda: None
) -> bool:
    """Whether the sampler, which looks all the time, finds this. What else it finds is forgotten. `again` breaks it anew
    before each look: the cluster mends some things faster than the sampler looks."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        again()
        with sampler.lock:
            if invariant in invariants(sampler.history):
                return True
        time.sleep(0.01)
    return False


@pytest.mark.cluster
def test_a_forged_second_winner_in_a_live_cluster_is_found(watched: tuple[Cluster, Sampler]) -> None:
    cluster, sampler = watched
    deadline = time.monotonic() + 5.0
    while not sampler.history.winners and time.monotonic() < deadline:
        time.sleep(0.01)  # the true winner must have been seen before the forged one
    with sampler.lock:
        assert sampler.history.winners and invariants(sampler.history) == []
    record = cluster.outside.keys.mastership
    node = cluster.outside.client.hget(record, "node")
    cluster.outside.client.hset(record, "node", "intruder")
    assert found_within(sampler, "one-winner-per-epoch")
    assert isinstance(node, bytes)
    cluster.outside.client.hset(record, "node", node.decode())


@pytest.mark.cluster
def test_a_lowered_vote_and_a_lowered_epoch_in_a_live_cluster_are_found(watched: tuple[Cluster, Sampler]) -> None:
    cluster, sampler = watched
    file = cluster.dir / "s2" / "vote-s2.json"
    state = json.loads(file.read_text("utf-8"))
    lowered = json.dumps(state | {"voted_epoch": -1})
    assert found_within(sampler, "votes-never-fall", again=lambda: file.write_text(lowered, "utf-8"))
    file.write_text(json.dumps(state), "utf-8")
    client, key = cluster.outside.client, cluster.outside.keys.mastership
    assert found_within(sampler, "epoch-never-falls", again=lambda: client.delete(key))


def chaos(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chaos", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.cluster
def test_real_rounds_break_nothing_and_leave_nothing_behind() -> None:
    names = ["kill-master", "redis-loss", "kill-leader" if network.why_not() else "cut-one-way"]
    only = [word for name in names for word in ("--only", name)]
    done = chaos("--rounds", "3", "--seed", "2", "--json", *only)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["rounds"], document["violations"]) == (3, 0)
    assert {fault["name"] for fault in document["faults"]} == set(names)
    times = {fault["name"]: fault["failover_ms"]["median"] for fault in document["faults"]}
    assert 0 < times["kill-master"] < 10_000
    logs = done.stderr.split("logs in ")[1].split()[0]
    assert not Path(logs).exists()
    if not network.why_not():
        gone = [name for name in network.ip("netns", "list").split() if name.startswith(network.PREFIX)]
        assert all(Path(f"/proc/{name.removeprefix(network.PREFIX).partition('-')[0]}").exists() for name in gone)


def test_bad_input_is_one_sentence() -> None:
    for words in (("--rounds", "0"), ("--only", "nothing")):
        done = chaos(*words)
        assert done.returncode == 2
        assert "error: argument" in done.stderr.splitlines()[-1]
