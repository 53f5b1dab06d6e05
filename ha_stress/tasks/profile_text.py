"""Profiles as people write them, and back. Pure; a ConfigError is one sentence with an example.

    constant 500 for 1m                    the same rate
    ramp 0..1000 in 60s                    in a straight line; afterwards the end goes on
    stages 100@30s,500@1m,0@30s            in straight lines to each rate within its time. The first line begins at 0,
    stages from 50 100@30s,500@1m          or at the rate after `from`
    steps 100,200,300 every 30s            from one rate to the next at once
    sine 100..500 every 60s                up and down between them; it begins in the middle, and goes up

A rate is written as everywhere: 500, 1.5k, 90/min; a time as 30s, 1m30s, 500ms.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import POISSON_SEED_MAX
from ha_stress.base.quantities import duration_text, number_text, parse_duration, parse_rate
from ha_stress.tasks.profile import Profile, Stage, check_profile

#: What a profile may be, for messages.
EXAMPLES: Final = (
    "constant 500 for 1m; ramp 0..1000 in 60s; stages 100@30s,500@1m,0@30s; steps 100,200,300 every 30s; "
    "sine 100..500 every 60s"
)


def parse_profile(text: str) -> Profile:
    """The profile that `text` describes. It stands for itself: the task's own rate does not count under it."""
    kind, _, rest = text.strip().partition(" ")
    read = _KINDS.get(kind.lower())
    if read is None:
        raise ConfigError(f"{text!r} is not a profile: write for example {EXAMPLES}")
    try:
        profile = read(rest.strip())
        check_profile(profile, 0.0)
    except ConfigError as error:
        raise ConfigError(f"profile {text!r}: {error}") from None
    return profile


def parse_arrivals(text: str, draw_seed: Callable[[], int]) -> int | None:
    """The seed of `poisson` or `poisson:SEED`, None for `uniform`. `draw_seed` gives one where none is written."""
    kind, colon, number = text.strip().lower().partition(":")
    if kind == "uniform" and not colon:
        return None
    if kind == "poisson" and not colon:
        return draw_seed()
    if kind == "poisson" and number.isascii() and number.isdigit() and int(number) <= POISSON_SEED_MAX:
        return int(number)
    raise ConfigError(f"{text!r} is none of uniform, poisson, poisson:SEED (a number up to {POISSON_SEED_MAX})")


def describe(profile: Profile | None, rate: float) -> str:
    """One line for people. What `parse_profile` understands is written as it understands it."""
    words = _shape(profile, rate)
    seed = None if profile is None else profile.poisson_seed
    return words if seed is None else f"{words}, poisson:{seed}"


def _shape(profile: Profile | None, rate: float) -> str:
    if profile is None or not (profile.stages or profile.sine_amplitude):
        return f"{_rounded(rate)}/s"
    stages, amplitude, every = profile.stages, profile.sine_amplitude, duration_text(profile.sine_period_s)
    middle = stages[0].begin if stages else rate
    if amplitude and all(stage.begin == stage.end == middle for stage in stages):
        return f"sine {_rounded(middle - amplitude)}..{_rounded(middle + amplitude)} every {every}"
    wave = f", and a sine of {_rounded(amplitude)}/s every {every}" if amplitude else ""
    return _lines(stages) + wave


def _rounded(rate: float) -> str:
    """Without what a difference of two numbers leaves behind."""
    return number_text(float(f"{rate:.12g}"))


def _lines(stages: tuple[Stage, ...]) -> str:
    first = stages[0]
    rates = [(number_text(stage.begin), number_text(stage.end)) for stage in stages]
    lasts = [duration_text(stage.duration_s) for stage in stages]
    if len(stages) == 1:
        ((begin, end),) = rates
        return f"constant {end} for {lasts[0]}" if begin == end else f"ramp {begin}..{end} in {lasts[0]}"
    if all(stage.begin == stage.end and stage.duration_s == first.duration_s for stage in stages):
        return f"steps {','.join(end for _, end in rates)} every {lasts[0]}"
    if all(after.begin == before.end for before, after in pairwise(stages)):
        begin = f"from {rates[0][0]} " if first.begin else ""
        return f"stages {begin}" + ",".join(f"{end}@{last}" for (_, end), last in zip(rates, lasts, strict=True))
    return "; ".join(f"{begin}..{end} in {last}" for (begin, end), last in zip(rates, lasts, strict=True))


def _constant(text: str) -> Profile:
    rate, lasts = _split(text, "for", "constant 500 for 1m")
    return Profile(stages=(Stage(duration_s=parse_duration(lasts), begin=parse_rate(rate), end=parse_rate(rate)),))


def _ramp(text: str) -> Profile:
    rates, lasts = _split(text, "in", "ramp 0..1000 in 60s")
    begin, end = _between(rates, "ramp 0..1000 in 60s")
    return Profile(stages=(Stage(duration_s=parse_duration(lasts), begin=begin, end=end),))


def _stages(text: str) -> Profile:
    before, stages = 0.0, []
    if text.lower().startswith("from "):
        begin, _, text = text[len("from ") :].strip().partition(" ")
        before = parse_rate(begin)
    for piece in text.split(","):
        rate, at, lasts = piece.partition("@")
        if not at:
            raise ConfigError(f"{piece.strip()!r} is not RATE@TIME: write for example stages 100@30s,500@1m,0@30s")
        target = parse_rate(rate)
        stages.append(Stage(duration_s=parse_duration(lasts), begin=before, end=target))
        before = target
    return Profile(stages=tuple(stages))


def _steps(text: str) -> Profile:
    rates, lasts = _split(text, "every", "steps 100,200,300 every 30s")
    every_s = parse_duration(lasts)
    steps = [parse_rate(rate) for rate in rates.split(",")]
    return Profile(stages=tuple(Stage(duration_s=every_s, begin=rate, end=rate) for rate in steps))


def _sine(text: str) -> Profile:
    rates, lasts = _split(text, "every", "sine 100..500 every 60s")
    low, high = _between(rates, "sine 100..500 every 60s")
    if not low < high:
        raise ConfigError(f"a sine goes from a lower rate to a higher one, not from {low:g} to {high:g}")
    period_s, middle = parse_duration(lasts), (low + high) / 2
    around = Stage(duration_s=period_s, begin=middle, end=middle)  # its end goes on for ever
    return Profile(stages=(around,), sine_amplitude=middle - low, sine_period_s=period_s)


def _split(text: str, word: str, example: str) -> tuple[str, str]:
    parts = re.split(rf"\s+{word}\s+", text, flags=re.IGNORECASE)
    if len(parts) != 2:
        raise ConfigError(f"it does not have one word {word!r} in it: write for example {example}")
    return parts[0], parts[1]


def _between(text: str, example: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    if not dots:
        raise ConfigError(f"{text!r} does not name two rates: write for example {example}")
    return parse_rate(low), parse_rate(high)


_KINDS: Final[dict[str, Callable[[str], Profile]]] = {
    "constant": _constant,
    "ramp": _ramp,
    "stages": _stages,
    "steps": _steps,
    "sine": _sine,
}
