"""Two runs compared: chance is not taken for a difference, a difference is found, and its bounds hold the truth."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from math import exp, inf, sqrt
from pathlib import Path
from typing import Any

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.cli.compare_command import parse_margin
from ha_stress.cli.exit_codes import EXIT_REGRESSED
from ha_stress.cli.main import main
from ha_stress.report import statistics as st
from ha_stress.report import write
from ha_stress.report.compare import Comparison, Difference, Result, compare, document_of
from ha_stress.report.run import Run
from tests.report_support import drifting, stretch

SHOWN = (Result.BETTER, Result.WORSE)


def difference(found: Comparison, metric: str) -> Difference:
    return next(one for one in found.differences if one.metric == metric)


# The arithmetic.


@pytest.mark.parametrize(
    ("confidence", "freedom", "t"), [(0.95, 1, 12.706), (0.95, 9, 2.262), (0.99, 5, 4.032), (0.95, 1000, 1.962)]
)
def test_quantiles_of_student_are_those_of_the_tables(confidence: float, freedom: float, t: float) -> None:
    assert st.student_t(confidence, freedom) == pytest.approx(t, rel=1e-3)
    assert st.two_sided(t, freedom) == pytest.approx(1 - confidence, rel=5e-3)


def test_two_counts_are_compared_exactly() -> None:
    assert st.conditional_test(0, 100, 0, 100) == 1.0
    assert st.conditional_test(0, 100, 6, 100) == pytest.approx(2 * 0.5**6)
    assert st.conditional_test(3, 100, 3, 100) == 1.0
    assert st.conditional_test(30, 10, 60, 20) == 1.0  # the same rate over twice the time
    assert st.conditional_test(10, 1000, 40, 1000) < 0.001


def autoregression(rng: random.Random, size: int, rho: float) -> list[float]:
    value, found = rng.gauss(0, 1), []
    for _ in range(size):
        value = rho * value + rng.gauss(0, 1) * sqrt(1 - rho * rho)
        found.append(value)
    return found


@pytest.mark.parametrize(("size", "rho"), [(10, 0.0), (30, 0.0), (60, 0.5), (120, 0.8), (300, 0.9)])
def test_seconds_that_are_alike_are_not_taken_for_independent_ones(size: int, rho: float) -> None:
    rng, wrong, rounds = random.Random(size), 0, 300
    for _ in range(rounds):
        a, b = (st.ratio(autoregression(rng, size, rho), [1.0] * size) for _ in range(2))
        t = st.student_t(0.95, round(st.degrees(a, b), 1))
        wrong += abs(a.value - b.value) > t * sqrt(a.error**2 + b.error**2)
    assert wrong / rounds < 0.09  # 5 % asked for; three standard deviations of this experiment above


def test_a_ratio_weighs_each_second_by_what_happened_in_it() -> None:
    assert st.ratio([1.0, 30.0, 2.0, 3.0], [10.0, 100.0, 10.0, 10.0]).value == pytest.approx(36 / 130)
    assert st.ratio([], []).error == inf
    assert st.ratio([1.0] * 9, [2.0] * 9).error == 0.0


# Runs.


def test_of_equal_runs_about_one_in_twenty_shows_a_difference() -> None:
    rng, rounds = random.Random(7), 20
    runs = [drifting(rng, seconds=20) for _ in range(2 * rounds)]
    shown = [compare(a, b, margin=0.0) for a, b in zip(runs[::2], runs[1::2], strict=True)]
    wrong = sum(any(one.result in SHOWN for one in found.differences) for found in shown)
    assert wrong <= 3  # of 20 at 5 %: more than 3 would happen by chance once in 60 experiments


def test_a_run_that_is_slower_is_found_to_be_and_its_bounds_hold_the_truth() -> None:
    rng, found, held = random.Random(8), 0, 0
    for _ in range(6):
        one = difference(compare(drifting(rng, per_s=80), drifting(rng, per_s=80, factor=1.4)), "response p50")
        found += one.result is Result.WORSE
        held += one.low <= 0.4 <= one.high
    assert found >= 5
    assert held >= 5


def test_the_sentence_says_what_by_how_much_and_that_it_is_no_chance() -> None:
    rng = random.Random(9)
    a, b = drifting(rng), drifting(rng, factor=1.5)
    worse, better = compare(a, b), compare(b, a)
    assert worse.regressed
    assert worse.sentence.startswith("B is worse: ")
    assert difference(worse, "response p90").sentence.endswith(", significant")
    assert not better.regressed
    assert better.sentence.startswith("B is better: ")
    assert difference(worse, "response p50").change == pytest.approx(
        1 / (1 + difference(better, "response p50").change) - 1
    )


def test_what_cannot_be_told_says_how_long_to_measure() -> None:
    rng = random.Random(3)
    one = difference(compare(drifting(rng), drifting(rng, factor=1.05)), "response p50")
    assert one.result is Result.UNKNOWN
    assert one.more_s is not None
    assert one.more_s > 30
    assert "no difference can be shown (needs about" in one.sentence


def test_a_run_is_the_same_as_itself_but_for_what_seconds_differ() -> None:
    run = drifting(random.Random(4))
    found = compare(run, run)
    assert not any(one.result in SHOWN for one in found.differences)
    assert found.sentence == "No difference that matters can be shown."
    assert all(one.change == 0 for one in found.differences)


def test_differences_within_the_margin_do_not_matter() -> None:
    rng = random.Random(5)
    a, b = drifting(rng), drifting(rng, factor=1.5)
    assert compare(a, b, margin=0.2).regressed
    assert not compare(a, b, margin=2.0).regressed


def test_errors_are_found_by_their_number_and_not_by_a_single_burst() -> None:
    rng = random.Random(6)
    steady = drifting(rng, failed=lambda: int(rng.random() < 0.9) * 3)
    none = drifting(rng)
    assert difference(compare(none, steady), "errors").result is Result.WORSE
    bursts: Iterator[int] = iter([0] * 15 + [90] + [0] * 15)
    assert difference(compare(none, drifting(rng, failed=lambda: next(bursts))), "errors").result is Result.UNKNOWN


@pytest.mark.parametrize("seconds", [0, 1, 4])
def test_a_run_of_a_few_seconds_shows_nothing(seconds: int) -> None:
    rng = random.Random(1)
    short = drifting(rng, seconds=seconds)
    found = compare(short, drifting(rng, factor=9.0))
    assert not any(one.result in SHOWN for one in found.differences)
    assert any("whole seconds" in remark for remark in found.remarks)
    assert difference(found, "response p99").sentence == "response p99: too little was measured"
    assert json.loads(json.dumps(document_of(found)))["differences"][0]["high"] is None


def test_what_a_short_run_measured_is_told_in_milliseconds_although_nothing_is_shown() -> None:
    short = drifting(random.Random(1), seconds=4)
    told = {one["metric"]: one["a"] for one in document_of(compare(short, short))["differences"]}
    assert 0.5 < told["response p50"] < told["response mean"] < told["response p90"] < told["response p99"] < 10
    assert told["completed"] == pytest.approx(60)


def test_the_warm_up_and_seconds_that_are_not_whole_do_not_count() -> None:
    run = drifting(random.Random(2), seconds=20)
    slow = [replace(one, response_us=b"", response=None) for one in run.stretches[:6]]
    cold = replace(run, stretches=(*slow, *run.stretches[6:]), task={**run.task, "warm_up_s": 5.5})
    same = replace(run, task={**run.task, "warm_up_s": 5.5})
    assert all(one.change == 0 for one in compare(same, cold).differences)


def test_a_run_in_which_nothing_was_answered_is_worse_and_nothing_is_said_of_its_latencies() -> None:
    good = drifting(random.Random(2), seconds=12)
    dead = tuple(stretch(one.second, [], failed=one.numbers["started"]) for one in good.stretches)
    bad = replace(good, stretches=dead)
    there, back = compare(good, bad), compare(bad, good)
    assert difference(there, "completed").result is Result.WORSE
    assert difference(back, "completed").result is Result.BETTER
    assert "completed -100 %, " in difference(there, "completed").sentence
    assert difference(there, "response p50").sentence == "response p50: too little was measured"
    assert "errors +100 points [100, 100], 0 % to 100 %, significant" in there.sentence
    assert [one.shown(0.0) for one in there.metrics[:4]] == ["-"] * 4
    assert all(one.result is not Result.WORSE for one in compare(bad, bad).differences)


def test_of_a_short_run_the_errors_are_judged_and_nothing_else() -> None:
    good, short = drifting(random.Random(2), seconds=12), drifting(random.Random(3), seconds=3)
    dead = replace(short, stretches=tuple(stretch(one.second, [], failed=60) for one in short.stretches))
    found = compare(good, dead)
    assert found.regressed and found.too_short == "B"
    assert difference(found, "errors").b == 1.0 and difference(found, "errors").result is Result.WORSE
    assert {one.result for one in found.differences if one.metric != "errors"} == {Result.UNKNOWN}
    assert compare(good, short).sentence == "B is too short to be compared."
    assert compare(dead, dead).too_short == "B" and not compare(dead, dead).regressed
    assert difference(compare(good, short), "response p50").b > 0, "figures are known all the same"


def test_a_run_with_a_schedule_and_one_without_are_both_measured_by_the_clock() -> None:
    users = drifting(random.Random(2), seconds=12, per_s=60)
    plan: list[dict[str, Any]] = [{"number": 1, "at_s": 0.0, "rate": 60.0, "limit": None, "why": "", "shares": []}]
    scheduled = replace(users, task={**users.task, "plan": plan, "rate": 60.0})
    found = difference(compare(scheduled, users), "completed")
    assert (found.metric, round(found.a), round(found.b)) == ("completed", 60, 60)


def test_what_makes_two_runs_hard_to_compare_is_said() -> None:
    run = drifting(random.Random(2), seconds=8)
    other = replace(run, task={**run.task, "rate": 200.0, "verdict": {"valid": False}}, failovers=({"epoch": 2},))
    remarks = " ".join(compare(run, other).remarks)
    assert difference(compare(run, other), "completed").change == 0
    for part in ("rate differs: 100 and 200", "B is not a valid run", "B had a failover"):
        assert part in remarks


# The command.


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["compare", *words])
    return int(left.value.code or 0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    rng = random.Random(11)
    runs: dict[str, Run] = {"a": drifting(rng), "b": drifting(rng, factor=exp(0.5))}
    for name, run in runs.items():
        write(run, "json", tmp_path / f"{name}.json")
    return str(tmp_path / "a.json"), str(tmp_path / "b.json")


def test_the_command_compares_files_and_fails_only_if_asked_to(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = files
    assert command(a, b) == 0
    said = capsys.readouterr().out
    assert "response p99" in said
    assert "B is worse" in said
    assert command(a, b, "--fail-on-regression", "--json") == EXIT_REGRESSED
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (document["regressed"], document["exit_code"]) == (True, EXIT_REGRESSED)
    assert {"metric", "a", "b", "change", "low", "high", "p", "result", "sentence"} <= set(document["differences"][0])
    assert command(b, a, "--fail-on-regression") == 0
    assert command(a, b, "--fail-on-regression", "--margin", "500%") == 0


def test_bad_input_of_the_command_is_one_sentence(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command(files[0], "./none.json") == 2
    assert "./none.json: No such file" in capsys.readouterr().err
    for wrong in ("x", "-1%", "nan", "1e9"):
        with pytest.raises(ConfigError, match="--margin"):
            parse_margin(wrong)
    assert (parse_margin("5%"), parse_margin("0.05"), parse_margin(" 0 ")) == (0.05, 0.05, 0.0)
