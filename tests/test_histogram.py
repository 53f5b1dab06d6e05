"""The recorder agrees with the library that everybody else reads histograms with."""

from __future__ import annotations

import gc

from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.engines import histogram
from ha_stress.engines.histogram import Recorder
from ha_stress.tasks.buckets import COUNTS_LEN, HIGHEST_US, index_of

WANTED = [50, 90, 99, 99.9, 100]
values = st.one_of(st.integers(0, 5_000), st.integers(0, HIGHEST_US))


def test_our_list_of_counts_is_as_long_as_the_librarys() -> None:
    assert histogram.new_histogram().counts_len == COUNTS_LEN


@given(value=values)
def test_a_value_goes_where_the_library_would_put_it(value: int) -> None:
    assert index_of(value) == histogram.new_histogram().get_counts_array_index(value)


@settings(max_examples=50, deadline=None)
@given(recorded=st.lists(values, min_size=1, max_size=200))
def test_percentiles_equal_those_of_the_library_fed_with_the_same_values(recorded: list[int]) -> None:
    recorder, library = Recorder(), histogram.new_histogram()
    for value in recorded:
        recorder.record(value)
        library.record_value(value)
    blob = recorder.drain()
    assert histogram.percentiles(blob, WANTED) == library.get_percentile_to_value_dict(WANTED)
    said = histogram.summary(blob)
    assert said.count == len(recorded)
    assert said.max_us == library.get_max_value()
    assert said.mean_us == library.get_mean_value()


@settings(max_examples=30, deadline=None)
@given(groups=st.lists(st.lists(values, max_size=30), max_size=5))
def test_merging_blobs_equals_recording_everything_in_one(groups: list[list[int]]) -> None:
    blobs, whole = [], Recorder()
    for group in groups:
        recorder = Recorder()
        for value in group:
            recorder.record(value)
            whole.record(value)
        blobs.append(recorder.drain())
    merged, expected = histogram.merge(blobs), whole.drain()
    assert histogram.percentiles(merged, WANTED) == histogram.percentiles(expected, WANTED)
    assert histogram.summary(merged).count == sum(map(len, groups))


def test_draining_empties_the_recorder() -> None:
    recorder = Recorder()
    assert recorder.drain() == b""
    recorder.record(3)
    assert histogram.summary(recorder.drain()).count == 1
    assert recorder.drain() == b""
    assert not any(recorder.counts)


def test_values_out_of_range_count_as_the_nearest_in_range() -> None:
    recorder = Recorder()
    recorder.record(-5)
    recorder.record(HIGHEST_US * 10)
    said = histogram.summary(recorder.drain())
    assert said.count == 2
    assert said.max_us >= HIGHEST_US


def test_nothing_recorded_reads_as_zeros() -> None:
    assert histogram.merge([b"", b""]) == b""
    assert histogram.percentiles(b"", [50]) == {50: 0}
    assert histogram.summary(b"").count == 0


def test_draining_leaves_nothing_behind_for_a_collector_that_is_off_in_an_engine() -> None:
    recorder = Recorder()
    recorder.record(3)
    recorder.drain()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(50):
            recorder.record(3)
            recorder.drain()
        assert len(gc.get_objects()) < before + 50
    finally:
        gc.enable()
