"""The faults, each a function that does it, waits for what must come, and looks whether it is so.

Whoever is left stopped, cut or dead at its end is resumed, joined and started again by the round.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

from chaos.outside import Snapshot
from chaos.rounds.cluster import NODES, SENTINELS
from chaos.rounds.late import late_writes
from chaos.rounds.network import both_ways
from chaos.rounds.outages import (
    kill_master_and_redis,
    kill_nodes,
    kill_sentinels,
    pause_sentinel,
    redis_flush,
    redis_full,
)
from chaos.rounds.stage import RoundFailed, Stage
from chaos.script import send

#: A lease of 3 s is renewed every 0.5 s and given up 0.5 s early: whoever stood still for so long may not act.
LEASE_OVER_S: Final = 2.7
STOP_ATTEMPTS_MAX: Final = 50
#: How long a planned hand-over may leave the cluster without an acting master.
SWITCHOVER_GAP_MS: Final = 200
OTHERS: Final = (*NODES, *SENTINELS, "redis")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`load_s`: how long the task under it lasts. `needs`: "", "network" or "disk"."""

    name: str
    what: str
    do: Callable[[Stage], None]
    load_s: float = 4.0
    needs: str = ""


# Processes.


def kill_master(stage: Stage) -> None:
    stage.kill(stage.master)
    stage.successor()


def kill_worker(stage: Stage) -> None:
    worker = stage.dice.choice(stage.workers)
    incarnation = stage.before.nodes[worker].incarnation
    stage.kill(worker)

    def noticed(_: Snapshot) -> bool:
        return any(
            event["name"] == "+odown" and event["subject"] == worker and incarnation in event["detail"]
            for event in stage.cluster.outside.events()
        )

    stage.wait(f"{worker} objectively down", noticed)
    stage.wait_holders(f"the share of {worker} moved", lambda nodes: worker not in nodes)
    stage.say(f"the share of {worker} moved after {(time.time() - stage.struck_at) * 1000:.0f} ms")
    stage.stays(0)


def kill_sentinel(stage: Stage) -> None:
    sentinel = stage.dice.choice(SENTINELS)
    stage.kill(sentinel)
    stage.say(f"without {sentinel}")
    stage.stays(0.8)


def kill_two(stage: Stage) -> None:
    two = sorted(stage.dice.sample((*NODES, *SENTINELS), 2))
    stage.kill(*two)
    stage.say(f"without {' and '.join(two)}")
    if stage.master in two:
        stage.successor()
    else:
        stage.stays(1.0)


def kill_leader(stage: Stage) -> None:
    """The award of the elected sentinel is held on its way to Redis, its sender dies, another is elected; then the
    held award arrives."""
    stage.cluster.ask_gate("hold")
    stage.kill(stage.master)
    held = stage.cluster.gate_says(10)
    if not held:
        raise RoundFailed("an elected sentinel that awards the mastership within 10 s", "no award came by")
    leader, epoch = held["leader"], held["epoch"]
    stage.cluster.kill(leader)
    stage.victims.add(leader)
    stage.say(f"{leader} died elected at epoch {epoch}")
    after = stage.successor()
    stage.expect(after.epoch > epoch, "a-dead-leader-awards-nothing", f"an epoch above {epoch}", after.epoch)
    stage.cluster.ask_gate("deliver")
    answer = str(stage.cluster.gate_says(5).get("answer", "no answer"))
    refused = re.match(r"\*\d+\r\n:0\r\n|-NOSCRIPT", answer)
    stage.expect(refused is not None, "a-late-award-is-refused", "a refusal of the award that came late", repr(answer))


def pause_master(stage: Stage) -> None:
    """The master carries the whole load itself (its workers stood still for a moment) when it is stopped with its engines;
    it goes on when its lease is over and a successor acts. Its engines must end where its share was cut meanwhile: what
    they send beyond that is somebody else's, and the books of the round would show it twice."""
    master, workers = stage.master, stage.workers
    stage.pause(*workers)
    stage.wait_holders(f"{master} alone with the load", lambda nodes: nodes == {master})
    stage.wait(f"{master} has engines", lambda _: bool(_engines(stage)), 3)
    time.sleep(0.4)  # the revision begins, the engine works
    stage.resume(*workers)
    _stop_between_writes(stage)
    after = stage.successor()
    stage.wait_holders(f"the share of {master} moved", lambda nodes: master not in nodes)
    time.sleep(max(0.0, stage.struck_at + LEASE_OVER_S - time.time()))
    stage.resume(master)
    for name, refused in late_writes(stage.cluster, stage.before, stage.task).items():
        expected = f"{name} under epoch {stage.before.epoch} is refused"
        stage.expect(refused, "late-writes-are-refused", expected, "it was carried out")
    stage.back_as_worker()
    stage.expect(after.epoch > stage.before.epoch, "epoch-never-falls", "a higher epoch", after.epoch)
    stage.say("its late writes are refused")


def _stop_between_writes(stage: Stage) -> None:
    """A process that is stopped inside a transaction of SQLite holds the lock of the file, and nobody can take it away:
    that would be a fault of the database. (PostgreSQL ends such a transaction.) Then stop it a moment later."""
    for _ in range(STOP_ATTEMPTS_MAX):
        family = stage.cluster.family(stage.master)
        stage.strike()
        send(family, signal.SIGSTOP)
        if stage.cluster.database_is_free():
            return
        send(family, signal.SIGCONT)
        time.sleep(0.01)
    raise RoundFailed("a moment at which the master does not write to the database", "it always did")


def _engines(stage: Stage) -> list[psutil.Process]:
    return stage.cluster.family(stage.master)[1:]


def switchover(stage: Stage) -> None:
    """No fault, but the operator's wish under the same load: nothing may be lost by it, and somebody acts nearly always."""
    stage.strike()
    stage.cluster.client().ask_switchover("", stage.before.epoch)
    after = stage.successor()
    told = {e["name"]: int(e["at_ms"]) for e in stage.cluster.outside.events() if int(e["epoch"]) == after.epoch}
    gap_ms = told["+acting"] - told["+switch-master"]
    stage.say(f"{gap_ms} ms without an acting master")
    stage.expect(gap_ms <= SWITCHOVER_GAP_MS, "a-switchover-leaves-no-gap", f"at most {SWITCHOVER_GAP_MS} ms", gap_ms)


# Redis.


def redis_restart(stage: Stage) -> None:
    stage.strike()
    stage.cluster.redis.kill()
    time.sleep(0.4)
    _start_redis(stage)
    stage.stays(0.5)


def redis_loss(stage: Stage) -> None:
    with stage.sampler.lock:
        stage.history.declare_loss()
    stage.strike()
    stage.cluster.redis.kill()
    stage.cluster.redis.lose_data()
    time.sleep(0.4)
    _start_redis(stage)
    seen = stage.wait("the record repaired", lambda now: now.epoch >= stage.before.epoch and now.master is not None)
    stage.say(f"the record of epoch {seen.epoch} is repaired, {seen.node} acts")


def _start_redis(stage: Stage) -> None:
    with stage.cluster.at("redis"):
        stage.cluster.redis.start()


def redis_stop(stage: Stage) -> None:
    """Longer than a lease lasts: the master must stop acting, the load goes on."""
    stage.strike()
    stage.cluster.redis.signal(signal.SIGSTOP)
    time.sleep(3.2)
    stage.cluster.redis.signal(signal.SIGCONT)
    seen = stage.wait("an acting master", lambda now: now.epoch >= stage.before.epoch and now.master is not None)
    same = seen.epoch == stage.before.epoch
    stage.say(f"{seen.node} acts{' again' if same else f' in place of {stage.master}'}")


# The disk of a vote.


def full_disk(stage: Stage) -> None:
    sentinel = stage.dice.choice(SENTINELS)
    stage.cluster.disks[sentinel].fill()
    vote = stage.history.votes.get(sentinel)
    stage.kill(stage.master)
    stage.successor()
    stage.sampler.look()
    now = stage.history.votes.get(sentinel)
    stage.expect(now == vote, "no-vote-without-a-disk", f"the vote of {sentinel} stays {vote}", now)
    stage.say(f"{sentinel} could not vote")


# The network.


def cut_master(stage: Stage) -> None:
    """Master and everybody else, both ways. The database and the target stay within its reach."""
    stage.cut(both_ways([stage.master], _without(stage.master)))
    stage.successor()
    _join(stage)


def cut_with_sentinel(stage: Stage) -> None:
    """The master keeps one sentinel that sees it up; a majority and Redis are on the other side."""
    sentinel = stage.dice.choice(SENTINELS)
    stage.cut(both_ways([stage.master, sentinel], _without(stage.master, sentinel)))
    stage.say(f"{sentinel} stays with {stage.master}")
    stage.successor()
    _join(stage)


def cut_one_way(stage: Stage) -> None:
    outwards = stage.dice.random() < 0.5
    pairs = [(stage.master, other) for other in _without(stage.master)]
    stage.cut(pairs if outwards else [(to, source) for source, to in pairs])
    stage.say(f"{stage.master} {'hears, but is not heard' if outwards else 'is heard, but hears nothing'}")
    stage.successor()
    _join(stage)


def cut_redis(stage: Stage) -> None:
    """Everybody sees the master, but it cannot renew its lease."""
    stage.cut(both_ways([stage.master], ["redis"]))
    stage.successor()
    _join(stage)


def _without(*names: str) -> list[str]:
    return [name for name in OTHERS if name not in names]


def _join(stage: Stage) -> None:
    assert stage.cluster.network is not None
    stage.cluster.network.heal()
    stage.back_as_worker()


FAULTS: Final = (
    Fault(name="kill-master", what="kill -9 of the master", do=kill_master),
    Fault(name="kill-worker", what="kill -9 of a worker", do=kill_worker),
    Fault(name="kill-sentinel", what="kill -9 of a sentinel", do=kill_sentinel),
    Fault(name="kill-two", what="kill -9 of any two at once", do=kill_two),
    Fault(name="kill-leader", what="kill -9 of the leader between its election and its award", do=kill_leader),
    Fault(name="pause-master", what="SIGSTOP of the master past its lease, then SIGCONT", do=pause_master, load_s=7.0),
    Fault(name="switchover", what="no fault: the operator asks for another master", do=switchover),
    Fault(name="redis-restart", what="kill -9 and start of Redis with its data", do=redis_restart),
    Fault(name="redis-loss", what="kill -9 and start of Redis without its data", do=redis_loss),
    Fault(name="redis-stop", what="SIGSTOP of Redis for longer than a lease", do=redis_stop, load_s=5.0),
    Fault(name="kill-sentinels", what="kill -9 of all sentinels at once", do=kill_sentinels),
    Fault(name="kill-nodes", what="kill -9 of all nodes at once", do=kill_nodes, load_s=5.0),
    Fault(name="kill-master-redis", what="kill -9 of the master and of Redis in one moment", do=kill_master_and_redis),
    Fault(name="pause-sentinel", what="a sentinel is stopped while the master is killed", do=pause_sentinel),
    Fault(name="redis-flush", what="Redis loses all keys while it runs", do=redis_flush),
    Fault(name="redis-full", what="the memory of Redis is used up for longer than a lease", do=redis_full, load_s=7.0),
    Fault(name="full-disk", what="no space for a vote, kill -9 of the master", do=full_disk, needs="disk"),
    Fault(name="cut-master", what="the master alone in a partition", do=cut_master, load_s=5.0, needs="network"),
    Fault(
        name="cut-with-sentinel",
        what="master and one sentinel against the rest",
        do=cut_with_sentinel,
        load_s=5.0,
        needs="network",
    ),
    Fault(
        name="cut-one-way", what="only one direction of the master's wires", do=cut_one_way, load_s=5.0, needs="network"
    ),
    Fault(name="cut-redis", what="the master cut off from Redis only", do=cut_redis, load_s=6.0, needs="network"),
)
