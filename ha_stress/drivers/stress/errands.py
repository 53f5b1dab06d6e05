"""Setup and teardown of scenarios: run once in the cluster, by the acting master, each in a process of its own.

The planning says what is wanted (`core.errand`), this runs it, and the planning persists what came of it (`found`). A master
that dies half-way leaves it to its successor to begin again: at least once, and recorded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import trio

from ha_stress import log
from ha_stress.base.limits import ERRANDS_AT_ONCE_MAX
from ha_stress.drivers.interface import NodeServices
from ha_stress.drivers.stress.core import Task
from ha_stress.engines.exchange.errand import run_errand

_log = log.get(__name__)


class Errands:
    """For one epoch. `found` is what came of them, by task; `on_found` is called when there is more of it."""

    def __init__(self, node: NodeServices, on_found: Callable[[], None]) -> None:
        self._node = node
        self._on_found = on_found
        self._wanted: dict[str, tuple[str, Task]] = {}
        self._running: dict[str, tuple[str, trio.CancelScope]] = {}
        self._news = trio.Event()
        self.found: dict[str, dict[str, Any]] = {}

    def want(self, wanted: Mapping[str, tuple[str, Task]]) -> None:
        """Exactly these are wanted now: by task, which function, and the task as it is."""
        self._wanted = dict(wanted)
        self._news.set()

    def forget(self, task: str) -> None:
        self.found.pop(task, None)

    async def run(self) -> None:
        self._running.clear()
        async with trio.open_nursery() as nursery:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                await self._node.wait_may_act()
                for task, (name, scope) in self._running.items():
                    # Stopped before its setup was done. A teardown that has begun goes on to its end, even if a late frame
                    # makes it seem that there is something to wait for: it runs once.
                    if name == "setup" and self._wanted.get(task, ("",))[0] != name:
                        scope.cancel()
                for task, (name, state) in self._wanted.items():
                    if task not in self._running and name not in self.found.get(task, ()):
                        if len(self._running) >= ERRANDS_AT_ONCE_MAX:
                            break
                        scope = trio.CancelScope()
                        self._running[task] = (name, scope)
                        nursery.start_soon(self._run, name, state, scope)

    async def _run(self, name: str, task: Task, scope: trio.CancelScope) -> None:
        scenario, id_ = task.spec.scenario, task.spec.id
        assert scenario is not None
        scenario = replace(scenario, data=task.outcome.get("setup", {}).get("data", ""))
        try:
            with scope:
                result = await run_errand(
                    scenario, task.spec.request, name, settings={"allow": list(self._node.config.allow)}
                )
                self._tell(name, id_, result)
        finally:
            del self._running[id_]
            self._news.set()

    def _tell(self, name: str, task: str, result: dict[str, str]) -> None:
        self.found[task] = {**self.found.get(task, {}), name: {k: v for k, v in result.items() if k != "text"}}
        if problem := result.get("problem"):
            _log.warning(
                "the scenario's function failed", task=task, function=name, problem=result.get("text", problem)
            )
            self._node.emit(f"-{name}", subject=task, cause=problem)
        else:
            self._node.emit(f"+{name}", subject=task, cause=f"{name} of the scenario is done")
        self._on_found()
