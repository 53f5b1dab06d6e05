"""Defects of the simulation's builds, and where the exploration finds each: from which start, with how much going wrong.

A checker that catches nothing proves nothing. Left out are defects that show only in what never happens (a failover that
does not go on), that need a wall clock, or that are about what operators ask for: those are the simulation's.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.explore.search import Found, search
from tests.explore.starts import Exploration, exploration
from tests.explore.state import State
from tests.explore.world import World
from tests.sim.builds import DEFECTS

HUNTS: Mapping[str, Exploration] = {
    "vote not durable: told before it is on disk": exploration("two candidates", "", 0),
    "two votes in one epoch": exploration("two candidates", "overtake=3", 0),
    "votes counted at the wrong epoch": exploration("two candidates", "late=2", 3),
    "vote not durable: forgotten by a restart": exploration("voter restarts", "restart=1", 1),
    "vote given in tilt": exploration("sentinel stalled", "overtake=1", 0),
    "vote while the master is seen up": exploration("master cut off", "", 1),
    "quorum used as majority": exploration("master dead", "", 0),
    "award without an epoch compare": exploration("award under way", "late=1", 4),
    "lease without an owner check": exploration("master cut off", "", 1),
    "old master acts after its deadline": exploration("master paused", "", 0),
    "lease counted from the answer": exploration("first race", "late=1", 3),
    "lower epochs believed": exploration("award under way", "", 1),
    "repair that lowers an epoch": exploration("master dead", "forget=1,late=1", 2),
    "first-master race while a record exists in a sentinel's file": exploration("redis empty", "overtake=1", 1),
    "store without a fence": exploration("master cut off", "overtake=2", 1),
    "worker that does not check the epoch: orders by revision alone": exploration("command under way", "late=1", 2),
    "worker that does not check the epoch: ignores the record": exploration("command under way", "late=1", 2),
}


def hunt(defect: str) -> tuple[World, State, Found]:
    """Explore the build with this defect until something is found, or the bound is reached."""
    world = World(DEFECTS[defect])
    chosen = HUNTS[defect]
    start = chosen.begin(world)
    return world, start, search(world, start, chosen.bound)
