"""The frame of every script: read the arguments, do the one thing, wait for recovery, check, say the verdict."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import redis

from chaos.invariants import Check, check_all, healthy
from chaos.outside import Outside, Snapshot, find_cluster, tree
from ha_stress.base.errors import HaStressError, UserError

POLL_S = 0.02


@dataclass(slots=True)
class Run:
    """One script's run: what it sees, what it has said so far."""

    outside: Outside
    args: argparse.Namespace
    before: Snapshot
    began: float = field(default_factory=time.monotonic)
    said: list[dict[str, object]] = field(default_factory=list)

    def say(self, sentence: str) -> None:
        """One line with the milliseconds since the script began."""
        ms = round((time.monotonic() - self.began) * 1000)
        self.said.append({"ms": ms, "what": sentence})
        if not self.args.json:
            print(f"{ms:>8} ms  {sentence}", flush=True)

    def wait(self, what: str, condition: Callable[[Snapshot], bool]) -> Snapshot | None:
        """Look until `condition` holds; None (and it is said) if it does not in time."""
        found, problem = self.look_for(condition, self.args.timeout)
        if found is None:
            self.say(f"waited {self.args.timeout:g} s in vain: {what}{problem}")
        return found

    def look_for(self, condition: Callable[[Snapshot], bool], seconds: float) -> tuple[Snapshot | None, str]:
        """Look until `condition` holds, at most for so long; and what Redis said last, for it may be away meanwhile."""
        deadline = time.monotonic() + seconds
        problem = ""
        while time.monotonic() < deadline:
            try:
                snapshot = self.outside.look()
                if condition(snapshot):
                    return snapshot, ""
                problem = ""
            except redis.exceptions.RedisError as error:
                problem = f" (Redis: {error})"
            time.sleep(POLL_S)
        return None, problem


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 3600 seconds")
    return value


def send(processes: list[psutil.Process], signal_number: int) -> None:
    """Send to each; one that is gone already needs nothing."""
    for one in processes:
        try:
            one.send_signal(signal_number)
        except psutil.NoSuchProcess:
            continue


def kill_tree(root: psutil.Process) -> int:
    """kill -9 for the process and all below it. Returns how many. The root first, so that it cannot react."""
    processes = tree(root)
    for one in processes:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    return len(processes)


def main(
    doc: str, fault: Callable[[Run], bool], arguments: Callable[[argparse.ArgumentParser], None] | None = None
) -> int:
    """Run one script. `fault` does it, waits for what it expects, and returns whether that came."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0], epilog="Exit code 0: recovered and sound.")
    parser.add_argument("--redis", default="", help="URL of the cluster's Redis (default: from cluster.json)")
    parser.add_argument("--cluster", default="", help="the cluster's name (default: from cluster.json, or 'default')")
    parser.add_argument("--data-dir", default=os.environ.get("HA_STRESS_DATA", ".ha-stress"), help="of `ha-stress up`")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="for the recovery (default 30)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    if arguments is not None:
        arguments(parser)
    args = parser.parse_args()
    try:
        outside = find_cluster(args.data_dir, args.redis, args.cluster)
        before = outside.look()
        if not healthy(before):
            raise UserError("the cluster has no acting master now: wait until it has, then try again")
        return _verdict(Run(outside, args, before), fault)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (HaStressError, redis.exceptions.RedisError, psutil.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _verdict(run: Run, fault: Callable[[Run], bool]) -> int:
    run.say(f"before: epoch {run.before.epoch}, master {run.before.node}, nodes {', '.join(sorted(run.before.nodes))}")
    came = fault(run)
    recovered = run.wait("exactly one acting master that holds the lease", healthy)
    checks = [Check("expected-outcome", came), Check("recovered", recovered is not None)]
    if recovered is not None:
        run.say(f"after: epoch {recovered.epoch}, master {recovered.node}, nodes {', '.join(sorted(recovered.nodes))}")
        checks += check_all(run.outside, run.before)
    ok = all(check.holds for check in checks)
    if run.args.json:
        rows = [{"name": c.name, "holds": c.holds, "detail": c.detail} for c in checks]
        print(json.dumps({"ok": ok, "said": run.said, "checks": rows}))
    else:
        for check in checks:
            print(f"{'ok' if check.holds else 'BROKEN':>11}  {check.name}{': ' + check.detail if check.detail else ''}")
        print("recovered, every invariant holds" if ok else "NOT recovered or not sound, see above")
    return 0 if ok else 1
