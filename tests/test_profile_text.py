"""What people write for a profile, what they are told when it cannot be read, and what they are shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import POISSON_SEED_MAX, STAGES_MAX
from ha_stress.base.quantities import duration_text, number_text, parse_duration, parse_rate
from ha_stress.tasks.profile import Profile, Stage, check_profile, flattened, is_flat, rate_at, rate_between
from ha_stress.tasks.profile_text import describe, parse_arrivals, parse_profile


def stage(duration_s: float, begin: float, end: float) -> Stage:
    return Stage(duration_s=duration_s, begin=begin, end=end)


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("constant 1.5k for 1m", [stage(60, 1500, 1500)]),
        ("ramp 0..1000 in 60s", [stage(60, 0, 1000)]),
        ("  RAMP 90/min .. 1k in 1m30s ", [stage(90, 1.5, 1000)]),
        ("stages 100@30s,500@1m,0@30s", [stage(30, 0, 100), stage(60, 100, 500), stage(30, 500, 0)]),
        ("stages from 50 100@30s, 500@1m", [stage(30, 50, 100), stage(60, 100, 500)]),
        ("steps 100, 200,300 every 30s", [stage(30, 100, 100), stage(30, 200, 200), stage(30, 300, 300)]),
    ],
)
def test_stages_are_read_as_people_write_them(text: str, stages: list[Stage]) -> None:
    assert parse_profile(text) == Profile(stages=tuple(stages))


def test_a_sine_goes_up_and_down_between_its_two_rates() -> None:
    sine = parse_profile("sine 100..500 every 60s")
    assert rate_between(sine, 0.0) == (100, 500)
    assert [rate_at(sine, 0.0, t) for t in (0, 15, 30, 45, 60, 615)] == pytest.approx([300, 500, 300, 100, 300, 500])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a profile: write for example"),
        ("sawtooth 1..2", "is not a profile"),
        ("ramp 0..1000", "does not have one word 'in'"),
        ("ramp 1000 in 60s", "does not name two rates"),
        ("ramp 0..fast in 60s", "'fast' is not a rate"),
        ("ramp 0..10 in soon", "'soon' is not a duration"),
        ("ramp 0..10 in 0s", "stage 1 lasts 0 s: at least 0.001"),
        ("ramp 0..1e9 in 1s", "is not a rate"),
        ("ramp 0..20m in 1s", "stage 1 has a rate of 2e+07/s"),
        ("stages 100,200", "'100' is not RATE@TIME"),
        ("stages ", "is not RATE@TIME"),
        ("steps every 30s", "does not have one word 'every'"),
        ("sine 500..100 every 60s", "from a lower rate to a higher one"),
        ("sine 1..5 every 0.01s", "a sine needs a period"),
        ("steps " + ",".join(["1"] * (STAGES_MAX + 1)) + " every 1s", f"at most {STAGES_MAX} stages"),
    ],
)
def test_what_cannot_be_read_is_answered_with_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_profile(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40) | st.from_regex(r"(ramp|stages|steps|sine|constant) [0-9.@, a-z]{0,25}", fullmatch=True))
def test_any_text_is_a_profile_or_a_sentence(text: str) -> None:
    try:
        profile = parse_profile(text)
    except ConfigError:
        return
    assert check_profile(profile, 0.0) is profile


@pytest.mark.parametrize(
    "text",
    [
        "constant 500 for 1m",
        "ramp 0..1000 in 1m30s",
        "stages 100@30s,500@1m,0@30s",
        "stages from 50 100@30s,500@2h",
        "steps 100,200,300 every 0.5s",
        "sine 100..500 every 1m",
    ],
)
def test_a_profile_is_described_as_it_is_written(text: str) -> None:
    assert describe(parse_profile(text), 0.0) == text
    assert describe(replace(parse_profile(text), poisson_seed=3), 0.0) == f"{text}, poisson:3"


def test_what_cannot_be_written_is_described_all_the_same() -> None:
    assert describe(None, 90.0) == "90/s"
    assert describe(None, 1.5e6) == "1500000/s" and describe(None, 2000 / 60) == "33.3333333333/s"
    assert describe(Profile(poisson_seed=1), 90.0) == "90/s, poisson:1"
    assert describe(Profile(sine_amplitude=5, sine_period_s=2), 90.0) == "sine 85..95 every 2s"
    jump = Profile(stages=(stage(1, 0, 10), stage(2, 20, 30)), sine_amplitude=0.0)
    assert describe(jump, 0.0) == "0..10 in 1s; 20..30 in 2s"
    wave = Profile(stages=(stage(1, 10, 20),), sine_amplitude=5, sine_period_s=60)
    assert describe(wave, 0.0) == "ramp 10..20 in 1s, and a sine of 5/s every 1m"


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (Profile(sine_amplitude=200, sine_period_s=60), "above the lowest rate it is added to, 100/s"),
        (Profile(sine_amplitude=50), "needs a period"),
        (Profile(sine_period_s=50), "needs an amplitude"),
        (Profile(sine_amplitude=-1, sine_period_s=60), "needs an amplitude"),
        (Profile(poisson_seed=-1), "seed -1 is out of range"),
        (Profile(poisson_seed=POISSON_SEED_MAX + 1), "is out of range"),
        (Profile(stages=(stage(1, -5, 10),)), "stage 1 has a rate of -5/s"),
        (Profile(stages=(stage(1, 5, float("nan")),)), "stage 1 has a rate of nan/s"),
        (Profile(stages=(stage(float("inf"), 5, 5),)), "stage 1 lasts inf s"),
        (Profile(stages=(stage(1, 5, 5),), sine_amplitude=float("inf"), sine_period_s=1), "needs an amplitude"),
    ],
)
def test_a_profile_that_cannot_be_run_is_refused(profile: Profile, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_profile(profile, 100.0)


def test_arrivals_are_even_or_random_with_a_seed() -> None:
    assert parse_arrivals("uniform", lambda: 7) is None
    assert parse_arrivals("Poisson", lambda: 7) == 7
    assert parse_arrivals("poisson:12", lambda: 7) == 12
    for wrong in ("", "poisson:", "poisson:-1", "poisson:x", "uniform:1", "random", f"poisson:{POISSON_SEED_MAX + 1}"):
        with pytest.raises(ConfigError, match="none of uniform, poisson"):
            parse_arrivals(wrong, lambda: 7)


def test_a_rate_that_is_set_leaves_of_a_profile_only_its_randomness() -> None:
    assert flattened(None) is None
    assert flattened(parse_profile("ramp 0..9 in 1s")) is None
    assert flattened(Profile(sine_amplitude=5, sine_period_s=2, poisson_seed=8)) == Profile(poisson_seed=8)
    assert is_flat(Profile(poisson_seed=8))
    assert not is_flat(parse_profile("ramp 0..9 in 1s"))


@given(st.one_of(st.integers(1, 10**7), st.floats(0.001, 1e6)))
def test_a_duration_is_written_as_it_is_read(seconds: float) -> None:
    assert parse_duration(duration_text(seconds)) == pytest.approx(seconds, rel=1e-9)
    assert duration_text(5400) == "1h30m"


@given(st.floats(0, 1e30))
def test_a_rate_is_written_with_as_many_digits_as_it_is_read_back_by(rate: float) -> None:
    assert parse_rate(number_text(rate)) == rate
    assert (number_text(1.5e6), number_text(1e-5), number_text(0.0)) == ("1500000", "0.00001", "0")
