"""An exchange engine's loop: control, pacing, reports and stalls, each a trio task; the arrivals are tasks of their own.

    control   apply, blob, go   -> lanes             pace    due arrivals -> lane.fire, then sleeps until the next is due
    write     what there is to say -> the node       tick    on the second: reports

Time is that of `engines.clock`, which goes on while the machine is suspended; trio's own clock only measures pauses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Any, Final

import trio

from ha_stress.base.limits import (
    COMPLAINT_CAUSE_MAX,
    COMPLAINT_CHARACTERS_MAX,
    ENGINE_REPORTS_UNSENT_BYTES_MAX,
)
from ha_stress.engines import control, failures
from ha_stress.engines.account import Account
from ha_stress.engines.clock import now, second_of_report
from ha_stress.engines.exchange.lane import Lane
from ha_stress.engines.exchange.protocols import exchanges_of
from ha_stress.engines.exchange.reach import Reach
from ha_stress.engines.exchange.reasons import traceback_of, words_of
from ha_stress.engines.exchange.watchdog import Watchdog
from ha_stress.engines.hold import STALL_S, Hold
from ha_stress.engines.revisions import Source
from ha_stress.engines.roster import Roster
from ha_stress.tasks.checking import compiled, with_implied
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.turns import turns

#: How often it is asked whether the node is silent.
LISTEN_S: Final = 0.1
#: The longest sleep of the pacer, so that a schedule far ahead does not depend on one timer.
PAUSE_S_MAX: Final = 3600.0


class Loop:
    """`run` ends only with its nursery. `gone` is called when the node has closed its end."""

    def __init__(
        self,
        sock: trio.socket.SocketType,
        *,
        engine: int,
        engines: int,
        reach: Reach,
        gone: Callable[[], None],
        silent_s: float = inf,
    ) -> None:
        self._sock = sock
        self._engine, self._engines = engine, engines
        self._reach = reach
        self._gone = gone
        self._roster: Roster[Lane] = Roster()
        self._lanes = self._roster.lanes
        self._unsent = bytearray()
        self._to_say = trio.Event()
        self._news = trio.Event()
        self._applied = 0
        self._said: tuple[int, bool] = (0, True)
        self._hold = Hold(silent_s)
        self._cpu_us = time.process_time() * 1e6
        self._nursery: trio.Nursery | None = None
        self._stalls = Stalls(self._stalled)
        self._watchdog = Watchdog(lambda: self._stalls.running_since)

    async def run(self) -> None:
        trio.lowlevel.add_instrument(self._stalls)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for loop in (self._control, self._write, self._pace, self._tick, self._listen):
                nursery.start_soon(loop)

    # Pacing

    async def _pace(self) -> None:
        while True:
            self._news = trio.Event()
            moment = now()
            if self._stalls.late(moment):
                # It was stopped since the last look at the sockets; the next one tells, before any task runs.
                await trio.lowlevel.checkpoint()
                continue
            wake_s = self._hold.until_s if moment < self._hold.until_s else self._fire(moment)
            pause_s = min(wake_s - now(), PAUSE_S_MAX)
            if pause_s <= 0:
                await trio.lowlevel.checkpoint()
                continue
            with trio.move_on_after(pause_s):
                await self._news.wait()

    def _fire(self, moment: float) -> float:
        """Begin what is due at `moment`; returns when more will be."""
        wake_s, closing = inf, False
        for lane in self._lanes.values():
            if moment >= lane.warm_up.until_s:
                lane.warm_up.end(lane.accounts, moment)
            for account in lane.accounts.values():
                if account.cursor.due_s <= moment:
                    lane.fire(account, moment)
                wake_s = min(wake_s, account.cursor.due_s)
                closing = closing or account.cursor.exhausted
        if closing:
            self._settle()
        return wake_s

    def _look(self) -> None:
        """Wake the pacer: something may be due earlier than it knows, or be settled."""
        self._news.set()

    # Reports

    async def _tick(self) -> None:
        while True:
            await trio.sleep(1.0 - time.time() % 1.0)
            for lane in self._lanes.values():
                lane.give_up()
            if len(self._unsent) > ENGINE_REPORTS_UNSENT_BYTES_MAX:
                continue  # the node is slow: the counters go on and the next report says all of it
            for lane in self._lanes.values():
                lane.report_traffic()
            self._report(self._roster.accounts())
            self._settle()

    def _report(self, accounts: list[Account]) -> None:
        changed = [account for account in accounts if account.changed]
        cpu_us = self._cpu_us_since() // len(changed) if changed else 0
        for account in changed:
            self._say(account.cut(self._engine, second_of_report(), cpu_us))

    def _cpu_us_since(self) -> int:
        """Processor time of this process since it was last asked for."""
        before, self._cpu_us = self._cpu_us, time.process_time() * 1e6
        return int(self._cpu_us - before)

    def _settle(self) -> None:
        """Close the books of finished revisions at once, not at the next second."""
        if len(self._unsent) <= ENGINE_REPORTS_UNSENT_BYTES_MAX:
            for lane in self._lanes.values():
                self._report(lane.settle())
            self._say_idle()

    def _say_idle(self) -> None:
        state = (self._applied, not self._roster.busy)
        if state != self._said:
            self._said = state
            self._say({"t": "idle", "n": state[0], "idle": state[1]})

    def _failed(self, task: str, kind: str, error: BaseException) -> None:
        words = words_of(error)
        cause = f"{type(error).__name__}: {words}" if kind == failures.SCENARIO else words or kind
        text = traceback_of(error) if kind == failures.SCENARIO else cause
        said = {"cause": cause[:COMPLAINT_CAUSE_MAX], "text": text[-COMPLAINT_CHARACTERS_MAX:]}
        self._say({"t": "complaint", "task": task, "kind": kind, **said})

    # Control

    async def _control(self) -> None:
        deframer = control.Deframer()
        while True:
            try:
                data = await self._sock.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                self._gone()
                return
            self._hold.heard(now())
            for message in deframer.feed(data):
                match message["t"]:
                    case "apply":
                        self._apply(message["n"], [control.share_from_plain(share) for share in message["shares"]])
                    case "blob":
                        self._roster.blobs[message["digest"]] = message["data"]
                    case "go":
                        self._hold.go()
                        self._look()
                    case "alive":
                        pass
                    case other:
                        raise AssertionError(f"the node said {other!r}")

    def _apply(self, number: int, shares: list[TaskShare]) -> None:
        """Run exactly these shares from now on."""
        idle = self._said[1]
        self._roster.change(shares, self._new_lane, self._report)
        if idle:
            self._cpu_us_since()  # what it took to be idle, and to load what the task needs, is nobody's
        self._applied = number
        self._settle()
        self._look()

    def _new_lane(self, share: TaskShare, started_s: float, parked: dict[int, Source]) -> Lane:
        assert self._nursery is not None
        checks = compiled(() if share.scenario is not None else with_implied(share.checks))
        lane = Lane(
            share,
            engine=self._engine,
            engines=self._engines,
            started_s=started_s,
            parked=parked,
            nursery=self._nursery,
            checks=checks,
            on_ended=self._look,
            on_failed=self._failed,
        )
        if share.scenario is not None:
            self._watchdog.guard(share.scenario.name)
        else:
            lane.turns = turns([request.weight for request in requests_of(share)])
        with self._watchdog.loading():
            lane.exchanges = exchanges_of(
                share,
                blobs=self._roster.blobs,
                checks=checks,
                reach=self._reach,
                traffic=lane.traffic,
                nursery=self._nursery,
            )
        return lane

    def _stalled(self, slept_s: float) -> None:
        """This process did not run for a while, so its share may have been given to others: ask before going on."""
        self._hold.stalled(now())
        self._say({"t": "stalled", "slept_s": slept_s})

    async def _listen(self) -> None:
        """A node that says nothing has been suspended, or is as good as that: its share may be somebody else's by now."""
        while True:
            await trio.sleep(LISTEN_S)
            silence_s = self._hold.silence_s(now()) if self._roster.busy else None
            if silence_s is not None:
                self._say({"t": "stalled", "slept_s": silence_s})

    # Saying

    def _say(self, message: dict[str, Any]) -> None:
        self._unsent += control.frame(message)
        self._to_say.set()

    async def _write(self) -> None:
        while True:
            await self._to_say.wait()
            self._to_say = trio.Event()
            while self._unsent:
                try:
                    sent = await self._sock.send(bytes(self._unsent))
                except OSError:
                    self._gone()
                    return
                del self._unsent[:sent]


class Stalls(trio.abc.Instrument):
    """Notices, before any task does, that this process stood still: the time between two looks at the sockets, beyond the
    pause that was asked for. `running_since` is when the tasks began to run, far ahead while none does."""

    def __init__(self, stalled: Callable[[float], None]) -> None:
        self._stalled = stalled
        self._latest_s = now() + STALL_S
        self.running_since = inf

    def before_io_wait(self, timeout: float) -> None:
        self.running_since = inf
        moment = now()
        if not self.late(moment):  # otherwise it is told after the wait, when tasks can be woken
            self._latest_s = moment + timeout + STALL_S

    def after_io_wait(self, timeout: float) -> None:
        moment, latest_s = now(), self._latest_s
        self.running_since = moment
        self._latest_s = moment + STALL_S
        if moment > latest_s:
            self._stalled(moment - latest_s + STALL_S)

    def late(self, moment: float) -> bool:
        """Whether this process has stood still since it last looked."""
        return moment > self._latest_s
