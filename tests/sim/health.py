"""Who has been in good order, and since when: what decides whether a failover was false. And what quiet means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import Role
from sentinel.failover import Phase

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World

#: Above these a link is not "connected": a stream over it may be silent for seconds by loss alone.
LOSS_MAX = 0.05
DELAY_MAX_S = 0.1
#: The cause of a campaign that the operator asked for.
ASKED_FOR = "switchover"


class Health:
    """`note` is called after each fault and each healing; between two of them nothing changes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._well: dict[str, tuple[bool, int]] = {}
        self._since: dict[str, float] = {}
        self._named_at = 0.0
        self._false: dict[tuple[str, int], bool] = {}
        self._begun: dict[tuple[str, int], tuple[float, bool]] = {}

    def note(self) -> None:
        now = self._world.timeline.now
        for node in self._world.nodes.values():
            well = (self._is_well(node), node.life)
            if well != self._well.get(node.name) or not well[0]:
                self._well[node.name] = well
                self._since[node.name] = now

    def begun(self, leader: str, epoch: int, against: Mastership, cause: str) -> None:
        """A sentinel tries a failover. It is false if its victim has had the time to act, and been well for
        `down_after_s`; a switchover that was asked for is not."""
        asked_for = cause == ASKED_FOR
        self._false[(leader, epoch)] = not asked_for and self._is_innocent(against)
        self._begun[(leader, epoch)] = (self._world.timeline.now, asked_for)

    def elected(self, leader: str, epoch: int) -> None:
        """While every living sentinel has known since before this campaign that failovers are paused, only a switchover
        is carried out."""
        world = self._world
        begun_at, asked_for = self._begun[(leader, epoch)]
        heard = [sentinel.paused_at for sentinel in world.sentinels.values() if sentinel.alive]
        if not asked_for and all(paused_at is not None and paused_at < begun_at for paused_at in heard):
            world.checks.failed_over_while_paused(leader, epoch)

    def awarded(self, before: Mastership, after: Mastership) -> None:
        """A failover happened. `late`: it was begun for a reason, and arrived when the reason was gone."""
        world = self._world
        world.say("redis", f"award {after.epoch}/{after.incarnation} after {before.epoch}/{before.incarnation}")
        elected = (world.checks.leaders.get(after.epoch, ""), after.epoch)
        if self._begun.get(elected, (0.0, False))[1]:
            world.checks.counts["switchovers"] += 1
        else:
            self._failed_over(before, after, elected)
        self._named_at = world.timeline.now

    def _failed_over(self, before: Mastership, after: Mastership, elected: tuple[str, int]) -> None:
        world = self._world
        false = self._false.get(elected, False)
        late = not false and self._is_innocent(before)
        world.checks.counts["failovers"] += 1
        world.checks.counts["false_failovers"] += false
        world.checks.counts["late_failovers"] += late
        if false or late:
            world.say("health", f"a {'false' if false else 'late'} failover: {before.incarnation} has been well")
        if world.fault_free:
            world.checks.violate("no failover without a fault", f"from {before.incarnation} to {after.incarnation}")

    def _is_innocent(self, record: Mastership) -> bool:
        world = self._world
        victim = world.nodes.get(record.node)
        if victim is None or victim.incarnation != record.incarnation or not self._is_well(victim):
            return False
        well_s = world.timeline.now - self._since.get(victim.name, 0.0)
        named_s = world.timeline.now - self._named_at
        return well_s >= world.timing.down_after_s and named_s >= world.timing.accept_timeout_s

    def _is_well(self, node: SimNode) -> bool:
        world = self._world
        if not node.alive or node.paused or node.core is None or node.core.leaving:
            return False
        net = world.net
        if net.loss > LOSS_MAX or net.delay_max_s > DELAY_MAX_S:
            return False
        if not world.redis.up or world.redis.stalled or not net.joined(node.name, world.redis.name):
            return False
        members = [world.sentinels[name] for name in world.members()]
        seeing = [s for s in members if s.alive and not s.paused and net.joined(s.name, node.name)]
        return len(seeing) > len(members) // 2


def unsettled(world: World) -> str:
    """Why the world is not in order yet; "" if exactly one master acts, everybody agrees, and nobody campaigns."""
    record = world.redis.record
    acting = [node.incarnation for node in world.nodes.values() if node.may_act()]
    masters = [n.incarnation for n in world.nodes.values() if n.core is not None and n.core.role is Role.MASTER]
    if len(acting) != 1 or masters != acting:
        return f"acting: {acting}, masters: {masters}, record {record.epoch}/{record.incarnation}"
    if acting[0] != record.incarnation:
        return f"{acting[0]} acts, the record names {record.incarnation}"
    if world.store.row != (record.epoch, record.node, record.incarnation):
        return f"the master has not written: the fence is at {world.store.row}"
    for sentinel in world.sentinels.values():
        core = sentinel.core
        if not sentinel.alive or core is None:
            continue
        if core.record != record:
            return f"{sentinel.name} believes in {core.record.epoch}/{core.record.incarnation}"
        if core.campaign.phase is not Phase.IDLE:
            return f"{sentinel.name} is in phase {core.campaign.phase.name} at epoch {core.campaign.epoch}"
        if core.controls != world.redis.controls:
            return f"{sentinel.name} knows revision {core.controls.revision} of {world.redis.controls}"
        if core.membership != core.controls.membership and core.controls.membership.version:
            return f"{sentinel.name} has membership {core.membership.version} of {core.controls.membership.version} on disk"
    if world.redis.controls.paused:
        return "failovers are paused"
    if record.epoch < world.highest_at_heal:
        return f"the record is {record.epoch}, and {world.highest_at_heal} was known"
    return ""
