"""Sliding thresholds: windows that move on say what windows that are added up anew would say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.tasks.course import LATE_S, Course, course_of, stored_of
from ha_stress.tasks.judging import Observed, Second, Stretch, statistic, worst
from ha_stress.tasks.ledger import Counters, add
from ha_stress.tasks.thresholds import Threshold, parse_threshold

THRESHOLDS = tuple(
    parse_threshold(text)
    for text in (
        "p90<5ms over 3s",
        "p90<9ms over 3s",
        "max(service)<5ms over 7s",
        "mean<5ms over 1s",
        "error_rate<10% over 3s",
        "rate>=2 over 2s",
        "failed<1 over 7s",
        "intended>=1 over 3s",
        "retried<2 over 1s",
    )
)


@st.composite
def seconds(draw: st.DrawFn) -> list[Second]:
    """A run of up to 40 seconds, some of which were silent."""
    number = st.integers(0, 4)
    latencies = st.dictionaries(st.integers(0, 9_000), st.integers(1, 3), max_size=4)
    return [
        Second(
            label=label,
            counters=Counters(
                started=draw(number),
                completed=draw(number),
                wrong=draw(number),
                dropped=draw(number),
                retried=draw(number),
                failed={"reset": draw(number)},
            ),
            response=draw(latencies).items(),
            service=draw(latencies).items(),
        )
        for label in range(101, draw(st.integers(102, 140)))
        if draw(st.integers(0, 5))
    ]


def added_up(threshold: Threshold, course: Iterable[Second], stretch: Stretch, last: int) -> list[Observed]:
    """Every window, each by itself."""
    width = int(threshold.window_s or 0)
    begin, until = stretch.full if threshold.metric in ("rate", "intended") else (stretch.begin, None)
    found = []
    for end in range(begin + width - 1, min(last, until or last) + 1):
        some = [second for second in course if end - width < second.label <= end]
        total, metric = add(second.counters for second in some), threshold.metric
        ended = total.completed + total.failed_total + total.dropped
        value = {
            "p90": statistic("p90", sum((Counter(dict(second.response)) for second in some), Counter())),
            "mean": statistic("mean", sum((Counter(dict(second.response)) for second in some), Counter())),
            "max(service)": statistic("max", sum((Counter(dict(second.service)) for second in some), Counter())),
            "error_rate": (total.failed_total + total.wrong + total.dropped) / ended if ended else None,
            "rate": total.started / width,
            "failed": float(total.failed_total),
            "intended": float(total.started + total.dropped),
            "retried": float(total.retried),
        }[metric]
        found.append(Observed(value=value, first=end - width + 1, last=end))
    return found


@settings(max_examples=25, deadline=None)
@given(seconds(), st.lists(st.integers(1, 12), max_size=12), st.integers(101, 110), st.sampled_from([None, 120]))
def test_the_worst_window_is_found_however_often_one_looks_and_whoever_goes_on(
    course: list[Second], steps: list[int], begin: int, until: int | None
) -> None:
    stretch = Stretch(begin=begin, full=(begin + 1, until))
    one, newest = course_of(THRESHOLDS, begin, {}), 101
    for number, step in enumerate(steps):
        newest = min(newest + step, 140)
        if number == 4:  # the next master
            one = course_of(THRESHOLDS, begin, stored_of(one))
        read = [second for second in course if one.wanted() <= second.label <= newest]
        recent = one.see(read, stretch, newest=newest)
        for threshold in THRESHOLDS:
            every = added_up(threshold, course, stretch, newest - 1)
            assert recent[threshold.text] == every[len(every) - len(recent[threshold.text]) :]
        assert len(one.seconds) <= one.width + LATE_S + step + 1, "only what is still wanted is kept"
    one.see([second for second in course if second.label >= one.wanted()], stretch, newest=140, final=True)
    for threshold in THRESHOLDS:
        assert one.worst.get(threshold.text) == worst(threshold, added_up(threshold, course, stretch, 140))


def test_a_frame_that_comes_after_its_second_was_settled_is_not_seen_again_and_breaks_nothing() -> None:
    """Not even when nothing else has come since."""
    one = Course(thresholds=(parse_threshold("failed<1 over 2s"),), until=100)
    stretch = Stretch(begin=101, full=(101, None))
    one.see([Second(label=101, counters=Counters())], stretch, newest=120)
    assert one.wanted() == one.until + 1
    one.see([Second(label=121, counters=Counters(failed={"reset": 1}))], stretch, newest=130)
    assert one.worst["failed<1 over 2s"] == Observed(value=1.0, first=120, last=121)


def test_the_same_threshold_twice_is_one() -> None:
    twice = course_of([parse_threshold("failed<1 over 1s")] * 2, 101, {})
    seen = twice.see([Second(label=101, counters=Counters())], Stretch(begin=101, full=(101, None)), newest=102)
    assert len(seen["failed<1 over 1s"]) == 1
