"""The loop of an engine process: one epoll for all sockets and for the control socket.

    read the ready sockets --> send what is due --> cut reports --> wait until the next is due or a socket is ready

`epoll.poll` rounds its timeout up to a millisecond, and every short timeout sets the machine's timer anew, so the loop waits
without one: an `Alarm` among the sockets goes off when the next arrival is due.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from math import inf
from typing import Any, Final

from ha_stress.base.limits import ENGINE_REPORTS_UNSENT_BYTES_MAX
from ha_stress.base.targets import AllowedTargets
from ha_stress.engines import control
from ha_stress.engines.account import Account
from ha_stress.engines.alarm import Alarm
from ha_stress.engines.clock import now, second_of_report
from ha_stress.engines.hold import STALL_S, Hold
from ha_stress.engines.lane import Lane
from ha_stress.engines.resolve import Resolver
from ha_stress.engines.revisions import Source
from ha_stress.engines.roster import Roster
from ha_stress.engines.stamps import BLIND_S, Stamps
from ha_stress.engines.users import Users
from ha_stress.tasks.schedule import TaskShare

EVENTS_MAX: Final = 256
#: After so many events at once there will be more by the time they are handled: the sockets are asked without waiting.
EVENTS_MANY: Final = 4
#: Above 20,000/s arrivals are sent a few at a time: to sleep for less than this costs more than it saves, and a loop that
#: does not sleep looks saturated long before it is.
PAUSE_S_MIN: Final = 50e-6
#: How often timeouts are looked for; also how much later than its timeout a request may fail.
SWEEP_S: Final = 0.05
#: With very many connections the sweep gets rarer, so that it stays below about 2 % of the core.
SWEEP_S_PER_CONNECTION: Final = 5e-6


class NodeGone(Exception):
    """The control socket closed: the node's process is gone, or ends."""


class Loop:
    """`run` returns only by NodeGone."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        engine: int,
        engines: int,
        allowed: AllowedTargets | None = None,
        silent_s: float = inf,
    ) -> None:
        self._sock = sock
        self._engine, self._engines = engine, engines
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._resolver = Resolver()
        self._allowed = allowed or AllowedTargets.parse()
        self._roster: Roster[Lane] = Roster()
        self._lanes = self._roster.lanes
        self._running: list[tuple[Lane, Account, Any]] = []
        self._users: list[Users] = []
        self._stamps = Stamps()
        self._stamped = False  # whether every answer would be: then nobody need wait for one
        self._cpu_s = 0.0
        self._deframer = control.Deframer()
        self._unsent = bytearray()
        self._applied = 0
        self._said: tuple[int, bool] = (0, True)
        self._tick_s = inf
        self._sweep_s = inf
        self._hold = Hold(silent_s)
        self._warm_s = inf  # when the next warm-up ends
        self._wake_s = inf  # when there is something to do
        self._watchful = True  # whether answers, too, may change that: those to users, and the last ones of a revision
        self._control_mask = select.EPOLLIN
        sock.setblocking(False)
        self._add(sock.fileno(), self._on_control)
        self._add(self._resolver.descriptor, self._resolver.deliver)
        self._alarm = Alarm()
        self._alarm_s = inf
        self._add(self._alarm.descriptor, self._on_alarm, select.EPOLLIN | select.EPOLLET)

    def _add(self, descriptor: int, handler: Callable[[int], None], mask: int = select.EPOLLIN) -> None:
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, mask)

    def run(self) -> None:
        poll, handlers = self._epoll.poll, self._handlers
        stamps, sleep, wall = self._stamps, time.sleep, time.time
        pause_s: float | None = 0.0
        latest_s = inf  # when this pass should have begun at the latest
        while True:
            events = poll(pause_s, EVENTS_MAX)
            for descriptor, mask in events:
                handler = handlers.get(descriptor)
                if handler is not None:  # closed by an earlier event of this batch
                    handler(mask)
            # One look at the clock for both: a stop before it is found now, after it nothing is due that was not before.
            began_s = moment = now()
            if moment > latest_s:
                self._stalled(moment - latest_s + STALL_S)
            if moment >= self._wake_s or self._watchful:
                self._wake_s = self._work(moment)
                moment = now()
            wait_s = self._wake_s - moment
            latest_s = began_s + STALL_S + max(wait_s, 0.0)  # not from the second look: a stop may lie between the two
            for users in self._users:
                users.go_on_until(min(latest_s, self._warm_s) if moment >= self._hold.until_s else -inf)
            stamps.offset_s = 0.0
            if wait_s <= 0 or len(events) >= EVENTS_MANY:
                pause_s = 0.0
                continue
            if PAUSE_S_MIN <= wait_s < BLIND_S and self._stamped and moment >= stamps.blind_from_s:
                sleep(wait_s)
                stamps.offset_s = wall() - now()
                pause_s = 0.0
                continue
            pause_s = None
            if wait_s < PAUSE_S_MIN:
                self._alarm_s = moment + PAUSE_S_MIN
                self._alarm.set(self._alarm_s)
            elif self._wake_s != self._alarm_s and wait_s != inf:
                self._alarm_s = self._wake_s
                self._alarm.set(self._wake_s)

    def _on_alarm(self, _mask: int) -> None:
        self._alarm_s = inf

    def _work(self, moment: float) -> float:
        """Do what is due at `moment`; returns when there is more to do."""
        wake_s = inf
        closing = False
        if moment >= self._warm_s:
            self._end_warm_ups(moment)
        if moment >= self._hold.until_s:
            for lane, account, source in self._running:
                due_s = source.due_s
                if due_s <= moment:
                    lane.fire(account, moment)
                    due_s = source.due_s
                if due_s < wake_s:
                    wake_s = due_s
                elif due_s == inf:
                    closing = True
        else:
            wake_s = self._hold.until_s
        if moment >= self._sweep_s:
            self._sweep(moment)
        if moment >= self._tick_s:
            self._tick()
        if closing:
            self._settle()
        self._watchful = closing or bool(self._users)
        return min(wake_s, self._sweep_s, self._tick_s)

    def _sweep(self, moment: float) -> None:
        period_s, connections = SWEEP_S, 0
        for lane in self._lanes.values():
            connections += len(lane.connections)
            period_s = min(period_s, lane.timeout_s / 4)
            if lane.busy:
                lane.sweep(moment)
        self._sweep_s = moment + max(period_s, connections * SWEEP_S_PER_CONNECTION)
        silence_s = self._hold.silence_s(moment)
        if silence_s is not None:
            self._say({"t": "stalled", "slept_s": silence_s})

    # Reports

    def _tick(self) -> None:
        """On the second by the wall clock: one report for each revision in which something happened."""
        self._arm_tick()
        if len(self._unsent) > ENGINE_REPORTS_UNSENT_BYTES_MAX:
            return  # the node is slow: the counters go on and the next report says all of it
        self._report(self._roster.accounts())
        if any(lane.warm_up.ending for lane in self._lanes.values()):
            self._settle()

    def _end_warm_ups(self, moment: float) -> None:
        """What is due from now on is counted apart from what was due in the warm-up."""
        for lane in self._lanes.values():
            lane.warm_up.end(lane.accounts, moment)
        self._find_running()

    def _arm_tick(self) -> None:
        wall = time.time()
        self._tick_s = now() + 1.0 - wall % 1.0

    def _report(self, accounts: list[Account]) -> None:
        """One report for each of these in which something happened; they share the processor time since the last ones in
        proportion to their requests."""
        changed = [account for account in accounts if account.changed]
        if not changed:
            return
        before, self._cpu_s = self._cpu_s, time.process_time()
        cpu_us = round((self._cpu_s - before) * 1e6)
        weights = [account.activity + 1 for account in changed]
        for account, weight in zip(changed, weights, strict=True):
            self._say(account.cut(self._engine, second_of_report(), cpu_us * weight // sum(weights)))

    def _settle(self) -> None:
        """Close the books of finished revisions at once, not at the next second."""
        if len(self._unsent) > ENGINE_REPORTS_UNSENT_BYTES_MAX:
            return
        settled = [account for lane in self._lanes.values() for account in lane.take_settled()]
        self._report(settled)
        if settled:
            self._find_running()
        self._say_idle()

    def _find_running(self) -> None:
        self._running = [(lane, one, one.cursor) for lane in self._lanes.values() for one in lane.accounts.values()]
        self._users = [source for _, _, source in self._running if isinstance(source, Users)]
        self._warm_s = min((lane.warm_up.ends_s(lane.accounts) for lane in self._lanes.values()), default=inf)
        origins = [origin for lane in self._lanes.values() for origin in lane.origins.values()]
        self._stamped = not self._users and all(origin.tls is None for origin in origins)

    def _say_idle(self) -> None:
        state = (self._applied, not self._roster.busy)
        if state[1]:
            self._tick_s = self._sweep_s = inf
        if state != self._said:
            self._said = state
            self._say({"t": "idle", "n": state[0], "idle": state[1]})

    # Control

    def _on_control(self, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._flush()
        if not mask & ~select.EPOLLOUT:
            return
        try:
            data = self._sock.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError as error:
            raise NodeGone from error
        if not data:
            raise NodeGone
        self._watchful = True
        self._hold.heard(now())
        for message in self._deframer.feed(data):
            if message["t"] == "apply":
                self._apply(message["n"], [control.share_from_plain(share) for share in message["shares"]])
            elif message["t"] == "blob":
                self._roster.blobs[message["digest"]] = message["data"]
            elif message["t"] == "go":
                self._hold.go()

    def _apply(self, number: int, shares: list[TaskShare]) -> None:
        """Run exactly these shares from now on."""
        if self._said[1]:
            self._cpu_s = time.process_time()  # what it took to be idle is nobody's
        self._roster.change(shares, self._new_lane, self._report)
        self._find_running()
        self._applied = number
        self._arm_tick()
        self._sweep_s = now() + SWEEP_S
        self._say_idle()

    def _new_lane(self, share: TaskShare, started_s: float, parked: dict[int, Source]) -> Lane:
        return Lane(
            share,
            engine=self._engine,
            engines=self._engines,
            started_s=started_s,
            parked=parked,
            epoll=self._epoll,
            handlers=self._handlers,
            resolver=self._resolver,
            allowed=self._allowed,
            stamps=self._stamps,
            blobs=self._roster.blobs,
        )

    def _stalled(self, slept_s: float) -> None:
        """This process did not run for a while, so its share may have been given to others: ask before going on."""
        moment = now()
        self._watchful = True
        self._hold.stalled(moment)
        self._sweep_s = moment + SWEEP_S  # the answers that came meanwhile are read before anything times out
        self._say({"t": "stalled", "slept_s": slept_s})

    def _say(self, message: dict[str, Any]) -> None:
        self._unsent += control.frame(message)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass  # the node is slow; `_on_control` goes on when there is room
        except OSError as error:
            raise NodeGone from error
        mask = select.EPOLLIN | select.EPOLLOUT if self._unsent else select.EPOLLIN
        if mask != self._control_mask:
            self._control_mask = mask
            self._epoll.modify(self._sock.fileno(), mask)
