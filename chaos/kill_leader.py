"""Kill the sentinel that led the last failover; the others must stay a majority and the master must stay.

Before any failover there is no leader; then the first sentinel by name is taken, and the script says so.
"""

from __future__ import annotations

import sys
import time

from chaos.outside import process_of
from chaos.script import Run, kill_tree, main
from ha_stress.base.errors import UserError


def fault(run: Run) -> bool:
    sentinels = run.outside.sentinels(time.time())
    if len(sentinels) < 3:
        raise UserError(f"{len(sentinels)} sentinels are alive: with fewer than 3, killing one leaves no majority")
    failovers = run.outside.failovers()
    leader = failovers[max(failovers)]["leader"] if failovers else ""
    if leader not in sentinels:
        run.say(
            f"no living sentinel has led a failover{f' (it was {leader})' if leader else ''}: taking the first by name"
        )
        leader = min(sentinels)
    killed = kill_tree(process_of(sentinels[leader]))
    run.say(f"killed the sentinel {leader} with SIGKILL ({killed} process, pid {sentinels[leader].pid})")

    def gone(_: object) -> bool:
        return leader not in run.outside.sentinels(time.time())

    if run.wait(f"{leader} no longer listed", gone) is None:
        return False
    left = sorted(run.outside.sentinels(time.time()))
    run.say(f"still watching: {', '.join(left)}")
    now = run.outside.look()
    return len(left) == len(sentinels) - 1 and (now.epoch, now.node) == (run.before.epoch, run.before.node)


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", fault))
