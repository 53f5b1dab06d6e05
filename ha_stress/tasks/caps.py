"""How much load an operator allows, whatever is asked for: a cap on each task and one on all of them together. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ha_stress.base.errors import Conflict
from ha_stress.tasks.profile import rate_between
from ha_stress.tasks.spec import TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCaps:
    """Arrivals per second, each None for no cap. What counts is a task's highest rate, at whatever time it comes.

    Users of the closed model have a highest rate because they think; those who do not think have none, and no cap admits
    them.
    """

    task: float | None = None
    cluster: float | None = None

    def check(self, spec: TaskSpec, others: Iterable[TaskSpec]) -> None:
        """Conflict with one sentence if `spec` beside `others` (the open tasks, without it) would be above a cap."""
        mine = peak_rate(spec)
        for cap, whose in ((self.task, "a task"), (self.cluster, "all tasks together")):
            if cap is not None and mine == float("inf"):
                raise Conflict(
                    f"the rate of {whose} is capped at {cap:g}/s, and users without think time have no limit"
                )
        if self.task is not None and mine > self.task:
            raise Conflict(f"the rate of a task is capped at {self.task:g}/s, and this one would reach {mine:g}/s")
        if self.cluster is None:
            return
        taken = sum(peak_rate(other) for other in others)
        if mine + taken > self.cluster:
            raise Conflict(
                f"the rate of all tasks together is capped at {self.cluster:g}/s, of which {taken:g}/s are taken: "
                f"{mine:g}/s more are too much"
            )


NO_CAPS = RateCaps()


def peak_rate(spec: TaskSpec) -> float:
    """The highest rate that the task can reach, in arrivals per second; infinite for users who do not think."""
    if spec.users:
        return spec.users / spec.think_time_s if spec.think_time_s > 0 else float("inf")
    # The rate that an operator sets while the task runs takes the place of its stages.
    return max(spec.rate, rate_between(spec.profile, spec.rate)[1])
