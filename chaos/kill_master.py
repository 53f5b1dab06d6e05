"""Kill the acting master's whole process tree with SIGKILL; a successor must act under a higher epoch."""

from __future__ import annotations

import sys

from chaos.outside import Snapshot, process_of
from chaos.script import Run, kill_tree, main


def fault(run: Run) -> bool:
    master = run.before.nodes[run.before.node]
    killed = kill_tree(process_of(master))
    run.say(f"killed the master {master.id} with SIGKILL ({killed} processes, pid {master.pid} first)")

    def succeeded(now: Snapshot) -> bool:
        return now.epoch > run.before.epoch and now.master is not None

    after = run.wait("a successor that acts under a higher epoch", succeeded)
    if after is None:
        return False
    run.say(f"{after.node} acts as master under epoch {after.epoch}")
    return True


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", fault))
