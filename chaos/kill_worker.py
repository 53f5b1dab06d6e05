"""Kill a worker's whole process tree with SIGKILL; the sentinels must agree on it and the master must stay."""

from __future__ import annotations

import argparse
import sys

from chaos.outside import process_of
from chaos.script import Run, kill_tree, main
from ha_stress.base.errors import UserError


def fault(run: Run) -> bool:
    workers = {info.id: info for info in run.before.workers()}
    if not workers:
        raise UserError("there is no worker to kill")
    wanted = run.args.node or min(workers)
    if wanted not in workers:
        raise UserError(f"{wanted} is not a worker; the workers are {', '.join(sorted(workers))}")
    worker = workers[wanted]
    killed = kill_tree(process_of(worker))
    run.say(f"killed the worker {worker.id} with SIGKILL ({killed} processes, pid {worker.pid} first)")
    sentinels = bool(run.outside.sentinels(worker.sent_at))

    def noticed(_: object) -> bool:
        if not sentinels:
            return worker.id not in run.outside.look().nodes
        return any(
            event["name"] == "+odown" and event["subject"] == worker.id and worker.incarnation in event["detail"]
            for event in run.outside.events()
        )

    if run.wait(f"{worker.id} held to be objectively down", noticed) is None:
        return False
    run.say(f"{worker.id} is objectively down; its shares are moved")
    now = run.outside.look()
    if (now.epoch, now.node) != (run.before.epoch, run.before.node):
        run.say(f"the master changed to {now.node}, although it was alive")
        return False
    return True


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", nargs="?", default="", help="which worker (default: the first by name)")


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", fault, arguments))
