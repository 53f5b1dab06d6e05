"""The books benchmark: what its audit sees and what it does not, its figures, its counting server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.books_audit import CELLS, Flow, Kill, covered_again_s, owed
from bench.books_figures import Evidence, report_of, table, verdicts
from ha_stress.cli import processes
from ha_stress.tasks.ledger import Counters, Row
from ha_stress.tasks.schedule import Holder, Plan, Revision, TaskShare, planned
from ha_stress.tasks.spec import HttpRequest
from ha_stress.worker.signature import sender_name, signed

A, B, C = Holder("n1", "a"), Holder("n2", "b"), Holder("n3", "c")
#: n2 dies at 6.0 s, half-way through the first revision's end: seen after 0.1 s, taken over at 6.4 s.
FIRST = Revision(number=1, at_s=0.0, rate=100.0, holders=(A, B), table=(0, 1), limit=640)
SECOND = Revision(number=2, at_s=6.4, rate=100.0, holders=(A,), table=(0,), limit=360, base=640)
PLAN = Plan(started_at=1000.0, duration_s=10.0, revisions=(FIRST, SECOND), lost=(B,))
KILL = Kill(what="worker", name="n2", at=1006.0, holder=B, epoch=1)


def cells_of(holder: Holder, upto: int = 1_000_000) -> dict[str, int]:
    """What the server counts if `holder` sends exactly what it owns below position `upto` of each revision."""
    counts: dict[str, int] = {}
    for revision in PLAN.revisions:
        if holder not in revision.holders:
            continue
        index = revision.holders.index(holder)
        for position in range(min(upto, revision.limit or 0)):
            if revision.table[position % len(revision.table)] == index:
                cell = str((revision.base + position) % CELLS)
                counts[cell] = counts.get(cell, 0) + 1
    return counts


def row(holder: Holder, revision: int, started: int, dropped: int = 0) -> Row:
    counters = Counters(intended=started + dropped, started=started, completed=started, dropped=dropped)
    return Row(holder=holder, revision=revision, counters=counters)


#: n1 did all of its own; n2 sent what was due before it died, and had told of what was due until 5.4 s.
ROWS = (row(A, 1, 320), row(A, 2, 360), row(B, 1, 270))
COUNTS = {sender_name(A): cells_of(A), sender_name(B): cells_of(B, upto=600)}


def evidence(**changes: Any) -> Evidence:
    moments = {20_000 + index: 5 if not 120 <= index < 128 else 2 for index in range(200)}
    whole: dict[str, Any] = {
        "plan": PLAN,
        "rows": ROWS,
        "kills": (KILL,),
        "events": (
            {"name": "+odown", "subject": "n2", "at_ms": "1006100", "epoch": "1"},
            {"name": "+odown", "subject": "n3", "at_ms": "1006050", "epoch": "1"},
        ),
        "timeline": tuple({"second": 1001 + second, "dropped": 0} for second in range(10)),
        "counts": COUNTS,
        "flow": Flow(moments=moments, moment_s=0.05, rate=100.0),
        "frames_lost": {},
    }
    return Evidence(**whole | changes)


def goals(report: Mapping[str, Any]) -> dict[str, bool]:
    return {goal["name"]: goal["met"] for goal in report["goals"]}


def test_the_document_has_the_names_that_are_promised() -> None:
    report = json.loads(json.dumps(report_of(evidence())))
    assert {name: report[name] for name in ("intended", "started", "counted", "completed", "failed", "dropped")} == {
        "intended": 1000,
        "started": 950,
        "counted": 980,
        "completed": 950,
        "failed": 0,
        "dropped": 0,
    }
    assert (report["uncovered"], report["duplicates"], report["frames_lost"], report["balanced"]) == (50, 0, 0, True)
    (kill,) = report["kills"]
    assert kill == {
        "what": "worker",
        "name": "n2",
        "at_s": 6.0,
        "detection_s": 0.1,
        "failover_ms": None,
        "uncovered": 50,
        "untold": 30,
        "unsent_frame_s": 0.6,
        "dropped": 0,
        "gap_s": 0.4,
        "back_s": 0.4,
        "seen_s": 4.0,
    }
    assert all(goals(report).values())
    assert "n2 (b) was killed with 30 sent in its last unsent frame" in table(report)
    assert len(verdicts(report)) == len(report["goals"])


def test_a_rate_that_was_asked_for_is_the_goal_up_to_that_of_the_issue() -> None:
    def goal(rate: float) -> tuple[str, bool]:
        flow = Flow(moments=evidence().flow.moments, moment_s=0.05, rate=rate)
        (found,) = [one for one in report_of(evidence(flow=flow))["goals"] if "per second" in one["name"]]
        return found["goal"], found["met"]

    assert goal(100.0) == (">= 97", True)
    assert goal(103.0)[1] is False
    assert goal(21_000.0) == (">= 20000", False)


def test_an_audit_owes_each_arrival_to_one_holder_and_agrees_with_the_product() -> None:
    debts = owed(PLAN)
    assert sum(one.total() for one in debts.values()) == 1000
    for revision in PLAN.revisions:
        for holder in revision.holders:
            assert debts[revision.number, holder].total() == planned(revision, holder)


def test_an_arrival_that_is_sent_twice_shows_even_if_another_one_was_left_out() -> None:
    mine = dict(COUNTS[sender_name(A)])
    mine["0"] += 1
    mine["2"] -= 1
    report = report_of(evidence(counts=COUNTS | {sender_name(A): mine}))
    assert report["duplicates"] == 1
    assert report["started"] == report["counted"] - 30, "the sums alone would not have told"
    assert not goals(report)["duplicates"]


def test_more_in_the_books_than_was_owned_is_a_duplicate() -> None:
    report = report_of(evidence(rows=(*ROWS[:2], row(B, 1, 321))))
    assert report["duplicates"] == 1


def test_a_stranger_who_sends_is_a_duplicate_of_whatever_he_sent() -> None:
    report = report_of(evidence(counts=COUNTS | {sender_name(C): {"0": 2}}))
    assert report["duplicates"] == 2


def test_a_survivor_who_told_of_more_or_less_than_it_sent_misses_the_goal() -> None:
    for started in (359, 361):
        report = report_of(evidence(rows=(ROWS[0], row(A, 2, started), ROWS[2])))
        assert not goals(report)["survivors: |started - counted|, in sum"]


def test_a_survivor_with_uncovered_arrivals_misses_the_goal() -> None:
    found = goals(report_of(evidence(rows=(ROWS[0], row(A, 2, 350), ROWS[2]))))
    assert not found["survivors: owned and not accounted for"]
    assert not found["books that do not balance"]


def test_drops_are_those_of_the_time_after_the_kill() -> None:
    timeline = [{"second": 1006, "dropped": 4}, {"second": 1007, "dropped": 3}]
    kill = Kill(what="master", name="n3", at=1006.5, holder=C, epoch=1)
    report = report_of(evidence(kills=(KILL, kill), timeline=timeline))
    assert [one["dropped"] for one in report["kills"]] == [3, 3]
    assert not goals(report)["no worker killed: dropped"]


def test_who_owned_nothing_when_it_died_leaves_no_gap() -> None:
    assert covered_again_s(PLAN, KILL) == pytest.approx(0.4)
    assert covered_again_s(PLAN, Kill(what="master", name="n3", at=1006.0, holder=C)) is None
    assert covered_again_s(PLAN, Kill(what="worker", name="n2", at=1008.0, holder=B)) is None
    assert covered_again_s(PLAN, Kill(what="redis", name="redis", at=1006.0)) is None


def test_the_rate_is_back_when_a_window_has_it_again() -> None:
    flow = Flow(moments={index: 10 for index in range(100) if not 40 <= index < 50}, moment_s=0.05, rate=200.0)
    assert flow.back_s(1.0, 1.9) == 0.0
    assert flow.back_s(2.0, 5.0) == pytest.approx(0.5)
    assert flow.back_s(2.0, 2.9) is None
    assert flow.series(0.0, 5.0, 0.5)[3:6] == [200.0, 0.0, 200.0]


# --- who sends ---


def test_every_request_of_a_share_says_which_process_sends_it() -> None:
    own = HttpRequest(url="http://h/", headers=(("x-ha-stress-node", "somebody else"), ("A", "1")))
    share = TaskShare(
        task="t",
        request=own,
        mix=(HttpRequest(url="ws://h/"), HttpRequest(url="tcp://h:1")),
        in_flight_max=1,
        started_at=0.0,
        parts=(),
    )
    found = signed(share, A)
    assert found.request.headers == (("A", "1"), ("X-HA-Stress-Node", "n1/a"))
    assert [one.headers for one in found.mix] == [(("X-HA-Stress-Node", "n1/a"),), ()]


def test_the_server_counts_by_sender_and_cell_also_what_comes_in_pieces_or_at_once(tmp_path: Path) -> None:
    child = processes.start("target", "target", ["bench.books_target"], tmp_path / "log", ready_on_stdout=True)
    try:
        processes.wait_ready([child], time.monotonic() + 10)
        url = str(child.ready["url"])
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
            request = b"GET /7 HTTP/1.1\r\nHost: h\r\nX-HA-Stress-Node: n1/a\r\n\r\n"
            one.sendall(request + request + request[:30])
            time.sleep(0.05)
            one.sendall(request[30:] + b"GET /8 HTTP/1.1\r\nHost: h\r\n\r\n")
            answers = b""
            while answers.count(b"ok") < 4:
                answers += one.recv(4096)
            said = httpx.get(f"{url}/__books", timeout=5, trust_env=False).json()
        assert said["counts"] == {"n1/a": {"7": 3, "8": 1}}
        assert sum(said["moments"].values()) == 4
        assert child.popen.stdin is not None
        child.popen.stdin.close()
        assert child.popen.wait(5) == 0
    finally:
        child.kill_tree()
