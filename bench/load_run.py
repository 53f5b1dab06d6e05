"""One run of one generator against nginx, seen from outside: what the server counted and what the processes spent, over a
window that begins when the load stands and ends before it does. So nobody's start-up counts, and nobody has to be believed.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from bench.load_meter import cpu_s, family
from bench.load_parse import Said, Unreadable
from bench.load_server import Nginx, on_core
from bench.load_tools import Model, Run, Tool
from ha_stress.base.errors import HaStressError

#: Connections, spawned users and cold caches are not what is measured.
RAMP_S: Final = 0.5
#: The load goes on for so long after the window.
TAIL_S: Final = 2.0
#: k6 and Locust need up to two seconds on a quiet machine before they send anything.
BEGIN_TIMEOUT_S: Final = 60.0
#: A generator that has fallen behind, or waits for late answers, ends this much later at most.
END_TIMEOUT_S: Final = 60.0
LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`rate` is what the server counted; cpu is in microseconds a request, `node_cpu_us` that of the process which only
    reads our engine's reports; `server_percent` is how busy the server's core was with it."""

    rate: float
    cpu_us: float
    node_cpu_us: float
    server_percent: float
    said: Said


class Bench:
    """Runs generators on `core` against `server`."""

    def __init__(self, server: Nginx, core: int, server_core: int) -> None:
        self._server = server
        self._core = core
        self._server_core = server_core

    def run(self, tool: Tool, model: Model, *, rate: float, connections: int, seconds: float) -> Measured:
        """Load for a window of `seconds`. HaStressError if the generator fails."""
        lead_s = RAMP_S + tool.calibrates_s
        with self._started(tool, model, rate, connections, lead_s + seconds + TAIL_S) as process:
            self._wait_for_load(process)
            time.sleep(lead_s)
            before = self._look(tool, process.popen.pid)
            time.sleep(seconds)
            after = self._look(tool, process.popen.pid)
            if process.popen.poll() is not None:
                raise HaStressError(f"it ended before its time: {process.errors()}")
            said = process.said(tool)
        count = max(after.requests - before.requests, 1)
        took_s = after.at_s - before.at_s
        return Measured(
            rate=count / took_s,
            cpu_us=1e6 * (after.cpu_s - before.cpu_s) / count,
            node_cpu_us=1e6 * (after.node_cpu_s - before.node_cpu_s) / count,
            server_percent=100 * (after.server_cpu_s - before.server_cpu_s) / took_s,
            said=said,
        )

    def freeze(self, tool: Tool, *, rate: float, seconds: float, freeze_s: float) -> Said:
        """Load for `seconds`, in the middle of which the server stands still for `freeze_s`."""
        lead_s = RAMP_S + tool.calibrates_s
        with self._started(tool, Model.OPEN, rate, tool.connections_frozen, lead_s + seconds) as process:
            self._wait_for_load(process)
            time.sleep(lead_s + (seconds - freeze_s) / 2)
            self._server.freeze(freeze_s)
            return process.said(tool)

    @contextmanager
    def _started(self, tool: Tool, model: Model, rate: float, connections: int, seconds: float) -> Iterator[_Process]:
        program, why = tool.found()
        if not program:
            raise HaStressError(why)
        with tempfile.TemporaryDirectory(prefix="ha-stress-load-") as name:
            run = Run(
                model=model,
                url=self._server.url,
                rate=rate,
                connections=connections,
                seconds=round(seconds, 3),
                directory=Path(name),
                core=self._core,
            )
            with (
                Path(name, "stdout").open("wb") as out,
                Path(name, "stderr").open("wb") as err,
                on_core(self._server_core if tool.engine_only else self._core),
            ):
                process = _start(tool.command(run, program), out, err)
            try:
                yield _Process(process, run.directory, seconds)
            finally:
                _end(process)

    def _wait_for_load(self, process: _Process) -> None:
        _, before = self._server.requests()
        deadline = time.monotonic() + BEGIN_TIMEOUT_S
        while self._server.requests()[1] == before:
            if process.popen.poll() is not None:
                raise HaStressError(f"it ended before it sent a request: {process.errors()}")
            if time.monotonic() > deadline:
                raise HaStressError(f"it sent no request within {BEGIN_TIMEOUT_S:.0f} s")
            time.sleep(LOOK_S)

    def _look(self, tool: Tool, pid: int) -> _Look:
        processes = family(pid)
        load = processes[1:] if tool.engine_only else processes
        at_s, requests = self._server.requests()
        return _Look(
            at_s=at_s,
            requests=requests,
            cpu_s=cpu_s(load),
            node_cpu_s=cpu_s(processes[:1]) if tool.engine_only else 0.0,
            server_cpu_s=cpu_s([self._server.worker]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    at_s: float
    requests: int
    cpu_s: float
    node_cpu_s: float
    server_cpu_s: float


@dataclass(frozen=True, slots=True)
class _Process:
    popen: subprocess.Popen[bytes]
    directory: Path
    seconds: float

    def said(self, tool: Tool) -> Said:
        """Wait for its end; what it printed."""
        try:
            self.popen.wait(self.seconds + END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise HaStressError(f"it did not end within {self.seconds + END_TIMEOUT_S:.0f} s") from None
        if self.popen.returncode != 0:
            raise HaStressError(f"it failed with status {self.popen.returncode}: {self.errors()}")
        try:
            return tool.read(Path(self.directory, tool.output or "stdout").read_text())
        except (OSError, KeyError, ValueError) as error:
            raise Unreadable(f"what it said cannot be read: {error!r}") from None

    def errors(self) -> str:
        """The last line that it complained with; of a group of exceptions that is what they are drawn with and no word."""
        lines = Path(self.directory, "stderr").read_text(errors="replace").splitlines()
        return next((line.strip(" |") for line in reversed(lines) if any(map(str.isalpha, line))), "it gave no reason")


def _start(command: list[str], out: IO[bytes], err: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Whatever happened, it is gone afterwards, with all that it started."""
    children = family(process.pid)[1:] if process.poll() is None else []
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    for child in children:
        if child.is_running():
            child.kill()
