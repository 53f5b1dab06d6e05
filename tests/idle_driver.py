"""A driver that does nothing but be there: for tests of the node and the sentinel.

    python -m tests.idle_driver node '<NodeConfig as JSON>'
    python -m tests.idle_driver sentinel '<SentinelConfig as JSON>'

run one real process; it prints one line when it serves, and leaves in good order on SIGTERM.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from functools import partial

import trio

from ha_stress.base.config import NodeConfig, SentinelConfig
from ha_stress.drivers.interface import Driver, MasterDriver, NodeServices, WorkNodeDriver
from ha_stress.drivers.registry import drivers, register_driver


class IdleMaster(MasterDriver):
    """Holds the lease, and says so once."""

    async def run(self) -> None:
        self.node.emit("+acting")
        await super().run()

    async def manage_node(self) -> None:
        """Manages nobody."""

    async def listen_task(self) -> None:
        """Listens to nobody."""

    async def distribute_task(self) -> None:
        """Has nothing to distribute."""


class IdleWorker(WorkNodeDriver):
    async def work(self) -> None:
        await trio.sleep_forever()


class Diary:
    """What the loops of one node went through."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.beats = {"worker": 0, "master": 0}

    async def beat(self, role: str) -> None:
        self.lines.append(f"{role} begins")
        try:
            while True:
                await trio.sleep(0.01)
                self.beats[role] += 1
        finally:
            self.lines.append(f"{role} ends")


#: The diary of the newest process of each node id.
DIARIES: dict[str, Diary] = {}


class DiaryMaster(IdleMaster):
    async def manage_node(self) -> None:
        await DIARIES[self.node.holder.node].beat("master")


class DiaryWorker(WorkNodeDriver):
    def __init__(self, node: NodeServices) -> None:
        super().__init__(node)
        DIARIES[node.holder.node] = Diary()

    async def work(self) -> None:
        await DIARIES[self.node.holder.node].beat("worker")


def register(name: str = "idle", driver: Driver | None = None) -> str:
    """Make a driver known, once a process; returns its name."""
    if name not in drivers():
        register_driver(name, driver or Driver(IdleMaster, IdleWorker))
    return name


async def _serve(run: Callable[..., object]) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_on_term, stop)
        await run(on_ready=lambda line: print(json.dumps(line), flush=True), stop=stop)  # type: ignore[misc]
        nursery.cancel_scope.cancel()


async def _on_term(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            stop.set()


def main(kind: str, config: str) -> None:
    from ha_stress.node.server import run_node
    from sentinel.server import run_sentinel

    if kind == "node":
        register()
        trio.run(_serve, partial(run_node, NodeConfig.model_validate_json(config)))
    else:
        trio.run(_serve, partial(run_sentinel, SentinelConfig.model_validate_json(config)))


if __name__ == "__main__":
    main(*sys.argv[1:])
