"""Many seeds over a few processes, and their sum."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from typing import Any

from tests.sim.builds import DEFECTS, SOUND
from tests.sim.checks import Violation
from tests.sim.world import Outcome, World


@dataclass(slots=True)
class Summary:
    """The figures of all seeds together."""

    seeds: int = 0
    sim_s: float = 0.0
    wall_s: float = 0.0
    slowest_settle_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Violation] = field(default_factory=list)
    false_seeds: list[int] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.sim_s += outcome.seconds
        self.slowest_settle_s = max(self.slowest_settle_s, outcome.settled_s)
        self.counts.update(outcome.counts)
        self.counts["fault_free_seeds"] += outcome.fault_free
        self.faults.update(outcome.faults)
        self.failed.extend(outcome.violations)
        if outcome.counts["false_failovers"]:
            self.false_seeds.append(outcome.seed)

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`; `violations` is their number, `failed` are they."""
        return {
            "seeds": self.seeds,
            "sim_hours": round(self.sim_s / 3600, 3),
            "failovers": self.counts["failovers"],
            "elections": self.counts["elections"],
            "false_failovers": self.counts["false_failovers"],
            "false_failover_seeds": self.false_seeds,
            "late_failovers": self.counts["late_failovers"],
            "fault_free_seeds": self.counts["fault_free_seeds"],
            "acts": self.counts["acts"],
            "writes_refused": self.counts["writes refused"],
            "first_masters_forgotten": self.counts["first masters forgotten"],
            "slowest_settle_s": round(self.slowest_settle_s, 1),
            "faults": dict(sorted(self.faults.items())),
            "violations": len(self.failed),
            "wall_s": round(self.wall_s, 2),
            "speedup": round(self.sim_s / self.wall_s) if self.wall_s else 0,
            "failed": [asdict(violation) for violation in self.failed],
        }


def run_seed(seed: int, defect: str | None = None, *, talk: bool = False) -> Outcome:
    """One world from its beginning to its end."""
    return World(seed, DEFECTS[defect] if defect else SOUND, talk=talk).run()


def _run_some(seeds: list[int], defect: str | None) -> list[Outcome]:
    gc.disable()  # worlds are cyclic and short; collecting between them is enough
    outcomes = []
    for seed in seeds:
        outcomes.append(run_seed(seed, defect))
        gc.collect()
    return outcomes


def run_seeds(seeds: Iterable[int], *, jobs: int = 2, defect: str | None = None) -> Summary:
    """Run them all, `jobs` at a time, and add up."""
    began = time.perf_counter()
    wanted = list(seeds)
    parts = [wanted[start : start + 10] for start in range(0, len(wanted), 10)]
    summary = Summary()
    if jobs <= 1:
        results = [_run_some(part, defect) for part in parts]
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(_run_some, parts, [defect] * len(parts)))
    for outcomes in results:
        for outcome in outcomes:
            summary.add(outcome)
    summary.wall_s = time.perf_counter() - began
    return summary
