"""What a fault works with: the cluster as it was before, hands to break it, and eyes to wait for what must come."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import redis

from chaos.outside import Snapshot
from chaos.rounds.books import Entry, Holder
from chaos.rounds.cluster import NODES, SENTINELS, Cluster
from chaos.rounds.history import History
from chaos.rounds.sampler import Sampler
from chaos.script import send
from ha_stress.base.errors import HaStressError
from ha_stress.cluster.members import NodeInfo, Role

POLL_S: Final = 0.03
#: A failover takes about `down_after_s`; a busy machine and a lost vote or two are allowed for.
PATIENCE_S: Final = 15.0


class RoundFailed(HaStressError):
    """Something that had to come did not come in time: what was waited for, and what there was instead."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}; found {found}")
        self.expected, self.found = expected, found


@dataclass(slots=True)
class Stage:
    """One round while it runs. A fault calls `strike` right before it does what it is named after."""

    cluster: Cluster
    sampler: Sampler
    before: Snapshot
    task: str
    dice: random.Random
    counted_before: dict[str, int]
    killed: set[Holder] = field(default_factory=set)
    victims: set[str] = field(default_factory=set)
    struck_at: float = 0.0
    said: list[str] = field(default_factory=list)

    @property
    def history(self) -> History:
        return self.sampler.history

    @property
    def master(self) -> str:
        return self.before.node

    @property
    def workers(self) -> list[str]:
        return sorted(info.id for info in self.before.workers())

    def say(self, words: str) -> None:
        self.said.append(words)

    # Hands.

    def strike(self) -> None:
        """The fault is now: failovers are timed from here (Unix time, as Redis' clock on this machine is)."""
        self.struck_at = time.time()

    def kill(self, *names: str) -> None:
        """kill -9 of all of them at once, before any can react to the end of another."""
        families = [self.cluster.family(name) for name in names]
        self.strike()
        for family in families:
            send(family, signal.SIGKILL)
        for name in names:
            self.cluster.kill(name)
            self.victims.add(name)
            if name in NODES:
                self.killed.add((name, self.before.nodes[name].incarnation))

    def pause(self, *names: str) -> None:
        for name in names:
            send(self.cluster.family(name), signal.SIGSTOP)

    def resume(self, *names: str) -> None:
        for name in names:
            self.cluster.resume(name)

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        assert self.cluster.network is not None
        self.strike()
        self.cluster.network.cut(pairs)

    # Eyes.

    def wait(
        self, what: str, condition: Callable[[Snapshot], bool], timeout_s: float = PATIENCE_S, *, problem: str = ""
    ) -> Snapshot:
        """The first look at which it holds. RoundFailed says what was waited for and what there was instead."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                seen = self.cluster.outside.look()
                if condition(seen):
                    return seen
                problem = described(seen)
            except (redis.RedisError, sqlite3.OperationalError) as error:
                problem = f"{type(error).__module__}: {error}"
            time.sleep(POLL_S)
        raise RoundFailed(f"{what} within {timeout_s:g} s", problem)

    def successor(self, timeout_s: float = PATIENCE_S) -> Snapshot:
        """Another mastership whose master acts."""
        seen = self.wait(
            f"a successor of {self.master} (epoch {self.before.epoch}) that acts",
            lambda now: now.epoch > self.before.epoch and now.master is not None,
            timeout_s,
        )
        self.say(f"{seen.node} follows {self.master}")
        return seen

    def stays(self, seconds: float) -> None:
        """The master goes on for so long, and is still the same then."""
        time.sleep(seconds)
        seen = self.wait("an acting master", lambda now: now.master is not None)
        same = (seen.epoch, seen.node) == (self.before.epoch, self.before.node)
        expected = f"{self.master} stays master under epoch {self.before.epoch}"
        self.expect(same, "no-failover-of-a-healthy-master", expected, f"{seen.node} under epoch {seen.epoch}")
        self.say(f"{self.master} stays")

    def back_as_worker(self, timeout_s: float = PATIENCE_S) -> None:
        """The old master, still the same process, knows that it is not master any more."""
        old = self.before.incarnation

        def is_back(now: Snapshot) -> bool:
            info = now.nodes.get(self.master)
            return info is not None and info.incarnation == old and info.role is Role.WORKER and not info.acting

        self.wait(f"{self.master} back as a worker", is_back, timeout_s)

    def expect(self, holds: bool, invariant: str, expected: str, found: object) -> None:
        with self.sampler.lock:
            self.history.expect(holds, invariant, expected, found)

    def plan(self) -> dict[str, Any]:
        """The task's plan as the database has it; empty before there is one."""
        with self.cluster.sql() as sql:
            row = sql.execute("SELECT plan FROM task_states WHERE task = ?", (self.task,)).fetchone()
        plan: dict[str, Any] = json.loads(row[0]) if row and row[0] else {}
        return plan

    def status(self) -> str:
        """Of the task, as the database has it."""
        with self.cluster.sql() as sql:
            row = sql.execute("SELECT status FROM task_states WHERE task = ?", (self.task,)).fetchone()
        return str(row[0]) if row else "unknown"

    def entries(self) -> list[Entry]:
        """The task's ledger."""
        wanted = "SELECT revision, node, incarnation, intended, started, dropped FROM ledger WHERE task = ?"
        with self.cluster.sql() as sql:
            rows = sql.execute(wanted, (self.task,)).fetchall()
        return [
            Entry(revision=revision, holder=(node, incarnation), intended=intended, started=started, dropped=dropped)
            for revision, node, incarnation, intended, started, dropped in rows
        ]

    def counted(self) -> dict[str, int]:
        """What the target has counted since before this round, by place."""
        now = self.cluster.counts()
        grown = {place: count - self.counted_before.get(place, 0) for place, count in now.items()}
        return {place: count for place, count in grown.items() if count}

    def places(self) -> dict[str, str]:
        """Where each node's requests come from: without namespaces all of them from one address."""
        return {name: self.cluster.address(name) for name in NODES}

    def wait_holders(self, what: str, holds: Callable[[set[str]], bool], timeout_s: float = PATIENCE_S) -> None:
        """Until the newest revision of the plan is held by nodes of which `holds` is true."""
        nodes: set[str] = set()

        def held(_: Snapshot) -> bool:
            nonlocal nodes
            revisions = self.plan().get("revisions", ())
            nodes = {one["node"] for one in revisions[-1]["holders"]} if revisions else set()
            return holds(nodes)

        self.wait(what, held, timeout_s)


def described(seen: Snapshot) -> str:
    """One line of who is what."""
    return f"epoch {seen.epoch} of {seen.node or 'nobody'}, lease {seen.lease or 'free'}; " + ", ".join(
        f"{info.id} {info.role}{' acting' if info.acting else ''} epoch {info.epoch}"
        for info in sorted(seen.nodes.values(), key=lambda info: info.id)
    )


def settled(cluster: Cluster, seen: Snapshot) -> str:
    """What is missing until everybody is there and agrees; empty if nothing is."""
    nodes: list[NodeInfo] = list(seen.nodes.values())
    sentinels = cluster.outside.sentinels(time.time())
    missing = [
        (seen.master is not None, "no acting master"),
        (sum(info.acting for info in nodes) == 1, "not exactly one acts"),
        ({info.pid for info in nodes} == {cluster.children[name].pid for name in NODES}, "nodes are missing"),
        (sum(info.role is Role.WORKER for info in nodes) == len(NODES) - 1, "workers are missing"),
        (all(info.epoch == seen.epoch for info in nodes), "a node has an old epoch"),
        ({one.pid for one in sentinels.values()} == {cluster.children[name].pid for name in SENTINELS}, "a sentinel"),
        (not any(one.tilt or one.leading for one in sentinels.values()), "a sentinel tilts or leads"),
        (all(one.epoch == seen.epoch for one in sentinels.values()), "a sentinel has an old epoch"),
        (bool(seen.lease), "nobody has the lease"),
    ]
    return "; ".join(words for holds, words in missing if not holds)
