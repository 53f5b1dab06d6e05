"""One world: its parts put together from a seed, its life (storms of faults, each followed by quiet), and what was found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ha_stress.base.config import NodeConfig, SentinelConfig, Timing
from tests.sim.builds import SOUND, Build
from tests.sim.checks import Checks, Violation
from tests.sim.conversation import Conversation, brief
from tests.sim.faults import Faults
from tests.sim.fenced import FencedStore
from tests.sim.handover import Handover
from tests.sim.health import Health, unsettled
from tests.sim.network import Network
from tests.sim.node import SimNode
from tests.sim.operator import Operator
from tests.sim.process import Process
from tests.sim.redis import SimRedis
from tests.sim.sentinel import SimSentinel
from tests.sim.timeline import Timeline

QUIET_S = 30.0
#: Within this much quiet there must be one acting master, and from then on nothing may change any more.
SETTLE_MAX_S = 20.0
POLL_S = 0.5
FAULT_FREE_SHARE = 0.1
#: In so many worlds the members of the sentinels may change.
SPARE_SHARE = 0.15
PATIENT = Timing()
#: Between data centres.
SLOW = Timing(
    ping_period_s=1.0,
    down_after_s=5.0,
    view_fresh_s=3.0,
    desync_s=0.08,
    vote_timeout_s=0.5,
    accept_timeout_s=2.0,
    lease_ttl_s=6.0,
    lease_renew_s=1.0,
    lease_margin_s=1.0,
    info_period_s=2.0,
    info_expiry_s=8.0,
    reread_s=4.0,
)
HASTY = Timing(
    ping_period_s=0.25,
    down_after_s=1.0,
    view_fresh_s=1.0,
    accept_timeout_s=0.5,
    lease_ttl_s=2.0,
    lease_renew_s=0.4,
    lease_margin_s=0.3,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one seed gave."""

    seed: int
    seconds: float
    settled_s: float
    fault_free: bool
    counts: Counter[str]
    faults: Counter[str]
    violations: tuple[Violation, ...]
    digest: str = ""
    lines: tuple[str, ...] = ()


class World:
    """See the module."""

    def __init__(self, seed: int, build: Build = SOUND, *, cycles: int = 1, talk: bool = False) -> None:
        self.seed = seed
        self.cycles = cycles
        self.build = build
        self.talk = Conversation() if talk else None
        self.timeline = Timeline(seed)
        rng = self.timeline.rng
        self.fault_free = rng.random() < FAULT_FREE_SHARE and not build.faults
        self.timing = rng.choice((PATIENT, PATIENT, PATIENT, SLOW, SLOW, HASTY))
        self.checks = Checks(self.timeline, seed)
        self.checks.on_violation = self._broken
        self.net = Network(self.timeline)
        self.store = FencedStore(self.checks, broken=build.store_open)
        self.redis = SimRedis(self.timeline, self.net, self.checks, lax=build.lax_script)
        self.highest_at_heal = 0
        self.sentinels: dict[str, SimSentinel] = {}
        self.nodes: dict[str, SimNode] = {}
        self._people()
        self.operator = Operator(self)
        self.health = Health(self)
        self.redis.on_award = self.health.awarded
        self.faults = Faults(self, 0)

    def _people(self) -> None:
        rng = self.timeline.rng
        members = tuple(f"s{number}" for number in range(1, (5 if rng.random() < 0.2 else 3) + 1))
        for member in members:
            config = SentinelConfig(id=member, members=members, data_dir="", timing=self.timing)
            self.sentinels[member] = SimSentinel(self, config)
        self._configured = members
        if rng.random() < SPARE_SHARE or self.build.members_change:  # runs, names itself, and waits to be added
            spare = f"s{len(members) + 1}"
            config = SentinelConfig(id=spare, members=(*members, spare), data_dir="", timing=self.timing)
            self.sentinels[spare] = SimSentinel(self, config)
        for number in range(1, rng.choice((2, 3, 3, 3, 4, 5)) + 1):
            priority = 0 if number > 2 and rng.random() < 0.15 else rng.choice((50, 100, 100))
            config_of_node = NodeConfig(
                id=f"n{number}", database_url="none", timing=self.timing, sentinels=len(members), priority=priority
            )
            self.nodes[config_of_node.id] = SimNode(self, config_of_node)

    def members(self) -> tuple[str, ...]:
        """The sentinels of the newest membership that anybody has."""
        known = [sentinel.disk.controls.membership for sentinel in self.sentinels.values()]
        newest = max([*known, self.redis.controls.membership], key=lambda membership: membership.version)
        return newest.members if newest.version else self._configured

    def say(self, actor: str, what: str) -> None:
        if self.talk is not None:
            self.talk.note(self.timeline.now, actor, what)

    def _broken(self, violation: Violation) -> None:
        """The conversation ends with the sentence that was broken."""
        if self.talk is not None:
            self.talk.note(self.timeline.now, "BROKEN", f"{violation.invariant}: {violation.detail}")
            self.talk.end()

    # --- a life ---

    def run(self) -> Outcome:
        """Start everybody; then, `cycles` times: strike, heal, demand order."""
        timeline = self.timeline
        rng = timeline.rng
        self._start_all()
        timeline.run_until(rng.choice((0.0, 2.0)))  # faults from the very first moment, or after it
        self.health.note()
        settled_s = self._cycle()
        for cycle in range(1, self.cycles):
            if self.checks.violations:
                break
            self.faults = Faults(self, cycle)
            self._start_all()
            settled_s = max(settled_s, self._cycle())
        talk = self.talk
        return Outcome(
            seed=self.seed,
            seconds=timeline.now,
            settled_s=settled_s,
            fault_free=self.fault_free,
            counts=self.checks.counts,
            faults=self.checks.faults,
            violations=tuple(self.checks.violations),
            digest=talk.digest() if talk else "",
            lines=tuple(talk.lines) if talk else (),
        )

    def _cycle(self) -> float:
        """One storm, and the quiet after it. Returns how long that took to come to order."""
        stormy_s = 30 + 40 * self.timeline.rng.random()
        if not self.fault_free:
            self.faults.begin()
        self._pass(self.timeline.now + stormy_s)
        if not self.fault_free:
            self.faults.heal()
        self.highest_at_heal = self._highest_known()
        return self._quiet()

    def _start_all(self) -> None:
        """Whoever is dead starts within two seconds; also who stayed dead in the quiet before."""
        for process in (*self.sentinels.values(), *self.nodes.values()):
            if not process.alive:
                self.timeline.after(self.timeline.rng.random() * 2, self._start, process, process.life)

    @staticmethod
    def _start(process: Process, life: int) -> None:
        if not process.alive and process.life == life:
            process.begin()

    def _pass(self, until: float) -> None:
        """Let time pass; what is broken needs no more of it."""
        timeline = self.timeline
        while timeline.now < until and not self.checks.violations:
            timeline.run_until(min(until, timeline.now + 1.0))

    def _highest_known(self) -> int:
        """The highest epoch that somebody who survives knows of."""
        known = [sentinel.disk.record.epoch for sentinel in self.sentinels.values() if sentinel.alive]
        known += [node.core.record.epoch for node in self.nodes.values() if node.alive and node.core is not None]
        return max([*known, self.redis.record.epoch])

    def _quiet(self) -> float:
        """Liveness. Returns after how much quiet everything was, and stayed, in order."""
        timeline = self.timeline
        start = timeline.now
        settled_at = start
        problem = ""
        handover = Handover(self)
        while timeline.now < start + QUIET_S and not self.checks.violations:
            if self.redis.controls.paused or self.redis.controls.tags:  # perhaps by a wish that arrived late
                self.operator.settle()
            timeline.run_until(timeline.now + POLL_S)
            problem = unsettled(self)
            if handover.follow(timeline.now - start, settled=not problem):
                continue
            if problem:
                settled_at = timeline.now + POLL_S
        if settled_at > start + SETTLE_MAX_S:
            record = self.redis.record
            detail = problem or f"in order only after {settled_at - start:.1f} s of quiet"
            self.checks.violate("quiet brings one acting master", f"{detail} (the record: {brief(record)})")
        return settled_at - start
