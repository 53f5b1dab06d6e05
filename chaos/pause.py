"""Stop a process tree with SIGSTOP and continue it later: `master`, `worker`, or the name of a node or sentinel.

A master that is paused for longer than `down_after_s` must have a successor, and must come back as a worker.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from chaos.outside import Snapshot, process_of, tree
from chaos.script import Run, main, seconds, send
from ha_stress.base.errors import UserError
from ha_stress.cluster.members import NodeInfo, Role, SentinelInfo


def fault(run: Run) -> bool:
    victim = choose(run)
    processes = tree(process_of(victim))
    send(processes, signal.SIGSTOP)
    began = time.monotonic()
    run.say(f"paused {victim.id} with SIGSTOP ({len(processes)} processes)")
    try:
        succeeded = _watch_pause(run, victim, began)
    finally:
        send(processes, signal.SIGCONT)
        run.say(f"resumed {victim.id} with SIGCONT after {time.monotonic() - began:.1f} s")
    return _back(run, victim, succeeded)


def choose(run: Run) -> NodeInfo | SentinelInfo:
    wanted = run.args.who
    if wanted == "master":
        return run.before.nodes[run.before.node]
    if wanted == "worker":
        workers = run.before.workers()
        if not workers:
            raise UserError("there is no worker to pause")
        return min(workers, key=lambda info: info.id)
    known: dict[str, NodeInfo | SentinelInfo] = {**run.outside.sentinels(time.time()), **run.before.nodes}
    if wanted not in known:
        raise UserError(f"nobody is called {wanted!r}; there are {', '.join(sorted(known))}")
    return known[wanted]


def _watch_pause(run: Run, victim: NodeInfo | SentinelInfo, began: float) -> bool:
    """Say a failover as it happens. Returns whether there was one."""
    left_s = run.args.seconds - (time.monotonic() - began)
    if victim.id != run.before.node:
        time.sleep(left_s)
        return False

    def succeeded(now: Snapshot) -> bool:
        return now.epoch > run.before.epoch and now.master is not None

    after, _ = run.look_for(succeeded, left_s)
    if after is None:
        run.say("no successor was elected during the pause")
        return False
    run.say(f"{after.node} acts as master under epoch {after.epoch}")
    time.sleep(max(0.0, run.args.seconds - (time.monotonic() - began)))
    return True


def _back(run: Run, victim: NodeInfo | SentinelInfo, succeeded: bool) -> bool:
    """What is expected of the resumed one: a deposed master is a worker; everybody else is what it was."""
    if isinstance(victim, SentinelInfo):
        return (
            run.wait(f"{victim.id} listed again", lambda _: victim.id in run.outside.sentinels(time.time())) is not None
        )
    role = Role.WORKER if succeeded else victim.role

    def is_back(now: Snapshot) -> bool:
        info = now.nodes.get(victim.id)
        return info is not None and info.incarnation == victim.incarnation and info.role is role

    if run.wait(f"{victim.id} back as {role}", is_back) is None:
        return False
    run.say(f"{victim.id} is back as {role}")
    return True


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("who", help="master, worker, or the name of a node or sentinel")
    parser.add_argument("--seconds", type=seconds, default=6.0, help="for how long (default 6)")


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", fault, arguments))
