"""Rounds of faults on real processes under load, with every invariant and the books checked from outside.

    python -m chaos [--rounds 100] [--seed S] [--only NAME] [--json]

Starts a cluster of its own: three nodes, three sentinels, Redis and a counting target, each on a host of its own where
network namespaces can be made (root and iproute2). Exit code 0: no violation; 1: some; 2: bad input.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from chaos.rounds import network, servers, tally
from chaos.rounds.conduct import play_all, runnable
from chaos.rounds.deck import draw
from chaos.rounds.faults import FAULTS, Fault
from chaos.rounds.tally import Outcome
from ha_stress.base.errors import HaStressError

#: Columns that the table needs to say what each fault does.
_WIDE: Final = 132


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    people = Console(stderr=options.json, highlight=False)
    no_network, no_disk = network.why_not(), servers.why_no_disk()
    faults, skipped = runnable(no_network, no_disk)
    for name, reason in skipped.items():
        people.print(f"[yellow]skipped[/] {name}: {reason}")
    wanted = [fault for fault in faults if not options.only or fault.name in options.only]
    if not wanted:
        people.print(f"error: nothing is left to do: {', '.join(options.only)} cannot run here", style="red")
        return 2
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    drawn = draw(wanted, options.rounds, seed)
    directory = Path(tempfile.mkdtemp(prefix=f"{servers.DIRECTORY_PREFIX}{os.getpid()}-"))
    people.print(f"{options.rounds} rounds, seed {seed}, logs in {directory}")

    def say(number: int, fault: Fault, outcome: Outcome, words: str) -> None:
        ms = "-" if outcome.failover_ms is None else f"{outcome.failover_ms:.0f} ms"
        broken = f"[bold red]{len(outcome.violations)} violations[/]" if outcome.violations else "[green]ok[/]"
        people.print(f"{number:>4}/{len(drawn)}  {fault.name:<18}{ms:>9}  {broken}  {words}", soft_wrap=True)
        for violation in outcome.violations:
            people.print(f"{'':10}[red]{violation}[/]", soft_wrap=True)

    kept = True
    try:
        outcomes = play_all(drawn, directory, seed=seed, network=not no_network, disks=not no_disk, say=say)
        kept = any(outcome.violations for outcome in outcomes)
    except HaStressError as error:
        people.print(f"error: {error}; the logs are in {directory}", style="red")
        return 1
    except (KeyboardInterrupt, SystemExit) as asked:
        kept = False
        return 130 if isinstance(asked, KeyboardInterrupt) else 143
    finally:
        if not kept:
            shutil.rmtree(directory, ignore_errors=True)
    document = tally.report(outcomes, [fault.name for fault in FAULTS])
    if options.json:
        print(json.dumps({"seed": seed, **document, "skipped": skipped}))
    else:
        out = Console(width=_WIDE) if not people.is_terminal else people  # a file has no width of its own
        meanings = {fault.name: fault.what for fault in FAULTS}
        out.print(tally.table(document, meanings if out.width >= _WIDE else {}))
    if kept:
        people.print(f"the logs are kept in {directory}")
    return 1 if document["violations"] else 0


def _options() -> argparse.Namespace:
    names = [fault.name for fault in FAULTS]
    parser = argparse.ArgumentParser(prog="python -m chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=_rounds, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=None, help="the same seed draws the same rounds")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser.parse_args()


def _rounds(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 100000")
    return value


if __name__ == "__main__":
    sys.exit(main())
