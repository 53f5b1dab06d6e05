"""How many arrivals the schedule asked for in a stretch of time, out of the plan as the API tells it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from ha_stress.tasks.arrivals import arrivals_of
from ha_stress.tasks.profile import Profile, Stage


def arrivals_wanted(task: Mapping[str, Any], begin: float, end: float) -> float | None:
    """Arrivals that were due from Unix second `begin` up to `end`, a real number.

    None where there is no such figure: before there is a plan, and in the closed model, where answers decide what is sent.
    """
    if task.get("started_at") is None or not task.get("plan") or task.get("users"):
        return None
    begin_s, end_s = begin - task["started_at"], end - task["started_at"]
    plan = task["plan"]
    total = 0.0
    for number, revision in enumerate(plan):
        until_s = plan[number + 1]["at_s"] if number + 1 < len(plan) else _end_s(task)
        low, high = max(begin_s, revision["at_s"]), min(end_s, until_s)
        if low < high:
            by = _counted(task, revision)
            total += by(high) - by(low)
    return total


def _end_s(task: Mapping[str, Any]) -> float:
    """When the last revision ends at the latest. One that was stopped ends by its limit, which is counted."""
    return inf if task.get("duration_s") is None else float(task["duration_s"])


def _counted(task: Mapping[str, Any], revision: Mapping[str, Any]) -> Callable[[float], float]:
    """How many arrivals of a revision are due before a moment that counts from the start of the task."""
    profile = profile_of(revision if "profile" in revision else task)  # an operator may have set a rate instead of it
    at_s, limit = revision["at_s"], inf if revision["limit"] is None else float(revision["limit"])
    if profile is None:
        return lambda moment_s: min(max(0.0, (moment_s - at_s) * revision["rate"]), limit)
    origin_s = float(revision.get("origin_s") or 0.0)
    arrivals = arrivals_of(profile, revision["rate"])
    before = arrivals.expected(at_s - origin_s)
    # A Poisson process has its own count; what it was asked for is the rate, so the limit does not cut it.
    most = inf if profile.poisson_seed is not None else limit
    return lambda moment_s: min(max(0.0, arrivals.expected(moment_s - origin_s) - before), most)


def profile_of(told_by: Mapping[str, Any]) -> Profile | None:
    told = told_by.get("profile")
    if not told:
        return None
    return Profile(
        stages=tuple(
            Stage(duration_s=float(one["duration_s"]), begin=float(one["begin"]), end=float(one["end"]))
            for one in told.get("stages") or ()
        ),
        sine_amplitude=float(told.get("sine_amplitude") or 0.0),
        sine_period_s=float(told.get("sine_period_s") or 0.0),
        poisson_seed=told.get("poisson_seed"),
    )


def scheduled_s(task: Mapping[str, Any]) -> float | None:
    """For how long arrivals were due, as far as it is known: a task that was stopped ends earlier than it was to."""
    plan = task.get("plan") or ()
    if plan and plan[-1].get("until_s") is not None:
        return float(plan[-1]["until_s"])
    curved = task.get("profile") or (plan and plan[-1].get("profile"))
    if plan and plan[-1]["limit"] is not None and not curved and plan[-1]["rate"] > 0:
        return float(plan[-1]["at_s"] + plan[-1]["limit"] / plan[-1]["rate"])
    return None if task.get("duration_s") is None else float(task["duration_s"])
