"""The pure part of the failover benchmark: statistics, the shape of the document, goals, the table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import failover
from bench.failover_figures import FIELDS, OURS, SYSTEMS, VALKEY, Cause, Round, Rounds, report_of, table, verdicts
from bench.witness import BenchFailed, Seen, Witness


def rounds(*, ours_kill_ms: tuple[float, ...] = (80, 120, 100), ours_stop_ms: float = 900) -> Rounds:
    """Three rounds each; the announcement comes 10 ms before the act with us, and 1 s after it with Valkey."""

    def ours(act_ms: float) -> Round:
        return Round(detect_ms=act_ms / 2, act_ms=act_ms, announce_ms=act_ms - 10)

    theirs = Round(detect_ms=1100, act_ms=1300, announce_ms=2300)
    return {
        Cause.KILL: {OURS: [ours(ms) for ms in ours_kill_ms], VALKEY: [theirs] * 3},
        Cause.STOP: {OURS: [ours(ours_stop_ms)] * 3, VALKEY: [theirs] * 3},
    }


def met(report: dict[str, Any]) -> list[bool]:
    return [goal["met"] for goal in report["goals"]]


def test_a_figure_has_the_median_the_worst_the_number_of_rounds_and_every_one_of_them() -> None:
    figure = report_of(rounds())["kill"]["ours"]["act_ms"]
    assert figure == {"median": 100, "worst": 120, "rounds": 3, "all_ms": [80, 120, 100]}


def test_every_cause_system_and_mark_is_in_the_document_under_plain_names() -> None:
    report = json.loads(json.dumps(report_of(rounds())))
    assert set(report) == {"kill", "stop", "ratios", "goals"}
    for cause in ("kill", "stop"):
        assert set(report[cause]) == set(SYSTEMS)
        for system in SYSTEMS:
            assert set(report[cause][system]) == {"detect_ms", "act_ms", "announce_ms"}
        assert set(report["ratios"][cause]) == set(FIELDS)


def test_a_ratio_is_theirs_divided_by_ours() -> None:
    ratios = report_of(rounds())["ratios"]
    assert ratios["kill"]["act_ms"] == {"median": 13.0, "worst": round(1300 / 120, 2)}
    assert ratios["stop"]["announce_ms"]["median"] == round(2300 / 890, 2)


def test_the_goals_are_judged_by_our_worst_act_and_the_median_announcement() -> None:
    assert met(report_of(rounds())) == [True, True, True]
    assert met(report_of(rounds(ours_kill_ms=(80, 151, 100)))) == [False, True, True]
    assert met(report_of(rounds(ours_kill_ms=(250, 250, 250)))) == [False, False, True]
    assert met(report_of(rounds(ours_stop_ms=1151))) == [True, True, False]


def test_the_table_says_what_the_document_says() -> None:
    report = report_of(rounds())
    assert "the successor is master             100      120     1300     1300    13.0     10.8" in table(
        report, Cause.KILL
    )
    assert verdicts(report)[0] == "met     kill -9: ours acts, at worst: 120 (goal <= 150 ms)"


def test_a_mark_is_the_first_match_after_the_signal_and_what_does_not_come_is_named() -> None:
    witness = Witness()

    def matches(seen: Seen) -> bool:
        return seen.data == b"down"

    witness.note("events", b"down")
    with pytest.raises(BenchFailed, match="detect_ms"):
        witness.wait_all({"detect_ms": matches}, since=float("inf"), timeout_s=0.0)
    witness.note("events", b"up")
    witness.note("events", b"down")
    witness.note("events", b"down")
    marks = witness.wait_all({"detect_ms": matches}, since=0.0, timeout_s=0.0)
    up, first, second = witness.seen()
    assert marks == {"detect_ms": first.at}
    assert up.at <= first.at <= second.at
    witness.close()


def test_ports_are_free_and_different() -> None:
    ports = failover.free_ports(6)
    assert len(set(ports)) == 6
    assert all(0 < port < 65536 for port in ports)


def test_without_matplotlib_the_plot_is_skipped_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    failover.plot(report_of(rounds()), tmp_path / "rounds.png")
    assert "matplotlib is not installed" in capsys.readouterr().err
    assert not (tmp_path / "rounds.png").exists()
