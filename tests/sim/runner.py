"""Many seeds over a few processes, and their sum. What was run is added up at once, so that memory does not grow with it."""

from __future__ import annotations

import gc
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

from tests.sim.builds import DEFECTS, SOUND
from tests.sim.checks import Violation
from tests.sim.world import Outcome, World

#: Seeds that a process runs before it reports; a few seconds of work, so that an interruption is a short wait.
SEEDS_PER_PART = 8
#: Violations, and seeds with a false failover, that are kept to be named; all are counted.
NAMED_MAX = 50


@dataclass(slots=True)
class Summary:
    """The figures of all seeds together. `cpu_s` is what the worlds cost, over all processes."""

    seeds: int = 0
    sim_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    slowest_settle_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: int = 0
    failed: list[Violation] = field(default_factory=list)
    false_seeds: list[int] = field(default_factory=list)
    interrupted: bool = False

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.sim_s += outcome.seconds
        self.slowest_settle_s = max(self.slowest_settle_s, outcome.settled_s)
        self.counts.update(outcome.counts)
        self.counts["fault_free_seeds"] += outcome.fault_free
        self.faults.update(outcome.faults)
        self.violations += len(outcome.violations)
        self._name(outcome.violations, [outcome.seed] if outcome.counts["false_failovers"] else [])

    def merge(self, part: Summary) -> None:
        """Add what another process has run."""
        self.seeds += part.seeds
        self.sim_s += part.sim_s
        self.cpu_s += part.cpu_s
        self.slowest_settle_s = max(self.slowest_settle_s, part.slowest_settle_s)
        self.counts.update(part.counts)
        self.faults.update(part.faults)
        self.violations += part.violations
        self._name(part.failed, part.false_seeds)

    def _name(self, failed: Iterable[Violation], false_seeds: Iterable[int]) -> None:
        """Parts end in any order; the lowest seeds are kept, so that the same run names the same ones."""
        self.failed = sorted((*self.failed, *failed), key=lambda violation: violation.seed)[:NAMED_MAX]
        self.false_seeds = sorted((*self.false_seeds, *false_seeds))[:NAMED_MAX]

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`; `violations` is their number, `failed` are the first of them."""
        return {
            "seeds": self.seeds,
            "sim_hours": round(self.sim_s / 3600, 3),
            "failovers": self.counts["failovers"],
            "elections": self.counts["elections"],
            "false_failovers": self.counts["false_failovers"],
            "false_failover_seeds": self.false_seeds,
            "late_failovers": self.counts["late_failovers"],
            "awards_refused_as_late": self.counts["awards refused as late"],
            "fault_free_seeds": self.counts["fault_free_seeds"],
            "acts": self.counts["acts"],
            "writes_refused": self.counts["writes refused"],
            "first_masters_forgotten": self.counts["first masters forgotten"],
            "slowest_settle_s": round(self.slowest_settle_s, 1),
            "faults": dict(sorted(self.faults.items())),
            "violations": self.violations,
            "wall_s": round(self.wall_s, 2),
            "speedup": round(self.sim_s / self.wall_s) if self.wall_s else 0,
            "speedup_per_core": round(self.sim_s / self.cpu_s) if self.cpu_s else 0,
            "interrupted": self.interrupted,
            "failed": [asdict(violation) for violation in self.failed],
        }


def run_seed(seed: int, defect: str | None = None, *, cycles: int = 1, talk: bool = False) -> Outcome:
    """One world from its beginning to its end."""
    return World(seed, DEFECTS[defect] if defect else SOUND, cycles=cycles, talk=talk).run()


def _run_part(seeds: list[int], defect: str | None, cycles: int) -> Summary:
    gc.disable()  # worlds are cyclic and short; collecting between them is enough
    began = time.process_time()
    summary = Summary()
    for seed in seeds:
        summary.add(run_seed(seed, defect, cycles=cycles))
        gc.collect()
    summary.cpu_s = time.process_time() - began
    gc.enable()
    return summary


def _prepare_process() -> None:
    """In a process of its own: leave Ctrl-C to the parent, and keep the modules out of every collection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()


def run_seeds(
    seeds: Iterable[int],
    *,
    jobs: int = 2,
    defect: str | None = None,
    cycles: int = 1,
    on_part: Callable[[Summary], object] = lambda summary: None,
) -> Summary:
    """Run them all, `jobs` at a time, and add up. `on_part` sees the sum so far again and again. A KeyboardInterrupt ends
    it early and in good order: `interrupted` is set, and the seeds that are done count."""
    began = time.perf_counter()
    summary = Summary()
    run = partial(_run_part, defect=defect, cycles=cycles)
    numbers = iter(seeds)
    parts = iter(lambda: list(islice(numbers, SEEDS_PER_PART)), [])
    try:
        for part in _run_here(run, parts) if jobs <= 1 else _run_in_processes(run, parts, jobs):
            summary.merge(part)
            summary.wall_s = time.perf_counter() - began
            on_part(summary)
    except KeyboardInterrupt:
        summary.interrupted = True
    summary.wall_s = time.perf_counter() - began
    return summary


def _run_here(run: Callable[[list[int]], Summary], parts: Iterator[list[int]]) -> Iterator[Summary]:
    return map(run, parts)


def _run_in_processes(run: Callable[[list[int]], Summary], parts: Iterator[list[int]], jobs: int) -> Iterator[Summary]:
    """Two parts per process are under way, so that none waits for the next."""
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_prepare_process)
    try:
        pending: set[Future[Summary]] = {pool.submit(run, part) for part in islice(parts, 2 * jobs)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            pending |= {pool.submit(run, part) for part in islice(parts, len(done))}
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
