"""The rounds, one after the other on one cluster: load, fault, healing, verdict.

settled --task begins--> a second of load --fault--> what must come --heal--> settled --task ends--> books, records
   ^                                                                                                    |
   +----------------------------------------------------------------------------------------------------+
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import psutil
import redis

from chaos.outside import Snapshot
from chaos.rounds import books
from chaos.rounds.cluster import HOSTS, NODES, SENTINELS, Cluster
from chaos.rounds.faults import FAULTS, Fault
from chaos.rounds.history import History, Violation
from chaos.rounds.network import Network
from chaos.rounds.sampler import Sampler
from chaos.rounds.servers import unmount_stale
from chaos.rounds.stage import RoundFailed, Stage, settled
from chaos.rounds.tally import Outcome
from ha_stress.base.errors import HaStressError
from ha_stress.base.ids import new_task_id

RATE: Final = 200.0
SETTLE_S_MAX: Final = 25.0
#: After the end of a schedule: the last frames, and what a killed worker's successor has to find out.
ENDED_S_MAX: Final = 20.0
#: The last frame of a process that came back may be on its way when a task has ended.
BOOKS_S_MAX: Final = 5.0


@dataclass(slots=True)
class Rounds:
    """Use as a context manager. Starts a cluster when a round needs one, and another after one that did not settle."""

    directory: Path
    network: Network | None
    disks: bool
    dice: random.Random
    history: History = field(default_factory=History)
    _cluster: Cluster | None = None
    _sampler: Sampler | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _generation: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def play(self, fault: Fault) -> tuple[Outcome, str]:
        """One round: its outcome, and what happened in words."""
        try:
            cluster, sampler = self._ready()
            stage = self._begin(cluster, sampler, fault)
        except (HaStressError, httpx.HTTPError, redis.RedisError, sqlite3.Error) as error:
            self._give_up()
            problem = Violation("a-cluster-that-settles", "a healthy cluster under load", str(error))
            return Outcome(fault=fault.name, failover_ms=None, arrivals=0, uncovered=0, violations=(problem,)), ""
        sound = self._survives(stage, fault)
        audit = self._audit(stage, fault) if sound else None
        failover_ms = self._failover_ms(stage)
        with sampler.lock:
            violations = [*self.history.take_violations(), *(audit.violations if audit else ())]
        if audit is not None:
            stage.said += _uncovered_in_words(audit)
        if not sound:
            self._give_up()
        outcome = Outcome(
            fault=fault.name,
            failover_ms=failover_ms,
            arrivals=audit.planned if audit else 0,
            uncovered=sum(audit.uncovered.values()) if audit else 0,
            violations=tuple(violations),
        )
        return outcome, ", ".join(stage.said)

    @property
    def logs(self) -> Path:
        """Where the processes of the running cluster write."""
        return self.directory / f"cluster-{self._generation}"

    # Before.

    def _ready(self) -> tuple[Cluster, Sampler]:
        if self._cluster is None or self._sampler is None:
            self._generation += 1
            self.history = History()
            self._cluster = self._stack.enter_context(Cluster(self.logs, self.network, disks=self.disks))
            self._sampler = self._stack.enter_context(Sampler(self._cluster, self.history))
            self._settle(self._cluster)
        return self._cluster, self._sampler

    def _give_up(self) -> None:
        """End this cluster; its logs stay."""
        self._stack.close()
        if self.network is not None:
            self.network.heal()
        self._cluster = self._sampler = None

    def _begin(self, cluster: Cluster, sampler: Sampler, fault: Fault) -> Stage:
        before = self._settle(cluster)
        task = new_task_id()
        counted = cluster.counts()
        wanted = {"id": task, "name": fault.name, "url": cluster.target.ready["url"], "rate": RATE}
        with cluster.client() as client:
            client.create_task(wanted | {"duration_s": fault.load_s})
        stage = Stage(
            cluster=cluster, sampler=sampler, before=before, task=task, dice=self.dice, counted_before=counted
        )
        stage.wait("the task planned", lambda _: bool(stage.plan()))
        time.sleep(max(0.0, stage.plan()["started_at"] - time.time()) + self.dice.uniform(0.4, 0.9))
        return stage

    def _settle(self, cluster: Cluster) -> Snapshot:
        deadline = time.monotonic() + SETTLE_S_MAX
        missing = ""
        while time.monotonic() < deadline:
            try:
                seen = cluster.outside.look()
                missing = settled(cluster, seen)
                if not missing:
                    return seen
            except redis.RedisError as error:
                missing = f"Redis: {error}"
            time.sleep(0.05)
        raise RoundFailed(f"a settled cluster within {SETTLE_S_MAX:g} s", missing)

    # The fault and after.

    def _survives(self, stage: Stage, fault: Fault) -> bool:
        """Do it and heal it; False if what must come did not come, or the cluster did not settle."""
        sound = True
        steps: tuple[Callable[[], None], ...] = (
            partial(fault.do, stage),
            partial(self._heal, stage),
            partial(self._close, stage),
        )
        for step in steps:
            try:
                step()
            except RoundFailed as failed:
                sound = False
                stage.expect(False, "what-must-come-comes", failed.expected, failed.found)
            except (HaStressError, redis.RedisError, psutil.Error, sqlite3.Error, OSError) as error:
                sound = False
                stage.expect(False, "what-must-come-comes", f"{fault.name} goes through", f"{error!r}")
        return sound

    def _heal(self, stage: Stage) -> None:
        """Whatever a fault left stopped, cut, full, held or dead. Who died without a fault is a find."""
        cluster = stage.cluster
        for name in sorted(set(cluster.dead()) - stage.victims):
            words = cluster.children[name].last_words()
            stage.expect(False, "nobody-dies-by-itself", f"{name} lives", f"it ended; its log ends with{words}")
        for name in (*NODES, *SENTINELS):
            if cluster.children[name].alive:
                cluster.resume(name)
        if self.network is not None:
            self.network.heal()
        for disk in cluster.disks.values():
            disk.free()
        cluster.ask_gate("pass")
        cluster.revive()

    def _close(self, stage: Stage) -> None:
        """Settled, and all that was seen agrees."""
        self._settle(stage.cluster)
        stage.wait("the fence moved to the master", lambda _: self._agree(stage.sampler))
        with stage.sampler.lock:
            self.history.see_events(stage.cluster.outside.events())
            self.history.close()

    def _agree(self, sampler: Sampler) -> bool:
        sampler.look()
        return self.history.fence == self.history.record

    def _audit(self, stage: Stage, fault: Fault) -> books.Audit:
        planned = round(RATE * fault.load_s)
        try:
            stage.wait("the task ended", lambda _: stage.status() == "ended", fault.load_s + ENDED_S_MAX)
        except RoundFailed as failed:
            stage.expect(False, "every-task-ends", failed.expected, stage.status())
        deadline = time.monotonic() + BOOKS_S_MAX
        while True:
            audit = books.audit(
                stage.plan(),
                stage.entries(),
                counted=stage.counted(),
                places=stage.places(),
                killed=frozenset(stage.killed),
                planned=planned,
            )
            if not audit.violations or time.monotonic() > deadline:
                return audit
            time.sleep(0.2)

    def _failover_ms(self, stage: Stage) -> float | None:
        """From the fault to the first act of another master, on the clock of this machine."""
        try:
            acts = [
                int(event["at_ms"])
                for event in stage.cluster.outside.events()
                if event["name"] == "+acting" and int(event["epoch"]) > stage.before.epoch
            ]
        except redis.RedisError:
            return None
        return min(acts) - stage.struck_at * 1000 if acts and stage.struck_at else None


def _uncovered_in_words(audit: books.Audit) -> list[str]:
    words = [f"{gap} arrivals of the killed {holder[0]} uncovered" for holder, gap in sorted(audit.uncovered.items())]
    reached = sum(audit.reached.values())
    return [*words, f"{reached} of them sent"] if reached else words


def runnable(why_no_network: str, why_no_disk: str) -> tuple[list[Fault], dict[str, str]]:
    """The faults that can run here, and why each of the others cannot."""
    reasons: Mapping[str, str] = {"": "", "network": why_no_network, "disk": why_no_disk}
    skipped = {fault.name: reasons[fault.needs] for fault in FAULTS if reasons[fault.needs]}
    return [fault for fault in FAULTS if fault.name not in skipped], skipped


Say = Callable[[int, Fault, Outcome, str], None]


def play_all(drawn: list[Fault], directory: Path, *, seed: int, network: bool, disks: bool, say: Say) -> list[Outcome]:
    """Every round of `drawn`. Whatever happens, afterwards nothing of it runs, is mounted or is in the network."""
    unmount_stale()
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        wires: Any = None
        if network:
            wires = stack.enter_context(Network(HOSTS))
            stack.enter_context(wires.inside("witness"))
        rounds = stack.enter_context(Rounds(directory, wires, disks, random.Random(seed)))
        for number, fault in enumerate(drawn, 1):
            outcome, words = rounds.play(fault)
            outcomes.append(outcome)
            say(number, fault, outcome, words)
    return outcomes
