"""A Redis: the scripts of `ha_stress/bus/lua` as methods, each one step. It can crash, forget, and stall."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ha_stress.bus.mastership import AWARD_TICKET_S, AwardAnswer
from ha_stress.cluster.controls import NO_CONTROLS, Controls
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo
from tests.sim.builds import Script
from tests.sim.checks import Checks
from tests.sim.network import Network
from tests.sim.process import Process
from tests.sim.timeline import Timeline

#: The client's patience with one call.
CALL_TIMEOUT_S = 1.0
Owner = tuple[int, str, str]
T = TypeVar("T")


class Call:
    """One request of a client. `answer` gets the result, or None if none came in time."""

    __slots__ = ("answer", "answered", "args", "client", "life", "operation", "until")

    def __init__(
        self,
        client: Process,
        operation: Callable[..., Any],
        args: tuple[Any, ...],
        answer: Callable[[Any], object],
        until: float,
    ) -> None:
        self.client = client
        self.life = client.life
        self.operation = operation
        self.args = args
        self.answer = answer
        self.until = until
        self.answered = False

    def finish(self, result: Any) -> None:
        if not self.answered:
            self.answered = True
            self.answer(result)


class Patience:
    """The calls of one life of a client, the oldest first, and one timer for when the oldest has waited for too long."""

    __slots__ = ("armed", "calls", "life")

    def __init__(self, life: int) -> None:
        self.life = life
        self.calls: deque[Call] = deque()
        self.armed = False

    def begin(self, call: Call) -> None:
        self.calls.append(call)
        if not self.armed:
            self.armed = True
            call.client.after(CALL_TIMEOUT_S, self.end, call.client)

    def end(self, client: Process) -> None:
        now = client.timeline.now
        calls = self.calls
        while calls and (calls[0].answered or calls[0].until <= now):
            calls.popleft().finish(None)
            if client.life != self.life:
                return  # it died of that answer, or left
        self.armed = bool(calls)
        if calls:
            client.after(calls[0].until - now + 1e-9, self.end, client)


class SimRedis:
    """See the module. `lax` is a planted defect: this script compares nothing."""

    name = "redis"

    def __init__(self, timeline: Timeline, net: Network, checks: Checks, *, lax: Script | None) -> None:
        self.timeline = timeline
        self.net = net
        self.checks = checks
        self.lax = lax
        self.up = True
        self.stalled = False
        self.hint_loss = 0.0
        self.listeners: list[tuple[Process, Callable[[], object]]] = []
        self.on_award: Callable[[Mastership, Mastership], object] = lambda before, after: None
        self._quiet_until = 0.0  # subscriptions that broke are not back yet
        self._life = 0
        self._crashed_at = 0.0
        self._queue: list[Call] = []
        self._patience: dict[str, Patience] = {}
        self._forget()

    def _forget(self) -> None:
        self.record: Mastership = NOBODY
        self._history: list[tuple[float, Mastership]] = []
        self._lease: tuple[Owner, float] | None = None
        self._owners: dict[str, str] = {}
        self._infos: dict[str, tuple[NodeInfo, float]] = {}
        self._sequences: dict[str, int] = {}
        self._tickets: dict[tuple[int, str], float] = {}
        self.controls: Controls = NO_CONTROLS
        self._controls_history: list[tuple[float, Controls]] = []

    # --- faults ---

    def crash(self) -> None:
        self.up = False
        self._crashed_at = self.timeline.now
        self.stalled = False
        self._life += 1
        self._queue.clear()

    def restart(self, *, forget_s: float) -> None:
        """Come back without what was written in the last `forget_s` before the crash; infinity: without anything."""
        if self.up:
            return
        self.up = True
        if forget_s == float("inf"):
            self._forget()
        elif forget_s:
            self.record = self._kept(self._history, forget_s) or NOBODY
            self._lease = None
            self._tickets.clear()
            self.controls = self._kept(self._controls_history, forget_s) or NO_CONTROLS
        self._quiet_until = self.timeline.now + self.timeline.rng.random()
        self.timeline.at(self._quiet_until, self._hint)

    def _kept(self, history: list[tuple[float, T]], forget_s: float) -> T | None:
        """The newest that was written long enough before the crash."""
        return next((one for at, one in reversed(history) if at <= self._crashed_at - forget_s), None)

    def stall(self) -> None:
        self.stalled = True

    def unstall(self) -> None:
        self.stalled = False
        queue, self._queue = self._queue, []
        for call in queue:
            self._execute(self._life, call)

    # --- calls ---

    def call(self, client: Process, answer: Callable[[Any], object], operation: Callable[..., Any], *args: Any) -> None:
        """Ask. `operation` is a bound method of this class; `answer` is called once, in the client's life or never."""
        patience = self._patience.get(client.name)
        if patience is None or patience.life != client.life:
            patience = self._patience[client.name] = Patience(client.life)
        call = Call(client, operation, args, answer, self.timeline.now + CALL_TIMEOUT_S)
        patience.begin(call)
        delay = self.net.stream_s(client.name, self.name)
        if delay is not None:
            self.timeline.after(delay, self._execute, self._life, call)
        elif self.timeline.rng.random() < 0.5:  # the kernel sends it again; the client may have given up long ago
            self.timeline.after(0.2 + 4 * self.timeline.rng.random(), self._sent_again, self._life, call)

    def _sent_again(self, life: int, call: Call) -> None:
        if (call.client.name, self.name) not in self.net.cuts and life == self._life:
            self._execute(life, call)

    def _execute(self, life: int, call: Call) -> None:
        if life != self._life or not self.up:
            self._reply(call, None)  # connection refused or reset
        elif self.stalled:
            self._queue.append(call)
        else:
            self._reply(call, call.operation(*call.args))

    def _reply(self, call: Call, result: Any) -> None:
        delay = self.net.stream_s(self.name, call.client.name)
        if delay is not None and call.client.life == call.life:
            call.client.receive_at(self.timeline.now + delay, call.finish, result)

    def _hint(self) -> None:
        """Something was published on the election channel: at most once, to whom the network lets it."""
        if not self.up or self.timeline.now < self._quiet_until:
            return
        for client, heard in self.listeners:
            if (self.name, client.name) not in self.net.cuts and self.timeline.rng.random() >= self.hint_loss:
                client.receive_at(self.timeline.now + self.net.delay_s(), heard)

    # --- the scripts ---

    def mastership(self) -> Mastership:
        return self.record

    def claim_first(self, node: str, incarnation: str, ttl_s: float) -> Mastership:
        if not self.record.epoch and self._owner() is None:
            self._write(Mastership(epoch=1, node=node, incarnation=incarnation))
            self._lend((1, node, incarnation), ttl_s)
        return self.record

    def hold_lease(self, record: Mastership, ttl_s: float) -> tuple[bool, Mastership]:
        mine = (record.epoch, record.node, record.incarnation)
        if self.lax is Script.HOLD_LEASE:
            self._lend(mine, ttl_s)
            return True, record
        if self.record != record or not record.epoch:
            return False, self.record
        owner = self._owner()
        if owner is None or owner == mine or owner[0] < record.epoch:
            self._lend(mine, ttl_s)
            return True, self.record
        return False, self.record

    def release_lease(self, record: Mastership) -> bool:
        if self._owner() != (record.epoch, record.node, record.incarnation):
            return False
        self._lease = None
        return True

    def announce_award(self, record: Mastership, source: str) -> bool:
        self._tickets[(record.epoch, source)] = self.timeline.now + AWARD_TICKET_S
        return True

    def award_announced(self, record: Mastership, source: str) -> AwardAnswer:
        lax = self.lax is Script.AWARD  # it asks for no ticket either, which would hide nearly all that it does
        if record.epoch <= self.record.epoch and not lax:
            return AwardAnswer(won=False, newest=self.record)
        if not lax and self._tickets.pop((record.epoch, source), 0.0) <= self.timeline.now:
            self.checks.counts["awards refused as late"] += 1
            return AwardAnswer(won=False, newest=self.record, late=True)
        before = self.record
        self._lease = None
        self._write(record)
        self.on_award(before, record)
        return AwardAnswer(won=True, newest=record)

    def announce(self, record: Mastership) -> bool:
        if self.record == record:
            self._hint()
        return self.record == record

    def repair(self, record: Mastership) -> bool:
        if record.epoch <= self.record.epoch and self.lax is not Script.REPAIR:
            return False
        owner = self._owner()
        self._write(record)
        if owner is not None and owner[0] < record.epoch:
            self._lease = None
        return True

    def register(self, node: str, incarnation: str) -> int:
        number = self._sequences.setdefault(node, max(self._sequences.values(), default=0) + 1)
        if self._owners.get(node) != incarnation:
            self._owners[node] = incarnation
            self._infos.pop(node, None)
        return number

    def publish_info(self, info: NodeInfo, expiry_s: float) -> bool:
        if self._owners.setdefault(info.id, info.incarnation) != info.incarnation:
            return False
        self._infos[info.id] = (info, self.timeline.now + expiry_s)
        return True

    def speaks(self, node: str) -> bool:
        """Whether there is a living description under this id."""
        return node in self._infos and self._infos[node][1] > self.timeline.now

    def remove_node(self, node: str, incarnation: str) -> bool:
        if self._owners.get(node) != incarnation:
            return False
        del self._owners[node]
        self._infos.pop(node, None)
        return True

    def read_for_sentinel(self) -> tuple[Mastership, Controls, tuple[NodeInfo, ...]]:
        """What a sentinel reads, one after the other."""
        now = self.timeline.now
        return self.record, self.controls, tuple(info for info, until in self._infos.values() if until > now)

    def read_for_node(self) -> tuple[Mastership, Controls]:
        return self.record, self.controls

    def read_for_operator(self) -> tuple[Mastership, Controls]:
        return self.record, self.controls

    def set_controls(self, expected: int, new: Controls) -> tuple[bool, Controls]:
        if self.controls != new:
            if self.controls.revision != expected:
                return False, self.controls
            self._write_controls(new)
        return True, new

    def repair_controls(self, controls: Controls) -> bool:
        if controls.revision <= self.controls.revision:
            return False
        self._write_controls(controls)
        return True

    def _write_controls(self, controls: Controls) -> None:
        self.controls = controls
        self._controls_history.append((self.timeline.now, controls))
        self._hint()

    def _owner(self) -> Owner | None:
        if self._lease is None or self._lease[1] <= self.timeline.now:
            return None
        return self._lease[0]

    def _lend(self, owner: Owner, ttl_s: float) -> None:
        self.checks.lease_given(owner, self.record)
        self._lease = (owner, self.timeline.now + ttl_s)

    def _write(self, record: Mastership) -> None:
        self.checks.redis_wrote(self.record, record)
        self.record = record
        self._history.append((self.timeline.now, record))
        self._hint()
