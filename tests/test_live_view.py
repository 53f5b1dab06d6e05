"""The live view: what it shows, and that it fits whatever the terminal is."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from ha_stress.cli.live import Live, LiveTask
from ha_stress.cli.live_view import live_view, plain_line
from ha_stress.cli.run_session import after_s
from ha_stress.cli.run_summary import summary_of
from ha_stress.cli.sparkline import curve, linear, logarithmic, meter

NOW = 1_700_000_010.0
LATENCY = {"count": 9, "mean_ms": 1, "p50_ms": 0.42, "p90_ms": 2.0, "p99_ms": 31.5, "p999_ms": 40.0, "max_ms": 1204.0}


def found(**changes: Any) -> dict[str, Any]:
    books = dict.fromkeys(("failed", "wrong", "dropped", "uncovered", "late"), 0)
    books |= {"intended": 5000, "started": 4990, "completed": 4980, "balanced": True} | changes.pop("books", {})
    threshold = {"text": "p99<200ms over 10s", "unit": "ms", "observed": 31.5, "ok": True, "abort": False}
    threshold["window"] = {"from_s": 1.0, "to_s": 11.0}
    finding = {"name": "cpu", "ok": True, "sentence": "engines used at most 3% of a core", "about": "generator"}
    return {
        "id": "t-1",
        "name": "GET 127.0.0.1/a",
        "status": "running",
        "wanted": "run",
        "started_at": NOW - 10,
        "plan": [
            {"rate": 500.0, "shares": [{"node": "n1", "lost": True}, {"node": "n2", "lost": False}]},
            {"rate": 500.0, "shares": [{"node": "n2", "lost": False}, {"node": "n3", "lost": False}]},
        ],
        "books": books,
        "statuses": {"200": 4980},
        "failures": {},
        "check_failures": {},
        "latency": {"response": LATENCY, "service": LATENCY},
        "verdict": {
            "passed": True,
            "valid": True,
            "saturated": False,
            "thresholds": [threshold, {**threshold, "text": "failed<1", "unit": "count", "ok": False, "window": None}],
            "validity": [finding],
            "aborted": None,
        },
    } | changes


def task(**changes: Any) -> LiveTask:
    wanted = {"id": "t-1", "url": "http://127.0.0.1/a", "duration_s": 20.0, "users": 0, "profile": None}
    made = LiveTask(wanted=wanted, found=found(**changes))
    made.learn(
        {
            "second": int(NOW) - 10 + number,
            "started": 400 + 10 * number,
            "failed": number == 5,
            "dropped": 0,
            "wrong": 0,
            "workers": {"n2": 200, "n3": 200 + 10 * number},
            "response": {"p50_ms": 0.4, "p99_ms": 1.0 + number},
        }
        for number in range(10)
    )
    return made


def live(*tasks: LiveTask) -> Live:
    made = Live(tasks=tasks, status={"master": {"node": "n1", "acting": True}, "epoch": 2, "nodes": [1, 2, 3]})
    event = {"subject": "n1", "cause": "crash", "epoch": 2, "at_ms": NOW * 1000, "detail": {}}
    names = ("+task", "+odown", "+odown", "+switch-master", "+acting")
    made.hear([event | {"name": name} for name in names])
    return made


def shown(what: Any, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False, color_system=None).print(what)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_all_that_matters_is_seen_at_a_glance() -> None:
    text = "\n".join(shown(live_view(live(task()), NOW, 100, 40), 100))
    for words in (
        "GET 127.0.0.1/a", "running  00:10 / 00:20", "50%", "480/s of 500", "9.0 ms p50 0.40", "4,990", "p99.9", "1,204",
        "✓ p99<200ms over 10s", "✗ failed<1", "lost", "n1 is master, epoch 2, nodes 3", "+switch-master", "+acting",
    ):  # fmt: skip
        assert words in text, words
    assert text.count("+odown") == 1, "two sentinels said it"


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("height", [8, 16, 24, 40, 60])
def test_it_fits_every_terminal(width: int, height: int) -> None:
    busy = task(failures={"timeout": 3, "connect_refused": 7}, check_failures={"status==200": 12, "x" * 200: 1})
    for tasks in ([busy], [busy, task()], [busy] * 6, [LiveTask(wanted=busy.wanted)]):
        lines = shown(live_view(live(*tasks), NOW, width, height), width)
        assert len(lines) < height
        assert max(len(line) for line in lines) <= width


def test_every_one_of_several_tasks_is_seen_or_counted_where_there_is_no_room_for_curves() -> None:
    text = "\n".join(shown(live_view(live(*[task(books={"failed": 7})] * 5), NOW, 80, 24), 80))
    assert text.count("GET 127.0.0.1/a") == 5 and text.count("50%") == 5
    rows = [line.split()[-6:] for line in text.splitlines() if "GET" in line]
    assert rows == [["50%", "480", "500", "0.42", "31.5", "7"]] * 5
    assert "n1 is master" in text
    many = "\n".join(shown(live_view(live(*[task()] * 30), NOW, 80, 24), 80))
    assert many.count("GET 127.0.0.1/a") + 14 == 30 and "and 14 more tasks" in many


def test_the_course_of_a_task_that_has_ended_is_asked_for_once_more_only() -> None:
    one = task()
    assert not one.whole
    one.found = found(status="ended")
    assert not one.whole, "its last seconds may have come since it was asked for"
    one.learn([])
    assert one.whole


def test_before_anything_is_planned_it_says_what_it_waits_for() -> None:
    waiting = LiveTask(wanted=task().wanted)
    assert "waiting for the master" in "\n".join(shown(live_view(live(waiting), NOW, 80, 24), 80))
    assert plain_line(waiting, NOW) == "http://127.0.0.1/a: waiting for the master"


def test_a_line_for_a_log_says_the_same() -> None:
    line = plain_line(task(books={"failed": 3}), NOW)
    assert line == (
        "GET 127.0.0.1/a: 10 of 20 s, 480/s, 4,990 started, p50 0.42 ms, p99 31.5 ms, 3 failed"
    )  # fmt: skip


def test_the_summary_names_what_is_not_well() -> None:
    doubt = {"name": "late", "about": "generator", "ok": False, "sentence": "4,000 arrivals were late"}
    verdict = found()["verdict"] | {"valid": False, "saturated": True, "validity": [doubt]}
    ended = found(status="ended", verdict=verdict, check_failures={"size<5": 4})
    for width in (50, 80, 120):
        lines = shown(summary_of([ended], 8, width), width)
        text = " ".join(" ".join(lines).split())
        assert "✗ late: 4,000 arrivals were late" in text
        assert "Not valid: the generator was saturated" in text
        assert "size<5" in text


def test_the_summary_of_several_tasks_ends_with_a_line_for_each() -> None:
    whole = found(status="ended", books={"completed": 4990, "intended": 4990})["books"]
    verdict = found()["verdict"] | {"thresholds": [], "passed": None}
    good = found(status="ended", name="x" * 150, verdict=verdict, books=whole)
    good |= {"failures": {}, "scenario": None}
    bad = good | {"name": "bad", "books": whole | {"completed": 4980, "failed": 10}}
    lines = shown(summary_of([good, bad], 4, 80), 80)
    rows = [line for line in lines if line.endswith(("passed", "requests failed"))]
    assert [row.split()[1:] for row in rows] == [
        ["4,990", "0", "0.42", "31.5", "passed"],
        ["4,980", "10", "0.42", "31.5", "requests", "failed"],
    ]
    assert max(map(len, lines)) <= 80


def test_what_was_observed_of_a_threshold_is_seen_on_every_screen() -> None:
    for width in (40, 50, 60, 80, 120):
        lines = shown(summary_of([found(status="ended")], 7, width), width)
        line = next(line for line in lines if line.startswith("✓ p99<200ms"))
        assert "31.5 ms" in line and ("from 1 s to 11 s" in line) == (width >= 60)
    assert shown(summary_of([found(status="ended", books={"failed": 3})], 7, 45), 45)[0].split() == [
        "started",
        "completed",
        "failed",
    ]


def test_curves_have_one_character_for_each_value() -> None:
    assert curve(linear([0, 4, 8, None, 2]), 1) == ["▁▄█ ▂"]
    assert curve(linear([8, 4]), 2) == ["█ ", "██"]
    assert curve(linear([5, 5], top=10), 1) == ["▄▄"]
    low, mid, high = logarithmic([1, 10, 100])
    assert low is not None and mid is not None and high == 1.0 and high - mid == pytest.approx(mid - low)
    assert logarithmic([None, None]) == [None, None]
    assert meter(0.5, 4, "green").plain == "━━──"
    assert meter(2.0, 4, "green").plain == "━━━━"


def test_a_run_is_waited_for_as_long_as_setup_and_teardown_may_take() -> None:
    plain = LiveTask(wanted={"timeout_s": 3.0, "scenario": None})
    scenario = LiveTask(wanted={"timeout_s": 3.0, "scenario": {"name": "buy.py"}})
    assert (after_s(plain), after_s(scenario)) == (23.0, 143.0)
