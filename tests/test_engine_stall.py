"""An engine that stood still asks before it goes on, wherever in its loop it was stopped; the one of exchanges too."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any

import pytest
import trio

from ha_stress.base.targets import AllowedTargets
from ha_stress.engines.exchange.loop import Loop as ExchangeLoop
from ha_stress.engines.exchange.reach import Reach
from ha_stress.engines.exchange.watchdog import Blocked, Watchdog
from ha_stress.engines.hold import STALL_S
from ha_stress.engines.loop import Loop
from ha_stress.tasks.schedule import Part
from tests.engine_support import TargetProcess, part, raw_server, share, target_process
from tests.engine_thread import EngineThread, engine_thread, in_a_thread

USERS = part(0, None, users=3, modulus=3, slots=(0, 1, 2))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_counted(target: TargetProcess, count: int) -> None:
    until(lambda: target.counted() >= count)


class StopsWhereItReads(Loop):
    """Stands still while it handles the sockets, as if it had been stopped, when a byte comes through the pipe."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._add(PIPE[0], self._stand_still)

    def _stand_still(self, _mask: int) -> None:
        os.read(PIPE[0], 1)
        time.sleep(STALL_S + 0.5)


PIPE = [-1, -1]


@pytest.mark.parametrize("what", [part(100, None), USERS], ids=["arrivals", "users"])
def test_a_stop_while_answers_are_read_is_found_before_anything_is_sent(what: Part) -> None:
    """Regression, found by chaos: stopped between its two looks at the clock, an engine sent all that had become due."""
    PIPE[:] = os.pipe()
    with target_process() as target, engine_thread(kind=StopsWhereItReads) as engine:
        engine.apply(share(target.url, what))
        until_counted(target, 20)
        os.write(PIPE[1], b"x")
        assert engine.until_heard("stalled")
        held = target.counted()
        time.sleep(0.5)
        assert target.counted() == held
        engine.say("go")
        until_counted(target, held + 100)  # it makes up for what was due meanwhile
    for descriptor in PIPE:
        os.close(descriptor)


class StopsInItsReport(Loop):
    """Stands still once, as if it had been stopped, in the pass that cuts its first report."""

    stood = False

    def _tick(self) -> None:
        reports = any(account.changed for account in self._roster.accounts())  # not yet, perhaps
        super()._tick()
        if reports and not self.stood:
            self.stood = True
            time.sleep(STALL_S + 0.5)


def test_a_stop_in_the_middle_of_a_pass_is_found_before_anything_is_sent() -> None:
    """Regression: a second look at the clock after the work of a pass hid a stop during that work."""
    with target_process() as target, engine_thread(kind=StopsInItsReport) as engine:
        engine.apply(share(target.url, part(100, None)))
        assert engine.until_heard("report")
        time.sleep(0.2)  # it stands still by now, and what it had sent has arrived
        held = target.counted()
        assert engine.until_heard("stalled")
        time.sleep(0.3)
        assert target.counted() == held


class BeforeItPaces(trio.abc.Instrument):
    """The engine stands still, as if it had been stopped, right before its pacer goes on; once."""

    def __init__(self) -> None:
        self.wanted = self.stood = False

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.wanted and not self.stood and task.coro.__qualname__ == ExchangeLoop._pace.__qualname__:
            self.stood = True
            time.sleep(STALL_S + 0.5)


@contextmanager
def exchange_thread(instrument: trio.abc.Instrument) -> Iterator[EngineThread]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            loop = ExchangeLoop(
                trio.socket.from_stdlib_socket(theirs),
                engine=0,
                engines=1,
                reach=Reach(AllowedTargets.parse(("loopback",))),
                gone=nursery.cancel_scope.cancel,
            )
            await loop.run()

    with in_a_thread(partial(trio.run, run, instruments=[instrument]), ours, theirs) as engine:
        yield engine


def test_a_stop_between_the_sockets_and_the_pacer_is_found_before_anything_is_begun() -> None:
    """Regression: the pacer of exchanges took a burst of what had become due meanwhile, which may be others' by then."""
    stop = BeforeItPaces()

    def count(sock: socket.socket, _number: int) -> None:
        while data := sock.recv(65_536):
            counted.append(len(data))
            sock.sendall(data)

    counted: list[int] = []
    with raw_server(count) as server, exchange_thread(stop) as engine:
        engine.apply(share(f"tcp://127.0.0.1:{server.port}", part(100, None), body=b"x"))
        assert engine.until_heard("report")
        stop.wanted = True
        until(lambda: stop.stood)
        time.sleep(0.2)  # what it had sent has arrived
        held = len(counted)
        assert held
        assert engine.until_heard("stalled")
        time.sleep(0.3)
        assert len(counted) == held
        engine.say("go")
        until(lambda: len(counted) > held + 100)  # it makes up for what was due meanwhile


def test_scenario_code_is_not_blamed_for_a_stop_of_its_engine() -> None:
    """What a stopped process misses of the watchdog's looks it gets as one."""
    since_s = 5.0
    watchdog = Watchdog(lambda: since_s)
    watchdog._files.add("shop.py")  # and no timer of this process
    code = compile("look()", "shop.py", "exec")

    def look() -> None:
        watchdog._look(signal.SIGALRM, sys._getframe(1))

    def looks(count: int) -> None:
        for _ in range(count):
            exec(code, {"look": look})

    looks(2)
    since_s = 1005.0  # it waited, as it should, and runs again; the clock says nothing
    looks(4)
    since_s = inf  # it waits
    looks(10)
    since_s = 2005.0
    looks(4)
    with pytest.raises(Blocked, match="ran for 1 s"):
        looks(1)


def test_an_engine_holds_while_its_node_is_silent_and_goes_on_when_told() -> None:
    """A node that was suspended alone: its share is given to others, of which neither it nor its engine can know."""
    with target_process() as target, engine_thread(silent_s=1.5) as engine:
        engine.apply(share(target.url, part(100, None)))
        for _ in range(20):  # longer than it may be silent
            time.sleep(0.1)
            engine.say("alive")
        assert not engine.until_heard("stalled", within_s=0.1)
        assert engine.until_heard("stalled")
        time.sleep(0.1)  # what was sent last has arrived
        held = target.counted()
        assert held
        time.sleep(0.5)
        assert target.counted() == held
        engine.say("go")
        until_counted(target, held + 40)  # it makes up for what was due meanwhile
