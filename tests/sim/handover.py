"""A switchover in quiet: in a cluster in good order it succeeds, and order is back soon after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sim.world import World

#: When it is asked for, if everything has been in order for a while; and by when it must be over.
ASK_S, GRACE_S = 12.0, 5.0
SHARE = 0.4


class Handover:
    """Asked for in some of the worlds, to somebody or to nobody in particular."""

    def __init__(self, world: World) -> None:
        rng = world.timeline.rng
        self._world = world
        self._asks = rng.random() < SHARE
        self._to_whom = rng.random()
        self._to = ""
        self._asked_at = float("inf")
        self._epoch = 0
        self._done = False

    def follow(self, quiet_s: float, *, settled: bool) -> bool:
        """Called again and again. Returns whether a switchover is under way, so that order may wait for it."""
        if self._asks and not self._done and quiet_s >= ASK_S and self._asked_at == float("inf"):
            self._ask(quiet_s, settled=settled)
        if self._done or self._asked_at == float("inf"):
            return False
        if quiet_s < self._asked_at + GRACE_S:
            return True
        self._done = True
        self._judge()
        return False

    def _ask(self, quiet_s: float, *, settled: bool) -> None:
        world = self._world
        record = world.redis.record
        others = [
            node.name
            for node in world.nodes.values()
            if node.alive and node.config.priority and node.name != record.node
        ]
        if not settled or not others:
            self._done = True
            return
        wanted = ["", *others]
        self._to = wanted[int(self._to_whom * len(wanted))]
        self._epoch, self._asked_at = record.epoch, quiet_s
        world.checks.faults["switchover in quiet"] += 1
        world.say("operator", f"asks for a switchover to {self._to or 'the best'}")
        world.operator.switch(self._to)

    def _judge(self) -> None:
        record = self._world.redis.record
        if record.epoch == self._epoch or (self._to and record.node != self._to):
            asked = f"asked for {self._to or 'another master'} at epoch {self._epoch}"
            self._world.checks.violate(
                "a switchover in quiet succeeds", f"{asked}, have {record.node} at {record.epoch}"
            )
