"""`python -m tests.sim.mutants`: plants each defect in turn and counts the seeds until an invariant notices."""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context

from tests.sim.builds import DEFECTS
from tests.sim.runner import run_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`seeds`: how many were run, the one that caught it included. `invariant`: the first that it broke, "" if none."""

    name: str
    caught: bool
    seeds: int
    invariant: str


def hunt(defect: str, seeds: int) -> Verdict:
    """Run seeds 0, 1, ... with this defect until one of them breaks an invariant."""
    gc.disable()  # worlds are cyclic and short; collecting between them is enough
    try:
        for seed in range(seeds):
            violations = run_seed(seed, defect).violations
            gc.collect()
            if violations:
                return Verdict(name=defect, caught=True, seeds=seed + 1, invariant=violations[0].invariant)
    finally:
        gc.enable()
    return Verdict(name=defect, caught=False, seeds=seeds, invariant="")


def hunt_all(defects: Iterable[str], seeds: int, jobs: int) -> Iterator[Verdict]:
    """One defect per process at a time; the verdicts come in the order of the defects."""
    wanted = list(defects)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(hunt, wanted, [seeds] * len(wanted))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds a defect may survive at most")
    parser.add_argument("--only", choices=sorted(DEFECTS), metavar="NAME", help="this defect alone")
    parser.add_argument("--jobs", type=int, default=2, help="processes to run them in")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    chosen = parser.parse_args()
    began = time.perf_counter()
    verdicts = []
    if not chosen.json:
        print(row("defect", "seeds until caught", "invariant"), flush=True)
    for verdict in hunt_all([chosen.only] if chosen.only else DEFECTS, chosen.seeds, chosen.jobs):
        verdicts.append(verdict)
        if not chosen.json:
            seeds = str(verdict.seeds) if verdict.caught else f"not in {verdict.seeds}"
            print(row(verdict.name, seeds, verdict.invariant or "-"), flush=True)
    missed = sum(not verdict.caught for verdict in verdicts)
    if chosen.json:
        print(json.dumps({"defects": [asdict(verdict) for verdict in verdicts], "missed": missed}))
    else:
        wall_s = time.perf_counter() - began
        print(f"{len(verdicts) - missed} of {len(verdicts)} caught, {missed} missed, in {wall_s:.0f} s")
    return 1 if missed else 0


def row(defect: str, seeds: str, invariant: str) -> str:
    return f"{defect:<64} {seeds:>18}  {invariant}"


if __name__ == "__main__":
    sys.exit(main())
