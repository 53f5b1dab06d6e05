"""The shape of an arrival rate over time, as data. What follows from it is in `arrivals`."""

from __future__ import annotations

from dataclasses import dataclass


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
