"""Watching a saturated cluster from a process of its own, at normal priority, like one more sentinel.

The observer runs a sentinel's own probes: it keeps a connection to every node and pings each `ping_period_s`. A ping counts
from the moment at which it is made until its pong has been read. The observer votes for nothing, and its own lateness is one
of the figures. Loop lags are those that the processes tell of themselves, read twice a period.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence

import psutil
import redis
import trio

from bench.saturation_figures import SATURATED_PERCENT, Samples
from chaos.outside import Outside
from ha_stress.base.config import Timing
from ha_stress.base.errors import HaStressError
from ha_stress.cluster.mastership import NOBODY
from ha_stress.cluster.members import NodeInfo
from ha_stress.mesh.lag import PERIOD_S, LoopLag
from ha_stress.wire.messages import Ping
from sentinel import effects as fx
from sentinel.probe import Lines, NodeProbe

OBSERVER = "observer"
#: A new rate needs this long until the cpu says what came of it.
MORE_PERIOD_S = 3.0
#: A ping is remembered for this many periods. A node that answers nothing for `down_after_s` is hung up on long before.
REMEMBERED_PERIODS = 20


class Observer:
    """Pings all nodes and keeps each round trip; connections that break are counted."""

    def __init__(self, timing: Timing, samples: Samples) -> None:
        self._timing = timing
        self._samples = samples
        self._made: dict[int, float] = {}  # the pings of this moment; one may go to several nodes
        self._answered: set[tuple[str, int]] = set()
        #: Set before it is cancelled: connections that it closes itself are not broken.
        self.over = False
        self.lines = Lines(timing, self._ping)

    async def run(self, nodes: Sequence[NodeInfo], secret: str) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.lines.run)
            for info in nodes:
                self._samples.pings_s[info.id] = []
                address = (info.mesh_host, info.mesh_port)
                probe = NodeProbe(
                    info.id, address, secret=secret, timing=self._timing, lines=self.lines, feed=self.take
                )
                nursery.start_soon(probe.run)

    def take(self, happening: fx.Happening) -> None:
        match happening:
            case fx.PongReceived(node, pong):
                self._take_pong(node, pong.number)
            case fx.NodeConnectionLost() | fx.DialFailed() if not self.over:
                self._samples.broken_connections += 1
            case _:
                pass

    def _take_pong(self, node: str, number: int) -> None:
        made = self._made.get(number)
        # A node also sends pongs that nobody asked for, when its role changes.
        if made is not None and (node, number) not in self._answered:
            self._answered.add((node, number))
            self._samples.pings_s[node].append(trio.current_time() - made)

    def _ping(self, number: int) -> Ping:
        now = trio.current_time()
        self._made[number] = now
        for old in [
            one for one, at in self._made.items() if now - at > REMEMBERED_PERIODS * self._timing.ping_period_s
        ]:
            del self._made[old]
            self._answered = {pair for pair in self._answered if pair[1] != old}
        return Ping(sender=OBSERVER, number=number, record=NOBODY, voted_epoch=0, sentinels=0)


async def watch(
    outside: Outside,
    secret: str,
    timing: Timing,
    pids: Mapping[str, Sequence[int]],
    seconds: float,
    more_load: Callable[[], None],
) -> Samples:
    """Everything that can be seen for so long. `pids` are the processes whose cpu is counted, by kind; `more_load` is
    called after seconds in which a core had time to spare."""
    samples = Samples()
    last = _newest_event(outside)
    nodes = (await trio.to_thread.run_sync(outside.look)).nodes
    lag = LoopLag()
    trio.lowlevel.add_instrument(lag)
    meter, host = CpuMeter(pids), HostMeter()
    await trio.sleep(1.0)  # the first second of the host's cpu
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        observer = Observer(timing, samples)
        nursery.start_soon(observer.run, list(nodes.values()), secret)
        nursery.start_soon(_every, PERIOD_S / 2, lambda: _read_lags(outside, lag, samples))
        nursery.start_soon(_every, 1.0, lambda: samples.cpu_percent.append(host.busy_percent()))
        nursery.start_soon(_every, MORE_PERIOD_S, lambda: _keep_busy(samples, more_load))
        await trio.sleep(seconds)
        observer.over = True
        nursery.cancel_scope.cancel()
    samples.seconds = trio.current_time() - began
    samples.cpu_s = meter.spent_s()
    samples.events = [event for event in outside.events() if int(event["sequence"]) > last]
    return samples


async def _every(period_s: float, look: Callable[[], None]) -> None:
    """On a schedule, so that what one look takes delays the next one by nothing."""
    due = trio.current_time()
    while True:
        due = max(due + period_s, trio.current_time())
        await trio.sleep_until(due)
        await trio.to_thread.run_sync(look)


def _keep_busy(samples: Samples, more_load: Callable[[], None]) -> None:
    """What else runs on this machine may end, and leave it idle."""
    newest = samples.cpu_percent[-round(MORE_PERIOD_S) :]
    if newest and max(newest) < SATURATED_PERCENT:
        more_load()


def _read_lags(outside: Outside, lag: LoopLag, samples: Samples) -> None:
    samples.note_lag(OBSERVER, lag.worst_s)
    try:
        for node in outside.look().nodes.values():
            samples.note_lag(node.id, node.loop_lag_s)
        for sentinel in outside.sentinels(time.time()).values():
            samples.note_lag(sentinel.id, sentinel.loop_lag_s)
    except redis.RedisError:
        pass  # asked again half a period later; each value is shown for a whole one


def _newest_event(outside: Outside) -> int:
    events = outside.events()
    return int(events[-1]["sequence"]) if events else 0


class HostMeter:
    """How busy all cores were since the last time that it was asked. (psutil's own keeps that per thread.)"""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def busy_percent(self) -> float:
        before, self._before = self._before, psutil.cpu_times()
        spent = {name: getattr(self._before, name) - getattr(before, name) for name in before._fields}
        # Linux counts a guest's time in user as well.
        whole = sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)
        return 100 * (1 - (spent["idle"] + spent.get("iowait", 0.0)) / whole) if whole > 0 else 0.0


class CpuMeter:
    """Processor seconds by kind of process, from the moment of its making."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self._processes = {kind: [psutil.Process(pid) for pid in some] for kind, some in pids.items()}
        self._before = self._now()

    def spent_s(self) -> dict[str, float]:
        now = self._now()
        return {kind: now[kind] - before for kind, before in self._before.items() if kind in now}

    def _now(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        for kind, processes in self._processes.items():
            try:
                spent[kind] = sum(sum(one.cpu_times()[:2]) for one in processes)
            except psutil.NoSuchProcess as error:
                raise HaStressError(f"a process of kind {kind} ended under load: {error}") from None
        return spent


def processes_of(nodes: Sequence[int], sentinels: Sequence[int], redis_pid: int, target: int) -> dict[str, list[int]]:
    """The pids by kind; engines are the children of the nodes."""
    engines = [child.pid for pid in nodes for child in psutil.Process(pid).children(recursive=True)]
    return {
        "engines": engines,
        "nodes": list(nodes),
        "sentinels": list(sentinels),
        "redis": [redis_pid],
        "target": [target],
        OBSERVER: [os.getpid()],
    }
