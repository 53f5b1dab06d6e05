"""`python -m tests.sim`: many seeds and a summary, or one seed and its conversation."""

from __future__ import annotations

import argparse
import json
import sys

from tests.sim.builds import DEFECTS, SOUND
from tests.sim.runner import Summary, run_seeds
from tests.sim.world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one and print its conversation")
    parser.add_argument("--jobs", type=int, default=2, help="processes to run them in")
    parser.add_argument("--defect", choices=sorted(DEFECTS), help="plant a defect")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return replay(chosen.seed, chosen.defect)
    summary = run_seeds(range(chosen.first, chosen.first + chosen.seeds), jobs=chosen.jobs, defect=chosen.defect)
    print(json.dumps(summary.as_json()) if chosen.json else as_text(summary))
    return 1 if summary.failed else 0


def replay(seed: int, defect: str | None) -> int:
    """One seed, every step that changed something."""
    outcome = World(seed, DEFECTS[defect] if defect else SOUND, talk=True).run()
    print("\n".join(outcome.lines))
    print(f"{outcome.seconds:.1f} virtual seconds, in order after {outcome.settled_s:.1f} s of quiet, {outcome.digest}")
    for violation in outcome.violations:
        print(f"VIOLATION at {violation.at_s}: {violation.invariant}: {violation.detail}")
    return 1 if outcome.violations else 0


def as_text(summary: Summary) -> str:
    lines = [f"{name:<24} {value}" for name, value in summary.as_json().items() if name not in ("faults", "failed")]
    lines += [f"  {kind:<22} {count}" for kind, count in sorted(summary.faults.items())]
    lines += [f"seed {v.seed} at {v.at_s:.3f} s: {v.invariant}: {v.detail}" for v in summary.failed]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
