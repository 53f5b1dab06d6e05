"""The operator: changes the controls record as the API does (read, change, compare and set), and is believed by nobody's
clock. Also what an operator may expect: a wish that was heard is not forgotten."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from ha_stress.base.errors import Conflict
from ha_stress.cluster import controls as wishes
from ha_stress.cluster.controls import Controls, Tags
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import SentinelInfo
from tests.sim.process import Process

if TYPE_CHECKING:
    from tests.sim.world import World

ATTEMPTS_MAX = 6
RETRY_S = 0.2
#: What one change is made of: the record, the sentinels as they answer when asked, and the controls as they stand.
Make = Callable[[Mastership, tuple[SentinelInfo, ...], Controls], Controls]


class Operator(Process):
    """See the module."""

    def __init__(self, world: World) -> None:
        super().__init__(world.timeline, "operator")
        self.world = world
        self.alive = True

    # --- wishes ---

    def pause(self) -> None:
        self._wish("+paused", lambda record, sentinels, stands: wishes.pause(stands, "maintenance"))

    def resume_failovers(self) -> None:
        self._wish("-paused", lambda record, sentinels, stands: wishes.resume(stands) if stands.paused else stands)

    def switch(self, to: str) -> None:
        self._wish("+switchover", lambda record, sentinels, stands: wishes.ask_switchover(stands, record, to))

    def tag(self, node: str, tags: Tags) -> None:
        def make(record: Mastership, sentinels: tuple[SentinelInfo, ...], stands: Controls) -> Controls:
            return stands if stands.tags.get(node, Tags()) == tags else wishes.tag(stands, node, tags)

        self._wish("+tags", make)

    def change_members(self, rng: Random) -> None:
        """Add who is no member, or remove any member."""
        world = self.world
        spare = next((name for name in world.sentinels if name not in world.members()), "")
        if spare and rng.random() < 0.7:
            self._wish("+members", partial(self._added, spare))
        else:
            self._wish("+members", partial(self._removed, rng.choice(world.members())))

    def _added(self, new: str, record: Mastership, sentinels: tuple[SentinelInfo, ...], stands: Controls) -> Controls:
        return self._changed(wishes.add_sentinel(stands, sentinels, new))

    def _removed(
        self, gone: str, record: Mastership, sentinels: tuple[SentinelInfo, ...], stands: Controls
    ) -> Controls:
        return self._changed(wishes.remove_sentinel(stands, sentinels, gone))

    def _changed(self, next_one: Controls) -> Controls:
        return self.world.build.change_membership(next_one, tuple(self.world.sentinels))

    def settle(self) -> None:
        """In quiet nothing is paused and nobody is tagged."""

        def make(record: Mastership, sentinels: tuple[SentinelInfo, ...], stands: Controls) -> Controls:
            for node in stands.tags:
                stands = wishes.tag(stands, node, Tags())
            return wishes.resume(stands) if stands.paused else stands

        self._wish("settled", make, attempts=100)

    # --- read, change, compare and set ---

    def _wish(self, name: str, make: Make, attempts: int = ATTEMPTS_MAX) -> None:
        redis = self.world.redis
        redis.call(self, partial(self._have_read, name, make, attempts), redis.read_for_operator)

    def _have_read(
        self,
        name: str,
        make: Make,
        attempts: int,
        answer: tuple[Mastership, Controls] | None,
    ) -> None:
        if answer is None:
            self._again(name, make, attempts)
            return
        record, stands = answer
        spoken = tuple(one.description() for one in self.world.sentinels.values() if one.core and not one.paused)
        try:
            wanted = make(record, spoken, stands)
        except Conflict as conflict:
            self.world.say("operator", f"{name} is refused: {conflict}")
            self.world.checks.counts[f"{name} refused"] += 1
            return
        if wanted.revision == stands.revision:
            return
        redis = self.world.redis
        redis.call(self, partial(self._have_set, name, make, attempts), redis.set_controls, stands.revision, wanted)

    def _have_set(self, name: str, make: Make, attempts: int, answer: tuple[bool, Controls] | None) -> None:
        if answer is None or not answer[0]:
            self._again(name, make, attempts)
            return
        self.world.checks.counts[name] += 1

    def _again(self, name: str, make: Make, attempts: int) -> None:
        if attempts > 1:
            self.after(RETRY_S, self._wish, name, make, attempts - 1)
