"""Distributions say what the histogram library says, only faster."""

from __future__ import annotations

import math
import random

from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.engines.histogram import Recorder
from ha_stress.tasks.buckets import HIGHEST_US, highest_of, index_of, lowest_of
from ha_stress.tasks.distribution import EMPTY, Sum, distribution

VALUES = st.lists(st.integers(min_value=0, max_value=HIGHEST_US), min_size=1, max_size=200)


def recorded(values: list[int]) -> bytes:
    recorder = Recorder()
    for value in values:
        recorder.record(value)
    return recorder.drain()


@settings(max_examples=30)
@given(VALUES)
def test_percentiles_are_those_of_the_library(values: list[int]) -> None:
    blob = recorded(values)
    library, ours = HdrHistogram.decode(blob), distribution([blob])
    for percentile in (0, 1, 25, 50, 90, 99, 99.9, 100):
        assert ours.at(percentile) == library.get_value_at_percentile(percentile)
    assert ours.total == library.get_total_count()
    assert ours.min_us == library.get_min_value()


@settings(max_examples=30)
@given(VALUES, VALUES)
def test_a_sum_holds_every_value_of_its_parts(some: list[int], more: list[int]) -> None:
    assert distribution([recorded(some), b"", recorded(more)]).counts == distribution([recorded(some + more)]).counts


@settings(max_examples=30)
@given(VALUES, VALUES)
def test_a_sum_is_written_as_the_library_reads_it_as_often_as_it_is_asked(some: list[int], more: list[int]) -> None:
    total, library = Sum(), HdrHistogram.decode(recorded(some))
    for values in (some, more):
        total.add(recorded(values))
        read = HdrHistogram.decode(total.encode())
        assert distribution([total.encode()]) == total.distribution()
    library.add(HdrHistogram.decode(recorded(more)))
    assert (read.get_total_count(), read.get_max_value()) == (library.get_total_count(), library.get_max_value())
    assert read.get_percentile_to_value_dict([0, 50, 100]) == library.get_percentile_to_value_dict([0, 50, 100])


@settings(max_examples=30)
@given(VALUES)
def test_the_mean_is_that_of_the_middles_of_the_classes(values: list[int]) -> None:
    classes = [index_of(value) for value in values]
    middles = sum((lowest_of(one) + highest_of(one)) / 2 for one in classes)
    assert math.isclose(distribution([recorded(values)]).mean_us, middles / len(values))


@settings(max_examples=30)
@given(VALUES, st.integers(min_value=0, max_value=HIGHEST_US))
def test_how_many_values_lie_at_or_below_one(values: list[int], limit: int) -> None:
    assert distribution([recorded(values)]).at_most(limit) == sum(
        index_of(value) <= index_of(limit) for value in values
    )


def test_every_index_covers_the_values_between_its_neighbours() -> None:
    for index in range(index_of(HIGHEST_US)):  # what is above counts as this
        assert lowest_of(index + 1) == highest_of(index) + 1
        assert index_of(lowest_of(index)) == index_of(highest_of(index)) == index


def test_mean_and_deviation_are_near_those_of_the_values() -> None:
    rng = random.Random(1)
    values = [rng.randrange(1, 1_000_000) for _ in range(2_000)]
    found = distribution([recorded(values)])
    mean = sum(values) / len(values)
    assert abs(found.mean_us - mean) < 0.001 * mean
    deviation = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    assert abs(found.deviation_us - deviation) < 0.001 * deviation


def test_of_nothing_there_is_nothing() -> None:
    assert distribution([]) == distribution([b"", b""]) == EMPTY
    assert (EMPTY.total, EMPTY.at(50), EMPTY.max_us, EMPTY.min_us, EMPTY.mean_us, EMPTY.at_most(5)) == (
        0,
        0,
        0,
        0,
        0.0,
        0,
    )
    assert Sum().encode() == b""


def test_what_is_no_histogram_is_left_out_and_counted() -> None:
    total = Sum()
    total.add(b"no histogram")
    total.add(recorded([7]))
    assert (total.unreadable, total.distribution().total) == (1, 1)
