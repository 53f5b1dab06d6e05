"""Faults that take several at once, or leave a Redis that answers and is of no use. As in `faults`, each waits for what must
come and looks whether it is so."""

from __future__ import annotations

import time
from typing import Final

from chaos.outside import Snapshot
from chaos.rounds.cluster import NODES, SENTINELS
from chaos.rounds.stage import Stage

#: All memory of Redis is used up for longer than a lease lasts, and than a node is believed to live unheard.
FULL_S: Final = 4.7
#: Who wakes up after a failover has this long to disturb it: its tilt, and a campaign.
AWAKE_S: Final = 4.0


def kill_sentinels(stage: Stage) -> None:
    """Nobody could elect; they come back with their files, and the master has not noticed."""
    stage.kill(*SENTINELS)
    stage.cluster.revive()
    stage.stays(0.8)


def kill_nodes(stage: Stage) -> None:
    """The record names a process that is gone, and whoever follows it finds a plan whose holders are all dead."""
    stage.kill(*NODES)
    stage.cluster.revive()
    stage.successor()


def kill_master_and_redis(stage: Stage) -> None:
    """Nothing can be awarded until Redis is back."""
    stage.kill(stage.master)
    stage.cluster.redis.kill()
    time.sleep(0.5)
    with stage.cluster.at("redis"):
        stage.cluster.redis.start()
    stage.successor()


def pause_sentinel(stage: Stage) -> None:
    """It sleeps through a failover, and what it believes when it wakes up is of the old master."""
    sentinel = stage.dice.choice(SENTINELS)
    stage.pause(sentinel)
    stage.kill(stage.master)
    after = stage.successor()
    stage.resume(sentinel)
    time.sleep(AWAKE_S)
    seen = stage.wait("an acting master", lambda now: now.master is not None)
    expected = f"{after.node} stays master under epoch {after.epoch}"
    same = (seen.epoch, seen.node) == (after.epoch, after.node)
    stage.expect(same, "no-failover-of-a-healthy-master", expected, f"{seen.node} under epoch {seen.epoch}")
    stage.say(f"{sentinel} slept meanwhile")


def redis_flush(stage: Stage) -> None:
    """All keys are gone in the midst of work; connections and subscriptions stay."""
    with stage.sampler.lock:
        stage.history.declare_loss()
    stage.strike()
    stage.cluster.outside.client.flushall()
    _same_or_next(stage)


def redis_full(stage: Stage) -> None:
    """It can be read, and refuses every write: nobody ends by that, the load goes on, the master is suspended."""
    plan = stage.plan()["revisions"]
    stage.strike()
    stage.cluster.outside.client.config_set("maxmemory", "1")
    try:
        time.sleep(FULL_S)
    finally:
        stage.cluster.outside.client.config_set("maxmemory", "0")
    _same_or_next(stage)
    now = stage.plan()["revisions"]
    stage.expect(now == plan, "nobody-loses-a-share-unheard", f"{len(plan)} revisions, as before", now)


def _same_or_next(stage: Stage) -> None:
    def acts(now: Snapshot) -> bool:
        return now.epoch >= stage.before.epoch and now.master is not None

    seen = stage.wait("an acting master", acts)
    same = seen.epoch == stage.before.epoch
    stage.say(f"{seen.node} acts{' on' if same else f' in place of {stage.master}'}")
