"""What is simulated: the sound cores, or the same cores with one planted defect each.

A simulator that catches nothing proves nothing; `tests/test_sim.py` and `python -m tests.sim.mutants` demand that each of
these is caught.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from ha_stress.cluster.controls import Controls
from ha_stress.node.core import NodeCore
from ha_stress.worker.core import WorkerCore
from sentinel.core import Sentinel
from tests.sim import broken_nodes as nodes
from tests.sim import broken_sentinels as sentinels


class Script(Enum):
    """The scripts of Redis whose comparison can be left out."""

    AWARD = auto()
    HOLD_LEASE = auto()
    REPAIR = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One variant. The switches name the defect; the sound build has none. `faults` are the kinds that provoke it; without
    any, the seed chooses."""

    node: type[NodeCore] = NodeCore
    worker: type[WorkerCore] = WorkerCore
    prepare_sentinel: Callable[[Sentinel], None] = sentinels.as_it_is
    lax_script: Script | None = None
    store_open: bool = False
    forgets_votes: bool = False
    #: Nodes read the record again from time to time, and not only when something was published.
    rereads: bool = True
    #: Who takes the time from the clock on the wall, which jumps, instead of from the monotonic one.
    nodes_on_wall_clock: bool = False
    sentinels_on_wall_clock: bool = False
    #: How the next membership is made of the one that the operator's command gives, and of all sentinels there are.
    change_membership: Callable[[Controls, tuple[str, ...]], Controls] = sentinels.as_asked
    #: The members change in each world, and not only in some.
    members_change: bool = False
    faults: tuple[str, ...] = ()


SOUND = Build()
DEFECTS: dict[str, Build] = {
    # votes
    "vote not durable: told before it is on disk": Build(prepare_sentinel=sentinels.with_voter(sentinels.EagerVoter)),
    "two votes in one epoch": Build(prepare_sentinel=sentinels.with_voter(sentinels.TwoFacedVoter)),
    "votes counted at the wrong epoch": Build(
        prepare_sentinel=sentinels.counts_all, faults=("stragglers", "partition", "crash master")
    ),
    "vote not durable: forgotten by a restart": Build(forgets_votes=True),
    "vote given in tilt": Build(prepare_sentinel=sentinels.with_voter(sentinels.DazedVoter)),
    "vote while the master is seen up": Build(prepare_sentinel=sentinels.with_voter(sentinels.ObligingVoter)),
    "quorum used as majority": Build(prepare_sentinel=sentinels.quorum_elects),
    # failovers
    "award without an epoch compare": Build(
        lax_script=Script.AWARD, faults=("redis stall", "pause sentinel", "crash master")
    ),
    "a silent winner ends the failover": Build(
        prepare_sentinel=sentinels.of_kind(sentinels.GivingUp), faults=("redis stall", "isolate master", "crash master")
    ),
    "who was passed over never gets another chance": Build(
        prepare_sentinel=sentinels.of_kind(sentinels.Resentful), faults=("redis stall", "isolate master", "pause node")
    ),
    # the lease
    "lease without an owner check": Build(lax_script=Script.HOLD_LEASE),
    "old master acts after its deadline": Build(node=nodes.Deadlineless),
    "lease counted from the answer": Build(node=nodes.LateLease),
    "wall clock instead of monotonic, in a node": Build(nodes_on_wall_clock=True),
    "wall clock instead of monotonic, in a sentinel": Build(
        sentinels_on_wall_clock=True, faults=("partition", "redis crash")
    ),
    # the record
    "lower epochs believed": Build(node=nodes.Forgiving),
    "a forgetful Redis is not repaired": Build(
        node=nodes.CarelessNode,
        prepare_sentinel=sentinels.of_kind(sentinels.Careless),
        faults=("redis data loss", "redis loses a second"),
    ),
    "repair that lowers an epoch": Build(
        lax_script=Script.REPAIR, faults=("redis data loss", "delay", "partition", "crash master")
    ),
    "promotion on a lost pub/sub message alone": Build(node=nodes.Credulous, rereads=False),
    "first-master race while a record exists in a sentinel's file": Build(
        node=nodes.Unasking, faults=("redis data loss", "crash master", "crash node")
    ),
    # the operator
    "pause forgotten when Redis loses its data": Build(
        prepare_sentinel=sentinels.with_voter(sentinels.Forgetful),
        faults=("operator pauses", "redis data loss", "crash master"),
    ),
    "failovers go on while paused": Build(
        prepare_sentinel=sentinels.of_kind(sentinels.Busy), faults=("operator pauses", "crash master")
    ),
    "membership changed by two at once": Build(
        change_membership=sentinels.two_at_once,
        members_change=True,
        faults=("operator changes members", "partition", "pause master"),
    ),
    # writes and commands
    "store without a fence": Build(store_open=True),
    "worker that does not check the epoch: orders by revision alone": Build(worker=nodes.EpochBlind),
    "worker that does not check the epoch: ignores the record": Build(worker=nodes.Uninformed),
}
