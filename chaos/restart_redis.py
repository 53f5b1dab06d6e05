"""Kill Redis with SIGKILL and start it again with its own command line and data; mastership must survive.

Whether frames and events of the last moment are still there depends on its append-only file; the cluster repairs the rest.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Any

import psutil

from chaos.outside import Snapshot
from chaos.script import Run, main, seconds
from ha_stress.base.errors import UserError


def fault(run: Run) -> bool:
    server = run.outside.redis_process()
    command, directory = start_command(run, server), server.cwd()
    if run.outside.client.config_get("appendonly").get("appendonly") != "yes":
        run.say("warning: Redis runs without an append-only file; its data will be lost and must be repaired")
    server.kill()
    if not ended(server):
        raise UserError(f"Redis (pid {server.pid}) did not end")
    run.say(f"killed Redis with SIGKILL (pid {server.pid})")
    time.sleep(run.args.down)
    again = subprocess.Popen(
        command, cwd=directory, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    run.say(f"started Redis again after {run.args.down:g} s (pid {again.pid})")

    def repaired(now: Snapshot) -> bool:
        return now.epoch >= run.before.epoch and now.master is not None

    after = run.wait("the mastership record back and its master acting", repaired)
    if after is None:
        if again.poll() is not None:
            raise UserError(f"Redis did not start again (exit code {again.returncode}): start it by hand")
        return False
    kept = "the same master" if after.node == run.before.node else f"a new master, {after.node}"
    run.say(f"the record stands at epoch {after.epoch} with {kept}")
    return True


def ended(server: psutil.Process) -> bool:
    """Wait until it runs no more; its parent may take its time to collect it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if server.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def start_command(run: Run, server: psutil.Process) -> list[str]:
    """How to start the same server again: its binary with its configuration file. (Its title shows no arguments.)"""
    info: Any = run.outside.client.info("server")
    if not info.get("config_file"):
        raise UserError("this Redis runs without a configuration file: how to start it again is not known here")
    return [server.exe(), info["config_file"]]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--down", type=seconds, default=1.0, metavar="S", help="how long Redis stays away (default 1)")


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", fault, arguments))
