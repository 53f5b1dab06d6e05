"""Thresholds: how they are written, and what they say of a run and of every stretch of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.base.errors import ConfigError
from ha_stress.engines.histogram import Recorder
from ha_stress.tasks.buckets import index_of
from ha_stress.tasks.course import Course
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.judging import (
    Observed,
    Second,
    Stretch,
    Totals,
    counts_of,
    figure,
    judge,
    measured_s,
    statistic,
    stretch_of,
    worst,
)
from ha_stress.tasks.ledger import Counters
from ha_stress.tasks.thresholds import Threshold, Unit, parse_threshold, unit_of

ALWAYS = Stretch(begin=1, full=(1, None))


def counts(*values_ms: float) -> dict[int, int]:
    found: dict[int, int] = {}
    for value in values_ms:
        index = index_of(round(value * 1000))
        found[index] = found.get(index, 0) + 1
    return found


def second(label: int, *values_ms: float, **numbers: Any) -> Second:
    counters = Counters(started=len(values_ms), completed=len(values_ms), intended=len(values_ms))
    return Second(label=label, counters=replace(counters, **numbers), response=counts(*values_ms).items())


def seconds(*some: Second) -> Mapping[int, Second]:
    return {one.label: one for one in some}


def windows(
    threshold: Threshold, course: Mapping[int, Second], stretch: Stretch, ends: tuple[int, int]
) -> list[Observed]:
    """Every window that ends with a label from ends[0] to ends[1]."""
    whole = Course(thresholds=(threshold,), until=ends[0] - 1)
    return whole.see(course.values(), stretch, newest=ends[1], final=True)[threshold.text]


@pytest.mark.parametrize(
    ("text", "metric", "operator", "value", "unit"),
    [
        ("p99<200ms", "p99", "<", 200.0, Unit.MS),
        ("p99 < 200", "p99", "<", 200.0, Unit.MS),
        ("P99.9 <= 1.5s", "p99.9", "<=", 1500.0, Unit.MS),
        ("p95(service)<50ms", "p95(service)", "<", 50.0, Unit.MS),
        ("median<800us", "median", "<", 0.8, Unit.MS),
        ("mean < 3ms", "mean", "<", 3.0, Unit.MS),
        ("max<1s", "max", "<", 1000.0, Unit.MS),
        ("error_rate<1%", "error_rate", "<", 0.01, Unit.SHARE),
        ("error_rate <= 0.005", "error_rate", "<=", 0.005, Unit.SHARE),
        ("failed<10", "failed", "<", 10.0, Unit.COUNT),
        ("dropped==0", "dropped", "==", 0.0, Unit.COUNT),
        ("uncovered == 0", "uncovered", "==", 0.0, Unit.COUNT),
        ("completed >= 10k", "completed", ">=", 10_000.0, Unit.COUNT),
        ("rate>=990", "rate", ">=", 990.0, Unit.PER_S),
        ("rate >= 1.5k/s", "rate", ">=", 1500.0, Unit.PER_S),
    ],
)
def test_a_threshold_says_metric_and_limit(text: str, metric: str, operator: str, value: float, unit: Unit) -> None:
    found = parse_threshold(text)
    assert found.value == pytest.approx(value)
    assert found == Threshold(text=text, metric=metric, operator=operator, value=found.value)
    assert unit_of(metric) is unit


def test_options_may_come_in_any_order() -> None:
    for text in ("p99<200ms over 10s abort after 30s", "p99 < 200ms  after 30s over 10s abort"):
        found = parse_threshold(text)
        assert (found.window_s, found.abort, found.after_s) == (10.0, True, 30.0)
    assert parse_threshold("failed<1 abort after 1m").after_s == 60.0
    assert parse_threshold("failed<1 over 1m30s").window_s == 90.0
    assert not parse_threshold("failed<1 over 5s").abort


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not of the form"),
        ("fast", "not of the form"),
        ("p99 200ms", "not of the form"),
        ("latency<3ms", "no metric"),
        ("p101<3ms", "no metric"),
        ("p99(client)<3ms", "no metric"),
        ("p99<soon", "not a value"),
        ("p99<3%", "not a value"),
        ("p99<-3ms", "not a value"),
        ("failed<3ms", "not a value"),
        ("error_rate<1", "percent"),
        ("error_rate<120%", "percent"),
        ("rate>=fast", "not a value"),
        ("p99<3ms over", "not understood"),
        ("p99<3ms over soon", "not a duration"),
        ("p99<3ms over \u0663s", "not a duration"),
        ("p99<3ms abort after 1e9", "not a duration"),
        ("p99<\u0663ms", "not a value"),
        ("p99<3ms over 0s", "whole number of seconds"),
        ("p99<3ms over 2.5s", "whole number of seconds"),
        ("p99<3ms over 2h", "whole number of seconds"),
        ("uncovered==0 over 10s", "whole run only"),
        ("p99<3ms abort abort", "said twice"),
        ("p99<3ms after 3s", "needs 'abort'"),
        ("p99<3ms quickly", "not understood"),
        ("completed>=100 abort", "cannot abort"),
        ("dropped!=1 abort", "cannot abort"),
        ("p99<3ms\nabort", "one line"),
    ],
)
def test_a_bad_threshold_is_refused_in_one_sentence_with_an_example(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_threshold(text)
    assert "\n" not in str(caught.value)


@given(st.lists(st.integers(0, 3_000_000), min_size=1, max_size=200), st.sampled_from([0, 1, 50, 90, 99, 99.9, 100]))
def test_percentiles_are_those_of_the_merged_histogram(values_us: list[int], percent: float) -> None:
    recorder = Recorder()
    for value in values_us:
        recorder.record(value)
    merged = distribution([recorder.drain()])
    assert statistic(f"p{percent:g}", counts_of(merged)) == merged.at(percent) / 1000
    assert statistic("max", counts_of(merged)) == merged.max_us / 1000
    assert statistic("min", counts_of(merged)) == merged.min_us / 1000
    assert statistic("mean", counts_of(merged)) == pytest.approx(merged.mean_us / 1000)


def test_the_whole_run_is_judged_by_its_totals() -> None:
    totals = Totals(
        counters=Counters(
            intended=90, started=88, completed=80, dropped=2, late=4, wrong=3, failed={"timeout": 5, "reset": 3}
        ),
        uncovered=10,
        measured_s=4.0,
        response=counts(1, 2, 3, 4),
        service=counts(0.5),
    )
    for metric, value in {
        "failed": 8, "wrong": 3, "dropped": 2, "uncovered": 10, "intended": 100, "started": 88, "late": 4, "rate": 22.0,
        "error_rate": 0.23, "median": 2.0, "p50(service)": 0.5, "mean": 2.5,
    }.items():  # fmt: skip
        assert figure(metric, totals) == pytest.approx(value, rel=1e-3), metric
    judged = judge([parse_threshold("failed<8"), parse_threshold("p99<5ms")], totals, {}, final=False)
    assert [one.ok for one in judged] == [False, True]


def test_what_was_never_measured_is_open_while_it_runs_and_broken_at_the_end() -> None:
    nothing = Totals(counters=Counters(), uncovered=0, measured_s=0.0)
    thresholds = [parse_threshold(text) for text in ("p99<5ms", "error_rate<1%", "rate>=1", "failed<1")]
    assert [one.ok for one in judge(thresholds, nothing, {}, final=False)] == [None, None, None, True]
    assert [one.ok for one in judge(thresholds, nothing, {}, final=True)] == [False, False, False, True]


def test_every_stretch_of_a_sliding_threshold_is_looked_at() -> None:
    threshold = parse_threshold("p100<5ms over 2s")
    course = seconds(second(1, 1), second(2, 1), second(3, 9), second(4, 1), second(5, 1))
    found = windows(threshold, course, ALWAYS, (1, 5))
    assert [(one.first, one.last) for one in found] == [(1, 2), (2, 3), (3, 4), (4, 5)]
    assert [round(one.value or 0) for one in found] == [1, 9, 9, 1]
    bad = worst(threshold, found)
    assert bad is not None and (bad.first, bad.last) == (2, 3)


def test_percentiles_of_a_window_are_those_of_all_its_responses() -> None:
    # 1 slow of 4 in one second, 0 of 96 in the other: p99 of the window is slow, p95 is not; a mean would say neither.
    course = seconds(second(1, *[1] * 96), second(2, 1, 1, 1, 100))
    for text, value in (("p95<5ms over 2s", 1), ("p100<5ms over 2s", 100)):
        (only,) = windows(parse_threshold(text), course, ALWAYS, (1, 2))
        assert only.value == pytest.approx(value, rel=1e-3)


def test_a_rate_is_asked_of_whole_seconds_only() -> None:
    threshold = parse_threshold("rate>=10 over 2s")
    stretch = stretch_of(1000.5, 4.0, 0.0)
    assert stretch == Stretch(begin=1001, full=(1002, 1004))
    course = seconds(*(second(label, *[1] * count) for label, count in ((1001, 5), (1002, 10), (1004, 10), (1005, 5))))
    found = windows(threshold, course, stretch, (1000, 1009))
    assert [(one.first, one.last, one.value) for one in found] == [(1002, 1003, 5.0), (1003, 1004, 5.0)]


def test_a_count_with_a_least_value_is_asked_of_whole_seconds_only_and_one_with_a_greatest_of_all() -> None:
    stretch = stretch_of(1000.5, 4.0, 0.0)
    course = seconds(*(second(label, *[1] * count) for label, count in ((1001, 5), (1002, 10), (1003, 10), (1004, 10))))
    for text, ends in (("completed>=10 over 1s", [1002, 1003, 1004]), ("failed<1 over 1s", list(range(1001, 1010)))):
        found = windows(parse_threshold(text), course, stretch, (1000, 1009))
        assert [one.last for one in found] == ends


def test_a_second_of_silence_counts_for_rates_and_not_for_latencies() -> None:
    course = seconds(second(1, 1), second(4, 1))
    assert [one.value for one in windows(parse_threshold("rate>=1 over 1s"), course, ALWAYS, (1, 4))] == [1, 0, 0, 1]
    latencies = windows(parse_threshold("max<1s over 1s"), course, ALWAYS, (1, 4))
    assert [one.value is None for one in latencies] == [False, True, True, False]
    assert worst(parse_threshold("max<1s over 1s"), latencies[1:3]) is None


def test_errors_of_a_window_are_a_part_of_what_ended_in_it() -> None:
    course = seconds(second(1, 1, 1, dropped=1, wrong=1, failed={"timeout": 1}))
    (only,) = windows(parse_threshold("error_rate<1% over 1s"), course, ALWAYS, (1, 1))
    assert only.value == pytest.approx(3 / 4)


def test_the_worst_is_the_farthest_from_passing() -> None:
    some = [Observed(value=value, first=number, last=number) for number, value in enumerate((5.0, 2.0, 9.0))]
    for text, value in (("p99<5ms over 1s", 9.0), ("rate>=5 over 1s", 2.0), ("failed==4 over 1s", 9.0)):
        found = worst(parse_threshold(text), some)
        assert found is not None and found.value == value


def test_a_run_that_is_shorter_than_the_window_is_one_window() -> None:
    totals = Totals(counters=Counters(started=3, completed=3), uncovered=0, measured_s=3.0, response=counts(7, 7, 7))
    (judged,) = judge([parse_threshold("p99<5ms over 60s")], totals, {}, final=True)
    assert judged.ok is False and judged.window is None
    assert judged.observed == pytest.approx(7, rel=1e-3)


def test_the_warm_up_does_not_count() -> None:
    stretch = stretch_of(1000.25, 60.0, 5.0)
    assert stretch.begin == 1006  # the second from 1005 to 1006 is the first one that has something behind 1005.25
    assert stretch.full[0] == 1007  # and the next one has nothing else
    course = seconds(second(1004, 900), second(1005, 900), *(second(label, 1) for label in range(1006, 1009)))
    found = windows(parse_threshold("max<5ms over 2s"), course, stretch, (1000, 1008))
    assert [(one.first, one.last) for one in found] == [(1006, 1007), (1007, 1008)]
    assert measured_s(1000.25, 60.0, 5.0, 1016) == 10.75
    assert measured_s(1000.0, 60.0, 0.0, 2000) == 60.0
    assert measured_s(1000.0, None, 0.0, 1010) == 10.0
