"""`python -m tests.sim`: many seeds and a summary, or one seed and its conversation."""

from __future__ import annotations

import argparse
import json
import os
import sys

from tests.sim.builds import DEFECTS
from tests.sim.report import Progress, as_text, end_of_conversation
from tests.sim.runner import Summary, run_seed, run_seeds

#: The exit status of a run that was interrupted, as a shell gives it.
INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=_natural, default=300, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one and print its conversation")
    parser.add_argument(
        "--cycles", type=_natural, default=1, help="storms of faults in one life, each followed by quiet"
    )
    parser.add_argument("--jobs", type=_natural, default=os.cpu_count() or 1, help="processes to run them in")
    parser.add_argument("--defect", choices=sorted(DEFECTS), metavar="NAME", help="plant a defect")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--progress", action="store_true", help="a line on stderr every ten seconds")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return replay(chosen.seed, chosen.defect, chosen.cycles, as_json=chosen.json)
    summary = run_seeds(
        range(chosen.first, chosen.first + chosen.seeds),
        jobs=chosen.jobs,
        defect=chosen.defect,
        cycles=chosen.cycles,
        on_part=Progress(chosen.seeds, sys.stderr) if chosen.progress else lambda so_far: None,
    )
    print(json.dumps(summary.as_json()) if chosen.json else as_text(summary), flush=True)
    if summary.failed:
        said = end_of_conversation(summary.failed[0], chosen.defect, chosen.cycles)
        print(f"\n{said}", file=sys.stderr if chosen.json else sys.stdout)
    return exit_status(summary)


def exit_status(summary: Summary) -> int:
    if summary.violations:
        return 1
    return INTERRUPTED if summary.interrupted else 0


def replay(seed: int, defect: str | None, cycles: int, *, as_json: bool = False) -> int:
    """One seed, every step that changed something. With the document on standard output the steps go beside it."""
    outcome = run_seed(seed, defect, cycles=cycles, talk=True)
    out = sys.stderr if as_json else sys.stdout
    print("\n".join(outcome.lines), file=out)
    order = "broken" if outcome.violations else f"in order after at most {outcome.settled_s:.1f} s of quiet"
    print(f"{outcome.seconds:.1f} virtual seconds, {order}; the same steps give {outcome.digest}", file=out)
    if as_json:
        print(json.dumps(run_seeds([seed], jobs=1, defect=defect, cycles=cycles).as_json()))
    return 1 if outcome.violations else 0


def _natural(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
