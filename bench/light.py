"""Light simulated nodes, many to a process: real mesh, real Redis commands at the pace of real nodes, no engines.

    python -m bench.light '{"redis_url": ..., "cluster": ..., "secret": ..., "first": 1, "count": 500, ...}'

Each node registers, describes itself every `info_period_s`, reads its assignment and the mastership record every `reread_s`
and whenever its own subscription says so, applies what it reads at once, and answers the pings of sentinels. Lines of JSON
on standard output say what has happened, {"said": what, "at": monotonic seconds}: "ready", "watched" when each sentinel has
its connections to all nodes here, the id of a task when each node here has applied its share. Ends with its standard input.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import redis

from bench.light_mesh import LightMesh, LightNode
from ha_stress.base.config import Timing
from ha_stress.bus.link import Script, milliseconds, pool_for
from ha_stress.bus.records import record_of
from ha_stress.node.election import SPREAD_S
from ha_stress.tasks.schedule import NodeAssignment
from ha_stress.wire.codec import decode, encode
from ha_stress.wire.keys import Keys

#: Nodes do their periodic business in slices of this length: a pipeline of a dozen commands rather than a round trip each.
SLICE_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class LightSpec:
    """Which nodes a process plays: `count` of them, named l<first>, l<first + 1>, ...; how many sentinels watch them."""

    redis_url: str
    cluster: str
    secret: str
    first: int
    count: int
    sentinels: int


class LightNodes:
    """The nodes of one process, driven by `run`."""

    def __init__(self, spec: LightSpec, timing: Timing, say: Callable[[str], None]) -> None:
        self.nodes = {name: LightNode(name) for name in (f"l{spec.first + step}" for step in range(spec.count))}
        self._keys = Keys(spec.cluster)
        self._timing = timing
        self._pool = pool_for(spec.redis_url, 1 + spec.count)
        self._client = redis.Redis(connection_pool=self._pool)
        self._pipeline = self._client.pipeline(transaction=False)
        self._register = Script(self._pipeline, "register")
        self._publish = Script(self._pipeline, "publish_info")
        self._mesh = LightMesh(list(self.nodes.values()), spec.secret)
        self._hinted: dict[str, None] = {}
        self._later: list[tuple[float, str]] = []  # a heap: who reads when, of those whom an election does not concern
        self._told: set[str] = set()
        self._connections_wanted = spec.count * spec.sentinels
        self._say = say
        self._stopped = False

    def run(self) -> None:
        """Play until standard input ends."""
        self._mesh.follow(sys.stdin, self._stop)
        names = list(self.nodes)
        self._join(names)
        self._subscribe(names)
        self._tell("ready")
        began, done = time.monotonic(), 0
        while not self._stopped:
            self._mesh.serve(SLICE_S / 2)
            # The turns of all nodes are spread evenly over the period; which are due follows from the time alone.
            due = int((time.monotonic() - began) * len(names) / self._timing.info_period_s)
            if due - done >= max(1, len(names) * SLICE_S / self._timing.info_period_s):
                turns = range(done, min(due, done + len(names)))
                done = due
                self._take_turns([names[turn % len(names)] for turn in turns], turns)
            if self._mesh.connections >= self._connections_wanted:
                self._tell("watched")
            while self._later and self._later[0][0] <= time.monotonic():
                self._hinted[heapq.heappop(self._later)[1]] = None
            if self._hinted:
                hinted, self._hinted = list(self._hinted), {}
                self._read(hinted)

    def _stop(self) -> None:
        self._stopped = True

    def _join(self, names: list[str]) -> None:
        for name in names:
            node = self.nodes[name]
            keys = (self._keys.sequences, self._keys.nodes, self._keys.node(name))
            self._register(keys, (name, node.incarnation, 0))
        for name, sequence in zip(names, self._pipeline.execute(), strict=True):
            self.nodes[name].sequence = int(sequence)
        self._describe(names)

    def _subscribe(self, names: list[str]) -> None:
        """A connection each, as real nodes have, so that Redis sends each publication as often as in reality."""
        for name in names:
            connection: Any = self._pool.get_connection()
            connection.send_command("SUBSCRIBE", self._keys.task_channel(name), self._keys.election_channel)
            for _ in range(2):
                connection.read_response()
            sock = connection._sock  # redis-py has no public way to wait for many connections at once
            self._mesh.follow(sock, partial(self._hear, name, sock))

    def _hear(self, name: str, sock: Any) -> None:
        """Whatever was published, it means: read the records. No light node is ever named in an election, so then it reads
        as a real node does that was not named: a little later."""
        heard = sock.recv(65_536)
        if not heard:
            raise SystemExit("Redis has gone")
        if self._keys.task_channel(name).encode() in heard:
            self._hinted[name] = None
        else:
            heapq.heappush(self._later, (time.monotonic() + random.random() * SPREAD_S, name))

    def _take_turns(self, names: list[str], turns: Iterable[int]) -> None:
        """Everybody describes itself each period, and reads its records at each `reread_s`."""
        self._describe(names)
        every = max(1, round(self._timing.reread_s / self._timing.info_period_s))
        self._read([name for name, turn in zip(names, turns, strict=True) if turn // len(self.nodes) % every == 0])

    def _describe(self, names: list[str]) -> None:
        expiry_ms = milliseconds(self._timing.info_expiry_s, "a node's description")
        for name in names:
            node = self.nodes[name]
            keys = (self._keys.nodes, self._keys.node(name))
            channels = (self._keys.info_channel, self._keys.newcomers_channel)
            self._publish(keys, (name, node.incarnation, encode(node.info()), expiry_ms, *channels))
        self._pipeline.execute()

    def _read(self, names: list[str]) -> None:
        """Assignment and record of each; whoever got something new applies it and says so."""
        for name in names:
            self._pipeline.get(self._keys.assignment(name))
            self._pipeline.hgetall(self._keys.mastership)
        answers = iter(self._pipeline.execute())
        changed = [
            name for name, data, fields in zip(names, answers, answers, strict=False) if self._take(name, data, fields)
        ]
        if changed:
            self._describe(changed)
            self._report()

    def _take(self, name: str, data: bytes | None, fields: dict[bytes, bytes]) -> bool:
        node = self.nodes[name]
        node.learn(record_of(fields, self._keys.mastership))
        assignment = decode(NodeAssignment, data) if data else None
        if assignment is None or assignment.incarnation != node.incarnation:
            return False
        news = (assignment.epoch, assignment.revision)
        if news <= node.applied or assignment.epoch < node.record.epoch:
            return False
        node.applied = news
        node.tasks = frozenset(share.task for share in assignment.shares)
        return True

    def _report(self) -> None:
        for task in frozenset.intersection(*(node.tasks for node in self.nodes.values())):
            self._tell(task)

    def _tell(self, what: str) -> None:
        """Once."""
        if what not in self._told:
            self._told.add(what)
            self._say(what)


def say(what: str) -> None:
    print(json.dumps({"said": what, "at": time.monotonic()}), flush=True)


def main() -> None:
    settings = json.loads(sys.argv[1])
    timing = Timing(**settings.pop("timing"))
    LightNodes(LightSpec(**settings), timing, say).run()


if __name__ == "__main__":
    main()
