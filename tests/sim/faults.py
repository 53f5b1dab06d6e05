"""The faults of one storm: a random subset of all kinds, at random moments, over one another, and then none any more."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from ha_stress.cluster.controls import Tags
from tests.sim.process import Process

if TYPE_CHECKING:
    from tests.sim.world import World

#: A wall clock jumps about this often.
CLOCK_PACE_S = 2.0
CLOCK_JUMP = "clock jump"


class Faults:
    """`kinds` is what this storm uses. Every fault heals by itself after a while, and all do at `heal`."""

    def __init__(self, world: World, cycle: int) -> None:
        self.world = world
        self.timeline = world.timeline
        self.rng = world.timeline.rng
        self.over = False
        self._clock_rng = Random(f"clocks of {world.seed}, {cycle}")
        catalogue: dict[str, Callable[[], None]] = {
            "crash master": lambda: self._crash(self._master()),
            "crash node": lambda: self._crash(self._node()),
            "crash sentinel": lambda: self._crash(self._sentinel()),
            "lose host": lambda: self._crash(self.rng.choice([self._node(), self._sentinel()]), host=True),
            "pause master": lambda: self._pause(self._master()),
            "pause node": lambda: self._pause(self._node()),
            "pause sentinel": lambda: self._pause(self._sentinel()),
            "stop master": self._stop_master,
            "partition": self._partition,
            "one-way cut": self._one_way,
            "isolate master": self._isolate_master,
            "loss": self._lose,
            "delay": self._delay,
            "duplication": self._double,
            "stragglers": self._straggle,
            "redis crash": lambda: self._crash_redis(0.0),
            "redis loses a second": lambda: self._crash_redis(1.0),
            "redis data loss": lambda: self._crash_redis(float("inf")),
            "redis stall": self._stall_redis,
            "vote file failure": self._break_disk,
            **self._operators(),
        }
        losses = ("redis data loss", "redis loses a second")
        common = [kind for kind in catalogue if kind not in losses]
        chosen = set(self.rng.sample(common, self.rng.randint(1, len(common))))
        if self.rng.random() < 0.3:
            chosen.add(self.rng.choice(losses))
        if world.build.faults:
            chosen = set(world.build.faults)
        self.kinds = [(kind, strike) for kind, strike in catalogue.items() if kind in chosen]
        self.pace_s = self.rng.choice((0.5, 1.5, 4.0))
        self.length_s = self.rng.choice((0.3, 1.0, 4.0))

    def _operators(self) -> dict[str, Callable[[], None]]:
        """What the operator does in the middle of all this."""
        operator = self.world.operator
        kinds: dict[str, Callable[[], None]] = {
            "operator pauses": self._pause_failovers,
            "operator switches over": lambda: operator.switch(self.rng.choice(["", *self.world.nodes])),
            "operator tags": self._tag,
        }
        if len(self.world.sentinels) in (4, 6):  # one of them is to be added and removed
            kinds["operator changes members"] = lambda: operator.change_members(self.rng)
        return kinds

    def _pause_failovers(self) -> None:
        self.world.operator.pause()
        self._later(self.world.operator.resume_failovers)

    def _tag(self) -> None:
        node = self.rng.choice(list(self.world.nodes))
        self.world.operator.tag(node, self.rng.choice((Tags(priority=0), Tags(draining=True), Tags(priority=1))))
        self._later(self.world.operator.tag, node, Tags())

    def begin(self) -> None:
        self.timeline.after(self._pause_s(), self._strike)

        self.timeline.after(self._clock_rng.expovariate(1 / CLOCK_PACE_S), self._jump)

    def _jump(self) -> None:
        """A wall clock is set. It has dice of its own: for sound cores a seed runs as it would without any jump."""
        if self.over:
            return
        rng = self._clock_rng
        process = rng.choice(self._processes())
        process.wall_offset_s += rng.choice((-1, 1)) * rng.choice((0.5, 5.0, 60.0, 3600.0))
        self.world.checks.faults[CLOCK_JUMP] += 1
        self.world.say("fault", f"{CLOCK_JUMP}: {process.name} is {process.wall_offset_s:+.1f} s off")
        self.timeline.after(rng.expovariate(1 / CLOCK_PACE_S), self._jump)

    def _pause_s(self) -> float:
        return self.rng.expovariate(1 / self.pace_s)

    def _strike(self) -> None:
        if self.over:
            return
        kind, strike = self.rng.choice(self.kinds)
        self.world.checks.faults[kind] += 1
        self.world.say("fault", kind)
        strike()
        self.world.health.note()
        self.timeline.after(self._pause_s(), self._strike)

    def _later(self, undo: Callable[..., object], *args: object) -> None:
        """Undo a fault after a while, unless everything has been healed meanwhile."""
        self.timeline.after(self.rng.expovariate(1 / self.length_s) + 0.02, self._undo, undo, args)

    def _undo(self, undo: Callable[..., object], args: tuple[object, ...]) -> None:
        if not self.over:
            undo(*args)
            self.world.health.note()

    def heal(self) -> None:
        """The end of all faults. A minority of sentinels and all nodes but one may stay dead."""
        self.over = True
        world = self.world
        world.net.heal()
        world.redis.unstall()
        world.redis.restart(forget_s=0.0)
        world.redis.hint_loss = 0.0
        gone = self._left_dead()
        for process in self._processes():
            process.resume()
        for node in world.nodes.values():
            if node.core is not None and node.core.leaving:
                node.die()  # the operator's stop is over as well
        for process in self._processes():
            if process.name in gone and process.alive:
                process.die()
            elif process.name not in gone and not process.alive:
                process.begin()
        for sentinel in world.sentinels.values():
            sentinel.disk_broken = False
        world.say("fault", f"all healed; {', '.join(sorted(gone)) or 'nobody'} stays dead")
        world.health.note()

    def _left_dead(self) -> set[str]:
        world = self.world
        if self.rng.random() < 0.6:
            return set()
        # A change of the membership may be under way: as many may be missing as the smaller one bears.
        fewest = min(len(world.members()), len(world.sentinels))
        sentinels = self.rng.sample(list(world.sentinels), self.rng.randint(0, (fewest - 1) // 2))
        nodes = self.rng.sample(list(world.nodes), self.rng.randint(0, len(world.nodes) - 1))
        eligible = [node.name for node in world.nodes.values() if node.config.priority and node.name not in nodes]
        return {*sentinels, *(nodes if eligible else ())}

    # --- victims ---

    def _processes(self) -> list[Process]:
        return [*self.world.sentinels.values(), *self.world.nodes.values()]

    def _node(self) -> Process:
        return self.rng.choice(list(self.world.nodes.values()))

    def _sentinel(self) -> Process:
        return self.rng.choice(list(self.world.sentinels.values()))

    def _master(self) -> Process:
        """Whom the record names; anybody if there is none."""
        return self.world.nodes.get(self.world.redis.record.node) or self._node()

    # --- processes ---

    def _crash(self, process: Process, *, host: bool = False) -> None:
        if process.alive:
            process.die(host=host)
        self._later(self._revive, process, process.life)

    def _revive(self, process: Process, life: int) -> None:
        if not process.alive and process.life == life:
            process.begin()

    def _pause(self, process: Process) -> None:
        if process.alive:
            process.pause()
            self._later(process.resume)

    def _stop_master(self) -> None:
        node = self.world.nodes.get(self.world.redis.record.node)
        if node is not None and node.alive and not node.paused:
            node.ask_stop()
            self.timeline.after(12.0 + self.rng.random(), self._undo, self._revive, (node, node.life + 1))

    def _break_disk(self) -> None:
        sentinel = self.rng.choice(list(self.world.sentinels.values()))
        sentinel.disk_broken = True
        self._later(setattr, sentinel, "disk_broken", False)

    # --- the network ---

    def _ends(self) -> list[str]:
        return [*self.world.sentinels, *self.world.nodes, self.world.redis.name]

    def _cut(self, pairs: list[tuple[str, str]]) -> None:
        self.world.net.cut(pairs)
        self._later(self.world.net.mend, pairs)

    def _partition(self) -> None:
        ends = self._ends()
        here = set(self.rng.sample(ends, self.rng.randint(1, len(ends) - 1)))
        self._cut([(a, b) for a in ends for b in ends if (a in here) != (b in here)])

    def _one_way(self) -> None:
        ends = self._ends()
        here = set(self.rng.sample(ends, self.rng.randint(1, len(ends) - 1)))
        self._cut([(a, b) for a in ends for b in ends if a in here and b not in here])

    def _isolate_master(self) -> None:
        name = self._master().name
        others = [end for end in self._ends() if end != name]
        if self.rng.random() < 0.5:
            others = list(self.world.sentinels)
        self._cut([pair for end in others for pair in ((name, end), (end, name))])

    def _lose(self) -> None:
        self.world.net.loss = self.world.redis.hint_loss = 0.3 * self.rng.random()
        self._later(self._lose_nothing)

    def _lose_nothing(self) -> None:
        self.world.net.loss = self.world.redis.hint_loss = 0.0

    def _delay(self) -> None:
        self.world.net.delay_max_s = self.rng.choice((0.02, 0.1, 0.5, 1.5))
        self._later(setattr, self.world.net, "delay_max_s", 0.002)

    def _double(self) -> None:
        self.world.net.doubling = 0.3
        self._later(setattr, self.world.net, "doubling", 0.0)

    def _straggle(self) -> None:
        self.world.net.straggling = 0.3
        self._later(setattr, self.world.net, "straggling", 0.0)

    # --- Redis ---

    def _crash_redis(self, forget_s: float) -> None:
        redis = self.world.redis
        if redis.up:
            redis.crash()
            self._later(self._restart_redis, forget_s)

    def _restart_redis(self, forget_s: float) -> None:
        world = self.world
        if forget_s and not world.redis.up:
            durable = [s for s in world.sentinels.values() if s.disk.record.epoch >= world.redis.record.epoch]
            world.checks.redis_forgot(world.redis.record, len(durable), len(world.sentinels) // 2 + 1)
        world.redis.restart(forget_s=forget_s)

    def _stall_redis(self) -> None:
        redis = self.world.redis
        if redis.up:
            redis.stall()
            self._later(redis.unstall)
