"""The shape of an arrival rate over time, as data. What follows from it is in `arrivals`, how people write it in
`profile_text`."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin
from typing import Final

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import DURATION_S_MAX, DURATION_S_MIN, POISSON_SEED_MAX, RATE_MAX, RATE_MIN, STAGES_MAX

#: A faster sine is not a profile but a kind of jitter.
SINE_PERIOD_S_MIN: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch in which the rate goes in a straight line from `begin` to `end`, both in arrivals per second."""

    duration_s: float
    begin: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a task's rate differs from a constant one.

    `stages` follow each other from the start of the task; after the last one its end goes on. Without stages the rate is
    the task's own. A sine of `sine_amplitude` arrivals per second and `sine_period_s` is added to it. With a `poisson_seed`
    the distances between arrivals are exponential, always the same for the same seed; without one they are even.
    """

    stages: tuple[Stage, ...] = ()
    sine_amplitude: float = 0.0
    sine_period_s: float = 0.0
    poisson_seed: int | None = None


def is_flat(profile: Profile | None) -> bool:
    """Whether the rate stays where it is; arrivals may still be random."""
    return profile is None or not (profile.stages or profile.sine_amplitude)


def flattened(profile: Profile | None) -> Profile | None:
    """What is left of a profile when the operator sets a rate while the task runs: how arrivals are distributed."""
    if profile is None or profile.poisson_seed is None:
        return None
    return Profile(poisson_seed=profile.poisson_seed)


def rate_at(profile: Profile | None, rate: float, seconds: float) -> float:
    """Arrivals per second at `seconds` after the beginning of the profile; `rate` is the task's own."""
    if profile is None:
        return rate
    wave = 0.0
    if profile.sine_amplitude:
        wave = profile.sine_amplitude * sin(2 * pi * (seconds % profile.sine_period_s) / profile.sine_period_s)
    begin_s = 0.0
    for stage in profile.stages:
        if seconds < begin_s + stage.duration_s:
            return stage.begin + (stage.end - stage.begin) * max(0.0, seconds - begin_s) / stage.duration_s + wave
        begin_s += stage.duration_s
    return (profile.stages[-1].end if profile.stages else rate) + wave


def rate_between(profile: Profile | None, rate: float) -> tuple[float, float]:
    """The lowest and the highest rate that ever occurs."""
    if profile is None:
        return rate, rate
    rates = [one for stage in profile.stages for one in (stage.begin, stage.end)] or [rate]
    return min(rates) - profile.sine_amplitude, max(rates) + profile.sine_amplitude


def natural_duration_s(profile: Profile | None) -> float | None:
    """How long the stages last together; None without stages and with a sine, which have no end of their own."""
    if profile is None or not profile.stages or profile.sine_amplitude:
        return None
    return sum(stage.duration_s for stage in profile.stages)


def check_profile(profile: Profile | None, rate: float) -> Profile | None:
    """Return `profile` if it can be run; raise ConfigError with one sentence otherwise."""
    if profile is None:
        return None
    if len(profile.stages) > STAGES_MAX:
        raise ConfigError(f"a profile has at most {STAGES_MAX} stages, not {len(profile.stages)}")
    for number, stage in enumerate(profile.stages, 1):
        if not DURATION_S_MIN <= stage.duration_s <= DURATION_S_MAX:
            raise ConfigError(
                f"stage {number} lasts {stage.duration_s:g} s: at least {DURATION_S_MIN:g}, up to {DURATION_S_MAX:g}"
            )
        for one in (stage.begin, stage.end):
            if not (one == 0 or RATE_MIN <= one <= RATE_MAX):
                raise ConfigError(f"stage {number} has a rate of {one:g}/s: 0, or {RATE_MIN:g} to {RATE_MAX:g}")
    _check_sine(profile, rate)
    seed = profile.poisson_seed
    if seed is not None and not 0 <= seed <= POISSON_SEED_MAX:
        raise ConfigError(f"poisson seed {seed} is out of range: 0 to {POISSON_SEED_MAX}")
    return profile


def _check_sine(profile: Profile, rate: float) -> None:
    amplitude, period_s = profile.sine_amplitude, profile.sine_period_s
    if not amplitude and not period_s:
        return
    if not RATE_MIN <= amplitude <= RATE_MAX:
        raise ConfigError(f"a sine needs an amplitude of {RATE_MIN:g} to {RATE_MAX:g} per second, not {amplitude:g}")
    if not SINE_PERIOD_S_MIN <= period_s <= DURATION_S_MAX:
        raise ConfigError(f"a sine needs a period of {SINE_PERIOD_S_MIN:g} to {DURATION_S_MAX:g} s, not {period_s:g}")
    lowest, highest = rate_between(profile, rate)
    if lowest < 0:
        raise ConfigError(
            f"the sine's amplitude of {amplitude:g}/s is above the lowest rate it is added to, {lowest + amplitude:g}/s"
        )
    if highest > RATE_MAX:
        raise ConfigError(f"the sine reaches {highest:g} requests per second: at most {RATE_MAX:g}")
