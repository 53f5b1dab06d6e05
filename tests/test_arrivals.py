"""When the arrivals of a profile happen: exact sums, an inverse that agrees with them, and randomness that is random."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import exp, inf, nextafter, pi, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.tasks.arrivals import arrivals_of
from ha_stress.tasks.exponentials import LEAF, Exponentials
from ha_stress.tasks.profile import Profile, Stage, natural_duration_s, rate_at, rate_between
from ha_stress.tasks.profile_text import parse_profile

rates = st.one_of(st.sampled_from([0.0, 0.0, 0.5, 1.0, 10.0, 100.0, 1e6]), st.floats(1e-3, 1e5))
stages = st.lists(
    st.builds(Stage, duration_s=st.one_of(st.sampled_from([1.0, 30.0]), st.floats(0.01, 1e4)), begin=rates, end=rates),
    max_size=6,
).map(tuple)
lines = st.builds(Profile, stages=stages)


@st.composite
def waves(draw: st.DrawFn) -> Profile:
    """A sine on top of stages that never fall below it."""
    amplitude = draw(st.sampled_from([0.5, 20.0, 3e4]))
    above = st.one_of(st.just(amplitude), st.floats(amplitude, 10 * amplitude))
    one = st.builds(Stage, duration_s=st.floats(0.1, 500), begin=above, end=above)
    chosen = draw(st.lists(one, min_size=1, max_size=4).map(tuple))
    return Profile(stages=chosen, sine_amplitude=amplitude, sine_period_s=draw(st.floats(0.1, 1e3)))


profiles = st.one_of(lines, waves())


@pytest.mark.parametrize(
    ("text", "seconds", "count"),
    [
        ("constant 500 for 20s", 20, 10_000),
        ("ramp 0..1000 in 60s", 60, 30_000),
        ("ramp 1000..0 in 60s", 1e6, 30_000),
        ("stages 100@30s,500@1m,0@30s", 120, 1_500 + 18_000 + 7_500),
        ("stages 100@30s,500@1m,0@30s", 1e9, 27_000),
        ("steps 100,200,300 every 30s", 90, 18_000),
        ("steps 0.1,0.3 every 10s", 20, 4),
        ("sine 100..500 every 60s", 60, 18_000),
        ("sine 100..500 every 60s", 30, 9_000 + round(200 * 60 / pi)),
        ("sine 0..500 every 0.7s", 7, 1_750),
    ],
)
def test_a_profile_has_as_many_arrivals_as_its_area(text: str, seconds: float, count: int) -> None:
    assert arrivals_of(parse_profile(text), 0.0).before(seconds) == count


def test_the_first_arrival_is_due_at_the_beginning_and_the_others_where_the_area_says() -> None:
    ramp = arrivals_of(parse_profile("ramp 0..2 in 10s"), 0.0)  # t * t / 10 arrivals by t
    assert ramp.dues_s([0, 1, 4, 9, 10, 12]) == pytest.approx([0, sqrt(10), sqrt(40), sqrt(90), 10, 11])
    constant = arrivals_of(None, 4.0)
    assert constant.dues_s(range(4)) == [0, 0.25, 0.5, 0.75]


def test_nothing_is_due_where_the_rate_is_zero() -> None:
    paused = arrivals_of(parse_profile("steps 10,0,10 every 1s"), 0.0)
    assert paused.due_s(9) == pytest.approx(0.9)
    assert paused.due_s(10) == 2.0, "it falls on the pause, and so happens at its end"
    assert [paused.before(t) for t in (0.95, 1.0, 1.5, 2.0, 2.05)] == [10, 10, 10, 10, 11]
    over = arrivals_of(parse_profile("ramp 10..0 in 2s"), 0.0)
    assert over.due_s(10) == inf
    assert over.before(1e12) == 10
    assert arrivals_of(None, 0.0).due_s(0) == inf


@given(profile=profiles, rate=rates, number=st.one_of(st.integers(0, 50), st.integers(0, 10**7)))
def test_what_is_before_an_arrival_are_those_of_lower_numbers(profile: Profile, rate: float, number: int) -> None:
    arrivals = arrivals_of(profile, rate)
    due_s = arrivals.due_s(number)
    if due_s == inf:
        assert arrivals.before(1e15) <= number
    else:
        assert arrivals.before(due_s) == number
        assert arrivals.before(due_s * 1.001 + 1e-3) >= number


@given(profile=profiles, rate=rates, seconds=st.floats(0, 2e4))
def test_the_next_arrival_after_a_moment_is_not_before_it(profile: Profile, rate: float, seconds: float) -> None:
    arrivals = arrivals_of(profile, rate)
    count = arrivals.before(seconds)
    highest = max(1.0, rate_between(profile, rate)[1])
    slack = 1e-9 * max(1.0, count) / highest + 1e-9 * max(1.0, seconds)  # rounding counts as none
    assert arrivals.due_s(count) >= seconds - slack or arrivals.expected(seconds) - count < 1e-8 * max(1, count)
    if count:
        assert arrivals.due_s(count - 1) < seconds + slack


@given(profile=profiles, rate=rates, first=st.integers(0, 10**6), step=st.integers(1, 1000))
def test_arrivals_are_in_order_and_the_same_one_by_one(profile: Profile, rate: float, first: int, step: int) -> None:
    arrivals = arrivals_of(profile, rate)
    numbers = range(first, first + 20 * step, step)
    dues = arrivals.dues_s(numbers)
    assert dues == sorted(dues)
    assert dues == pytest.approx([arrivals.due_s(number) for number in numbers], rel=1e-9, abs=1e-9)


@given(profile=profiles, rate=rates, seconds=st.floats(0.1, 1e4))
def test_the_sum_grows_by_the_rate(profile: Profile, rate: float, seconds: float) -> None:
    arrivals, step_s = arrivals_of(profile, rate), 1e-4
    grown = arrivals.expected(seconds + step_s) - arrivals.expected(seconds)
    low, high = rate_between(profile, rate)
    assert (low * (1 - 1e-6) - 1e-6) * step_s - 1e-9 * arrivals.expected(seconds) <= grown
    assert grown <= high * step_s * (1 + 1e-6) + 1e-9 * (1 + arrivals.expected(seconds))
    if all(abs(seconds - edge) > 0.01 for edge in _edges(profile)):
        middle = rate_at(profile, rate, seconds + step_s / 2)
        assert grown == pytest.approx(middle * step_s, rel=1e-3, abs=1e-9 * (1 + arrivals.expected(seconds)))


def _edges(profile: Profile) -> list[float]:
    edges = [0.0]
    for stage in profile.stages:
        edges.append(edges[-1] + stage.duration_s)
    return edges


def test_after_the_last_stage_its_end_goes_on() -> None:
    profile = parse_profile("stages 100@10s,40@10s")
    assert natural_duration_s(profile) == 20
    assert natural_duration_s(parse_profile("sine 1..2 every 5s")) is None
    arrivals = arrivals_of(profile, 7.0)
    assert arrivals.before(1020) - arrivals.before(20) == 40_000
    assert rate_at(profile, 7.0, 1e6) == 40


# --- Poisson ---


def gaps(seed: int, first: int, count: int) -> list[float]:
    sums = Exponentials(seed).sums(range(first, first + count + 1))
    return [after - before for before, after in pairwise(sums)]


@pytest.mark.parametrize("first", [0, 10_000_000_000])
def test_gaps_are_exponential(first: int) -> None:
    """Kolmogorov and Smirnov: the largest distance from the distribution, beyond 1.63 / sqrt(n) once in a hundred."""
    for seed in (1, 2, 3):
        drawn = sorted(gaps(seed, first, 20_000))
        n = len(drawn)
        assert max(abs((i + 0.5) / n - (1 - exp(-gap))) for i, gap in enumerate(drawn)) < 1.63 / sqrt(n) + 1e-4


def test_counts_vary_as_much_as_their_mean_also_across_blocks_of_every_size() -> None:
    for span in (1.0, 100.0, 3 * LEAF, 1e6):
        sequence = Exponentials(9)
        marks = [sequence.below(span * k) for k in range(1, 402)]
        counts = [after - before for before, after in pairwise(marks)]
        mean = sum(counts) / len(counts)
        variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
        assert abs(mean - span) < 5 * sqrt(span / len(counts))
        assert 0.7 < variance / span < 1.35


def test_neighbouring_gaps_have_nothing_to_do_with_each_other() -> None:
    drawn = gaps(5, 0, 40_000)
    lagged = sum((a - 1) * (b - 1) for a, b in pairwise(drawn)) / len(drawn)
    assert abs(lagged) < 4 / sqrt(len(drawn))
    at_edges = [gap for number, gap in enumerate(gaps(5, 0, 200 * LEAF)) if number % LEAF == LEAF - 1]
    assert 0.75 < sum(at_edges) / len(at_edges) < 1.25


def test_all_shares_together_are_the_process_and_each_alone_is_one_of_its_rate() -> None:
    profile = replace(parse_profile("ramp 0..200 in 100s"), poisson_seed=77)
    whole = arrivals_of(profile, 0.0)
    count = whole.before(100)
    assert abs(count - 10_000) < 500
    mine, others = whole.dues_s(range(0, count, 2)), whole.dues_s(range(1, count, 2))
    assert sorted(mine + others) == whole.dues_s(range(count))


@given(seed=st.integers(0, 2**53 - 1), numbers=st.lists(st.integers(0, 10**12), min_size=1, max_size=8, unique=True))
@settings(max_examples=30, deadline=None)
def test_a_sequence_is_the_same_from_wherever_it_is_looked_at(seed: int, numbers: list[int]) -> None:
    wandering = Exponentials(seed)
    for number in numbers:
        (value,) = wandering.sums([number])
        assert Exponentials(seed).sums([number]) == [value]
        assert wandering.below(value) == number
        assert wandering.below(nextafter(value, inf)) == number + 1


def test_a_seed_gives_the_same_arrivals_on_every_machine_and_in_every_version() -> None:
    assert Exponentials(42).sums([0, 1, 255, 256, 1_000_000]) == pytest.approx(FOR_EVER, rel=1e-12)
    assert Exponentials(43).sums([0]) != Exponentials(42).sums([0])


#: Whoever changes these changes every test plan that names a seed.
FOR_EVER = [0.8309929099058773, 0.9214266279003687, 243.9424681151444, 244.3443557348211, 999766.5946500406]


@given(seed=st.integers(0, 100), number=st.integers(0, 10**5), profile=profiles)
@settings(max_examples=60, deadline=None)
def test_cuts_at_random_arrivals_agree_with_them(seed: int, number: int, profile: Profile) -> None:
    arrivals = arrivals_of(replace(profile, poisson_seed=seed), 50.0)
    due_s = arrivals.due_s(number)
    if due_s < inf:
        before = arrivals.before(due_s)
        assert before <= number
        assert before == number or arrivals.due_s(before) >= due_s


def test_a_moment_after_a_long_pause_is_as_exact_as_moments_are() -> None:
    profile = parse_profile("stages 0@1s,1@1s")
    pause = Stage(duration_s=510, begin=0, end=0)
    burst = Stage(duration_s=1, begin=1e6, end=0)
    arrivals = arrivals_of(replace(profile, stages=(*profile.stages, pause, burst)), 0.0)
    assert [arrivals.before(arrivals.due_s(number)) for number in range(100)] == list(range(100))
