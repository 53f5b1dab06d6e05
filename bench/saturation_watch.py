"""Watching a saturated cluster from a process of its own, at normal priority, like one more sentinel.

The observer holds a mesh connection to every node and pings each `ping_period_s`, over the same code and under the same
scheduler as a sentinel; a ping counts from right before it is sent until its pong has been read. It votes for nothing, and
its own lateness is one of the figures. Loop lags are those that the processes tell of themselves, read twice a period.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence

import psutil
import redis
import trio

from bench.saturation_figures import DOWN_AFTER_S, Samples
from chaos.outside import Outside
from ha_stress.base.errors import HaStressError, MeshUnavailable
from ha_stress.cluster.mastership import NOBODY
from ha_stress.mesh.client import connect_mesh
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.lag import PERIOD_S, LoopLag
from ha_stress.wire.messages import Ping, Pong

OBSERVER = "observer"
Address = tuple[str, int]


class PingObserver:
    """Pings one node for ever and keeps each round trip."""

    def __init__(self, node: str, address: Address, secret: str, period_s: float, samples: Samples) -> None:
        self._node = node
        self._address = address
        self._secret = secret
        self._period_s = period_s
        self._samples = samples
        self._answers = samples.pings_s.setdefault(node, [])
        self._sent: dict[int, float] = {}
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        """Until cancelled; a broken connection is counted and dialled again."""
        while True:
            try:
                async with (
                    connect_mesh(*self._address, self._secret, connect_timeout_s=DOWN_AFTER_S) as connection,
                    trio.open_nursery() as nursery,
                ):
                    nursery.start_soon(self._ping, connection)
                    await self._listen(connection)
            except* MeshUnavailable:
                self._samples.broken_connections += 1
                self._sent.clear()
                await trio.sleep(self._period_s)

    async def _ping(self, connection: Connection) -> None:
        while True:
            number = next(self._numbers)
            self._sent[number] = trio.current_time()
            await connection.send(Ping(sender=OBSERVER, number=number, record=NOBODY, voted_epoch=0, sentinels=0))
            await trio.sleep(self._period_s)
            self._give_up(trio.current_time())

    def _give_up(self, now: float) -> None:
        for number in [number for number, at in self._sent.items() if now - at > 10 * DOWN_AFTER_S]:
            del self._sent[number]
            self._samples.lost_pings += 1

    async def _listen(self, connection: Connection) -> None:
        while True:
            message = await connection.receive()
            now = trio.current_time()
            if isinstance(message, Pong) and message.number in self._sent:  # others are news that nobody asked for
                self._answers.append(now - self._sent.pop(message.number))


async def watch(
    outside: Outside, secret: str, period_s: float, pids: Mapping[str, Sequence[int]], seconds: float
) -> Samples:
    """Everything that can be seen for so long. `pids` are the processes whose cpu is counted, by kind."""
    samples = Samples()
    last = _newest_event(outside)
    nodes = (await trio.to_thread.run_sync(outside.look)).nodes
    lag = LoopLag()
    trio.lowlevel.add_instrument(lag)
    meter, host = CpuMeter(pids), HostMeter()
    await trio.sleep(1.0)  # the first second of the host's cpu
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for info in nodes.values():
            address = (info.mesh_host, info.mesh_port)
            nursery.start_soon(PingObserver(info.id, address, secret, period_s, samples).run)
        nursery.start_soon(_every, PERIOD_S / 2, lambda: _read_lags(outside, lag, samples))
        nursery.start_soon(_every, 1.0, lambda: samples.cpu_percent.append(host.busy_percent()))
        await trio.sleep(seconds)
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
