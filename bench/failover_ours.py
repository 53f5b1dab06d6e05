"""Three nodes and three sentinels of ours, as processes of this machine, whose master is killed or stopped."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from bench.failover_figures import DOWN_AFTER_S, Cause, Round
from bench.observed import observed
from bench.witness import Seen, wait_until
from chaos.outside import Snapshot, tree
from chaos.script import send
from ha_stress.cli.local import LocalSpec
from ha_stress.cluster.members import Role

NODES = 3
ROUND_TIMEOUT_S = 30.0
HEAL_TIMEOUT_S = 30.0


class Ours:
    """A context manager: inside, the cluster is well; each `fail` is one round and leaves it well again."""

    def __init__(self, directory: Path) -> None:
        self._spec = LocalSpec(data_dir=directory, timing={"down_after_s": str(DOWN_AFTER_S)})
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._cluster, self._outside, self._witness = stack.enter_context(observed(self._spec, "hs:*"))
            self.wait_healthy()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def fail(self, cause: Cause) -> Round:
        before = self._outside.look()
        child = self._cluster.nodes[before.node]
        family = tree(psutil.Process(child.pid))
        try:
            at = time.monotonic()
            send(family, signal.SIGKILL if cause is Cause.KILL else signal.SIGSTOP)
            marks = self._witness.wait_all(self._wanted(before), at, ROUND_TIMEOUT_S)
        finally:
            if cause is Cause.STOP:
                send(family, signal.SIGCONT)
        if cause is Cause.KILL:
            self._cluster.kill(before.node)  # it is dead; this takes it off the books
            self._cluster.restart(before.node)
        self.wait_healthy()
        return Round(**{name: (moment - at) * 1000 for name, moment in marks.items()})

    def _wanted(self, before: Snapshot) -> dict[str, Callable[[Seen], bool]]:
        keys = self._outside.keys

        def event(seen: Seen, name: str) -> dict[str, Any]:
            fields: dict[str, Any] = json.loads(seen.data) if seen.channel == keys.events_channel else {}
            return fields if fields.get("name") == name else {}

        return {
            "detect_ms": lambda seen: event(seen, "+odown").get("subject") == before.node,
            "act_ms": lambda seen: event(seen, "+acting").get("epoch", 0) > before.epoch,
            "announce_ms": lambda seen: (
                seen.channel == keys.election_channel and json.loads(seen.data)["epoch"] > before.epoch
            ),
        }

    def wait_healthy(self) -> None:
        wait_until("three nodes, one of them an acting master", self._healthy, HEAL_TIMEOUT_S)

    def _healthy(self) -> bool:
        now = self._outside.look()
        pids = {child.pid for child in self._cluster.nodes.values() if child.alive}
        return (
            now.master is not None
            and len(pids) == NODES
            and {info.pid for info in now.nodes.values()} == pids
            and sum(info.role is Role.WORKER for info in now.nodes.values()) == NODES - 1
        )
