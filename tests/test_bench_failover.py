"""The pure part of the failover benchmark: statistics, the shape of the document, goals, the table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import bench
from bench import failover
from bench.failover_figures import FIELDS, OURS, SYSTEMS, VALKEY, Cause, Round, Rounds, report_of, table, verdicts
from bench.plot_phases import bars, heading, labels, subtitle, title
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


# --- the plot ---


def conditions() -> dict[str, Any]:
    return {"conditions": {"down_after_ms": 1000, "valkey": "9.1.2", "cores": 2}}


def test_a_bar_is_cut_at_the_medians_in_the_order_in_which_the_marks_came() -> None:
    ours, theirs = bars(report_of(rounds()), Cause.KILL)
    assert [(piece.mark, piece.begin_ms, piece.end_ms) for piece in ours.pieces] == [
        ("detect_ms", 0.0, 50.0),
        ("announce_ms", 50.0, 90.0),
        ("act_ms", 90.0, 100.0),
    ]
    assert [piece.mark for piece in theirs.pieces] == ["detect_ms", "act_ms", "announce_ms"]
    assert ours.pieces[-1].rounds_ms == (80.0, 120.0, 100.0)
    assert (ours.worst_ms, theirs.worst_ms) == (120.0, 2300.0)


def test_labels_that_would_touch_stand_together_at_the_last_one() -> None:
    ours, theirs = bars(report_of(rounds()), Cause.KILL)
    assert labels(theirs, apart_ms=150) == [(1100, "1,100"), (1300, "1,300"), (2300, "2,300")]
    assert labels(ours, apart_ms=150) == [(100, "50 | 90 | 100")]


def test_the_words_beside_the_plot_are_those_of_the_document() -> None:
    report = report_of(rounds()) | conditions()
    assert title(report) == "After kill -9 a successor acts within 120 ms at worst; with Valkey Sentinel, 1,300 ms"
    assert "3 rounds each" in subtitle(report) and "2 cores" in subtitle(report)
    assert heading(report, Cause.KILL).endswith("13.0 times as long to act, 25.6 times to announce")


def test_every_round_is_drawn_into_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / "rounds.png"
    failover.plot(report_of(rounds()) | conditions(), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 1 << 20


def test_a_place_that_cannot_be_written_costs_no_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    failover.plot(report_of(rounds()) | conditions(), tmp_path / "file" / "rounds.png")
    assert "was not drawn" in capsys.readouterr().err


def test_without_matplotlib_the_plot_is_skipped_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(bench, "plot_failover", raising=False)
    monkeypatch.delitem(sys.modules, "bench.plot_failover", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    failover.plot(report_of(rounds()) | conditions(), tmp_path / "rounds.png")
    assert "was not drawn" in capsys.readouterr().err
    assert not (tmp_path / "rounds.png").exists()
