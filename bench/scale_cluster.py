"""A local cluster of real processes, two nodes among them, and light nodes beside it; what one measures on it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil

from bench.observed import observed
from bench.witness import BenchFailed, Seen, wait_until
from ha_stress.base.ids import new_incarnation
from ha_stress.cli.local import LocalSpec
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.tasks.schedule import NodeAssignment
from ha_stress.wire.codec import decode
from ha_stress.wire.keys import Keys

REAL_NODES: Final = 2
LIGHT_NODES_A_PROCESS_MAX: Final = 500
#: The first connections to all nodes, on a machine that is busy with them.
READY_TIMEOUT_S: Final = 120.0
STEP_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.01


class LightProcess:
    """One `bench.light`, and what it has said, by its kind: ready, watched, or the id of a task."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.said: dict[str, float] = {}
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "bench.light", json.dumps(settings)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            said = json.loads(line)
            self.said[said["said"]] = said["at"]

    def wait(self, what: str, timeout_s: float) -> float:
        """When it said so."""
        wait_until(f"light nodes: {what}", lambda: what in self.said or self._ended(), timeout_s)
        if what not in self.said:
            raise BenchFailed(f"light nodes ended before {what!r}, with exit code {self._popen.returncode}")
        return self.said[what]

    def _ended(self) -> bool:
        return self._popen.poll() is not None

    def close(self) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        try:
            self._popen.wait(5)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(5)


class Scaled:
    """A context manager: inside, all nodes are registered and every sentinel has a connection to each light one."""

    def __init__(self, directory: Path, nodes: int) -> None:
        self._nodes = nodes
        self._spec = LocalSpec(data_dir=directory, nodes=REAL_NODES, log_level="error")
        self._stack = ExitStack()
        self._light: list[LightProcess] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            channel = Keys(self._spec.cluster).events_channel
            self._cluster, self._outside, self._witness = stack.enter_context(observed(self._spec, channel))
            for first in range(1, self._nodes - REAL_NODES + 1, LIGHT_NODES_A_PROCESS_MAX):
                self._light.append(LightProcess(self._settings(first)))
                stack.callback(self._light[-1].close)
            for process in self._light:
                process.wait("watched", READY_TIMEOUT_S)
            self._wait_healthy()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _settings(self, first: int) -> dict[str, Any]:
        spec = self._cluster.spec
        return {
            "redis_url": self._cluster.redis_url,
            "cluster": spec.cluster,
            "secret": (self._cluster.dir / "secret").read_text().strip(),
            "first": first,
            "count": min(LIGHT_NODES_A_PROCESS_MAX, self._nodes - REAL_NODES - first + 1),
            "sentinels": spec.sentinels,
            "timing": dict(spec.timing),
        }

    # --- what is measured ---

    def watch(self, seconds: float) -> dict[str, float]:
        """What it costs while nothing happens: fields of a `Row`."""
        sentinels = [[psutil.Process(child.pid)] for child in self._cluster.sentinels.values()]
        root = psutil.Process(self._cluster.nodes[self._outside.look().node].pid)
        families = [*sentinels, [root, *root.children(recursive=True)]]
        before, commands, began = [_cpu_s(family) for family in families], self._commands(), time.monotonic()
        time.sleep(seconds)
        after, took_s = [_cpu_s(family) for family in families], time.monotonic() - began
        commands = self._commands() - commands
        cpu = [100 * (new - old) / took_s for old, new in zip(before, after, strict=True)]
        rss = [sum(process.memory_info().rss for process in family) / 1e6 for family in families]
        return {
            "sentinel_cpu_percent": max(cpu[:-1]),
            "sentinel_rss_mb": max(rss[:-1]),
            "master_cpu_percent": cpu[-1],
            "master_rss_mb": rss[-1],
            "redis_commands_per_s": commands / took_s,
        }

    def _commands(self) -> int:
        info: Any = self._outside.client.info("stats")
        return int(info["total_commands_processed"])

    def distribute(self) -> float:
        """Seconds from the creation of a task (without arrivals) until every node has applied its share."""
        task = f"scale-{new_incarnation()}"
        with self._cluster.client() as client:
            began = time.monotonic()
            client.create_task({"id": task, "url": "http://127.0.0.1:9/", "rate": 0})
            applied = [self._real_worker_applied(task)]
            applied += [process.wait(task, STEP_TIMEOUT_S) for process in self._light]
            client.stop_task(task)
            wait_until("the task ends", lambda: client.task(task)["status"] == "ended", STEP_TIMEOUT_S)
        return max(applied) - began

    def _real_worker_applied(self, task: str) -> float:
        """The moment at which the real worker was seen to have applied its share."""
        master = self._outside.look().node
        worker = next(name for name in self._cluster.nodes if name != master)
        keys, client = self._outside.keys, self._outside.client
        deadline = time.monotonic() + STEP_TIMEOUT_S
        while time.monotonic() < deadline:
            raw: Any = client.mget(keys.assignment(worker), keys.node(worker))
            if all(raw):
                assignment, info = decode(NodeAssignment, raw[0]), decode(NodeInfo, raw[1])
                if task in {share.task for share in assignment.shares} and info.applied >= (
                    assignment.epoch,
                    assignment.revision,
                ):
                    return time.monotonic()
            time.sleep(_POLL_S)
        raise BenchFailed(f"the real worker {worker} did not apply its share within {STEP_TIMEOUT_S:g} s")

    def fail_over(self) -> float:
        """Seconds from kill -9 of the master to the first act of its successor; the killed one is back afterwards."""
        before = self._outside.look()

        def acts(seen: Seen) -> bool:
            event = json.loads(seen.data)
            return bool(event["name"] == "+acting" and event["epoch"] > before.epoch)

        at = time.monotonic()
        self._cluster.kill(before.node)
        moment = self._witness.wait_all({"acts": acts}, at, STEP_TIMEOUT_S)["acts"]
        self._cluster.restart(before.node)
        self._wait_healthy()
        return moment - at

    def _wait_healthy(self) -> None:
        wait_until(f"{self._nodes} nodes, one of them an acting master", self._healthy, READY_TIMEOUT_S)

    def _healthy(self) -> bool:
        now = self._outside.look()
        pids = {child.pid for child in self._cluster.nodes.values() if child.alive}
        return (
            now.master is not None
            and pids <= {info.pid for info in now.nodes.values()}
            and sum(info.role is Role.WORKER for info in now.nodes.values()) == self._nodes - 1
        )


def _cpu_s(family: list[psutil.Process]) -> float:
    """Processor time so far, all threads, user and system."""
    times = [process.cpu_times() for process in family]
    return float(sum(one.user + one.system for one in times))
