"""The load generators that are held against each other: where each is found, how it is started, what it can and cannot do.

wrk, hey and wrk2 come from the path; k6 and Locust are packages, installed into an environment of their own under
build/bench-tools at their first use.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from bench import load_parse
from bench.command import say
from bench.load_parse import Said

TOOLS_DIRECTORY: Final = Path(__file__).parent.parent / "build" / "bench-tools"
INSTALL_TIMEOUT_S: Final = 300.0
OURS: Final = "ours"
SOCKET: Final = "socket"
K6_SCRIPT: Final = """
import http from 'k6/http';
import { check } from 'k6';
export const options = { scenarios: { load: %s } };
export default function () { check(http.get('%s'), { 'status is 200': (r) => r.status === 200 }); }
"""
#: FastHttpUser counts a status of 400 or more as failed by itself.
LOCUST_FILE: Final = """
from locust import FastHttpUser, constant_throughput, task
class Load(FastHttpUser):
    %s
    @task
    def get(self):
        self.client.get("/")
"""


class Model(StrEnum):
    CLOSED = "closed"  # so many connections, each sends its next request with its last answer
    OPEN = "open"  # a schedule: so many a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run asks for. `connections` are the users of the closed model, or what a generator may use at most."""

    model: Model
    url: str
    rate: float
    connections: int
    seconds: float
    directory: Path
    core: int

    def write(self, name: str, text: str) -> str:
        path = self.directory / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One generator. `command` starts with the program; `read` gets what it printed (or wrote to `output`).

    `models` are those it has; a rate that it cannot keep exactly, or measures from the wrong moment, is in `note`.
    `calibrates_s` passes before it measures anything. `engine_only`: the load comes from its children. `connections_open`
    and `connections_frozen` are how many it may use for a schedule, and for one that meets a frozen server.
    """

    name: str
    models: tuple[Model, ...]
    command: Callable[[Run, str], list[str]]
    read: Callable[[str], Said]
    note: str = ""
    output: str = ""
    program: str = ""
    package: str = ""
    calibrates_s: float = 0.0
    engine_only: bool = False
    connections_open: int = 64
    connections_frozen: int = 8

    def found(self) -> tuple[str, str]:
        """(the program, "") or ("", why it cannot be had)."""
        if not self.program:
            return sys.executable, ""
        places = [str(TOOLS_DIRECTORY / "bin"), os.environ.get("PATH", "")]
        path = shutil.which(self.program, path=os.pathsep.join(places))
        if path is None and self.package:
            why = _install(self.package)
            path = shutil.which(self.program, path=str(TOOLS_DIRECTORY / "bin"))
            return (path, "") if path else ("", why or f"the package {self.package} has no program {self.program}")
        return (path, "") if path else ("", f"{self.program} is not on the path{_ADVICE.get(self.program, '')}")


_ADVICE: Final = {name: f"; on Debian, as root: apt-get install {name}" for name in ("wrk", "hey")}


def _install(package: str) -> str:
    """Into the tools' own environment; "" or why not."""
    say(f"installing {package} into {TOOLS_DIRECTORY.relative_to(TOOLS_DIRECTORY.parent.parent)}")
    python = TOOLS_DIRECTORY / "bin" / "python"
    commands: list[Sequence[str | Path]] = [[python, "-m", "pip", "install", "--quiet", package]]
    if not python.exists():
        commands.insert(0, [sys.executable, "-m", "venv", TOOLS_DIRECTORY])
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{package} could not be installed: {error}"
        if done.returncode != 0:
            return f"{package} could not be installed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return ""


def _ours(run: Run, program: str) -> list[str]:
    model = ["--users", str(run.connections)] if run.model == Model.CLOSED else ["--rate", str(run.rate)]
    return [program, "-m", "bench.load_ours", run.url, str(run.core), str(run.seconds), *model]


def _socket(run: Run, program: str) -> list[str]:
    return [program, "-m", "bench.load_socket", run.url, str(run.rate), str(run.seconds)]


def _wrk(run: Run, program: str, *, paced: bool = False) -> list[str]:
    rate = ["-R", str(round(run.rate))] if paced else []
    # It takes whole seconds only.
    return [program, "-t1", f"-c{run.connections}", f"-d{math.ceil(run.seconds)}s", *rate, "--latency", run.url]


def _hey(run: Run, program: str) -> list[str]:
    rate = ["-q", f"{run.rate / run.connections:g}"] if run.model == Model.OPEN else []
    return [program, "-cpus", "1", "-c", str(run.connections), "-z", f"{run.seconds}s", *rate, run.url]


def _k6(run: Run, program: str) -> list[str]:
    if run.model == Model.CLOSED:
        scenario = f"{{ executor: 'constant-vus', vus: {run.connections}, duration: '{run.seconds}s' }}"
    else:
        scenario = (
            f"{{ executor: 'constant-arrival-rate', rate: {round(run.rate)}, timeUnit: '1s', duration: '{run.seconds}s',"
            f" preAllocatedVUs: {run.connections}, maxVUs: {run.connections} }}"
        )
    script = run.write("k6.js", K6_SCRIPT % (scenario, run.url))
    options = ["--quiet", "--no-usage-report", "--summary-trend-stats", "p(50),p(99),max"]
    return [program, "run", *options, "--summary-export", str(run.directory / "k6.json"), script]


def _locust(run: Run, program: str) -> list[str]:
    wait = f"wait_time = constant_throughput({run.rate / run.connections:g})" if run.model == Model.OPEN else ""
    users = str(run.connections)
    script = run.write("locustfile.py", LOCUST_FILE % wait)
    options = ["--headless", "--users", users, "--spawn-rate", users, "--run-time", f"{math.ceil(run.seconds)}s"]
    return [program, "-f", script, *options, "--host", run.url.rstrip("/"), "--json", "--loglevel", "ERROR"]


_BOTH: Final = (Model.CLOSED, Model.OPEN)
_WRK_NOTE: Final = "no open model; checks nothing; adds the delays that its average interval says it missed"
_AT_ANY_RATE: Final = "the nearest that it has is a rate of each worker"
TOOLS: Final = (
    Tool(name=OURS, models=_BOTH, command=_ours, read=load_parse.ours, engine_only=True),
    Tool(
        name=SOCKET,
        models=(Model.OPEN,),
        command=_socket,
        read=load_parse.ours,
        note="a bare blocking socket, one request at a time, at the lowest rate only",
    ),
    Tool(name="wrk", models=(Model.CLOSED,), command=_wrk, read=load_parse.wrk, program="wrk", note=_WRK_NOTE),
    Tool(
        name="wrk2",
        models=(Model.OPEN,),
        command=partial(_wrk, paced=True),
        read=load_parse.wrk,
        program="wrk2",
        note="measures nothing in its first ten seconds",
        calibrates_s=10.5,
    ),
    Tool(
        name="hey",
        models=_BOTH,
        command=_hey,
        read=load_parse.hey,
        program="hey",
        note=f"open: {_AT_ANY_RATE} that waits for its answers; checks nothing; latencies to 100 us",
    ),
    Tool(
        name="k6",
        models=_BOTH,
        command=_k6,
        read=load_parse.k6,
        program="k6",
        package="k6",
        output="k6.json",
        connections_open=256,
        connections_frozen=600,
        note="open: constant-arrival-rate, up to 256 virtual users; latencies from the send",
    ),
    Tool(
        name="locust",
        models=(Model.CLOSED,),
        command=_locust,
        read=load_parse.locust,
        program="locust",
        package="locust",
        note="FastHttpUser; no open model; latencies to 1 ms",
    ),
)
