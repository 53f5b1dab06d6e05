"""Child processes of the local runner: each in a session of its own, so that it and what it started die together.

A child's standard input is a pipe that only its parent holds: when the parent dies, however it dies, the child reads
the end of it and stops. A child that is ready writes one JSON line to a pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ha_stress.base.errors import HaStressError

_LOG_LINES_SHOWN = 8
_READY_BYTES_MAX = 65_536


class ChildFailed(HaStressError):
    """A process did not start, or did not become ready in time; the sentence ends with its last log lines."""


@dataclass
class Child:
    """One process that we started."""

    kind: str
    id: str
    log_path: Path
    popen: subprocess.Popen[bytes]
    ready_pipe: IO[bytes]
    ready: dict[str, Any] = field(default_factory=dict)
    _gone: bool = False

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill_tree(self) -> float:
        """SIGKILL for the process, its group and every descendant; returns when the process itself is gone.

        The result is the Unix time of the signal. A tree that was killed before is left alone: its ids may belong to
        others by now.
        """
        import psutil

        if self._gone:
            return time.time()
        try:
            family = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        at = time.time()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.popen.wait(5)
        self._gone = True
        self._close()
        return at

    def terminate(self) -> None:
        """Ask it to stop; also by the end of its standard input, in case it does not hear signals yet."""
        if self.alive:
            self.popen.terminate()

    def finish(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic), then kill whatever is left of it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(max(0.0, deadline - time.monotonic()))
        self.kill_tree()

    def last_words(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        except OSError:
            lines = []
        return "".join(f"\n  {line}" for line in lines)

    def _close(self) -> None:
        for pipe in (self.popen.stdin, self.ready_pipe):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def start(kind: str, child_id: str, argv: Sequence[str], log_path: Path, *, ready_on_stdout: bool = False) -> Child:
    """Start `python -m argv...`. Ready is a JSON line on `--ready-fd`, or on standard output."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", *argv]
    if not ready_on_stdout:
        command += ["--ready-fd", str(write_end), "--stop-with-parent"]
    try:
        with log_path.open("ab") as log:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=write_end if ready_on_stdout else log,
                stderr=log,
                pass_fds=() if ready_on_stdout else (write_end,),
                start_new_session=True,
            )
    except OSError as error:
        os.close(read_end)
        raise ChildFailed(f"{kind} {child_id} could not be started: {error}") from None
    finally:
        os.close(write_end)
    return Child(kind=kind, id=child_id, log_path=log_path, popen=popen, ready_pipe=os.fdopen(read_end, "rb", 0))


def wait_ready(children: Iterable[Child], deadline: float) -> None:
    """Wait until every child has said that it is ready; ChildFailed at `deadline` (monotonic) or when one ends."""
    buffers: dict[str, bytes] = {}
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.ready_pipe, selectors.EVENT_READ, child)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                late = [key.data for key in selector.get_map().values()]
                names = ", ".join(child.id for child in late)
                raise ChildFailed(f"not ready in time: {names}; {late[0].log_path} ends with{late[0].last_words()}")
            for key, _ in selector.select(left):
                child = key.data
                data = os.read(child.ready_pipe.fileno(), 4096)
                buffers[child.id] = buffers.get(child.id, b"") + data
                if b"\n" in buffers[child.id]:
                    child.ready = json.loads(buffers[child.id].partition(b"\n")[0])
                    selector.unregister(child.ready_pipe)
                elif not data or len(buffers[child.id]) > _READY_BYTES_MAX:
                    raise ChildFailed(_ended(child))


def _ended(child: Child) -> str:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.popen.wait(2)
    code = child.popen.returncode
    what = f"{child.kind} {child.id} ended before it was ready (exit {code})"
    return f"{what}; {child.log_path} ends with{child.last_words()}"


def guard(pid: int) -> subprocess.Popen[bytes]:
    """A shell that waits for our end and then ends `pid`: for a server that does not watch its standard input."""
    script = 'read -r _; [ "$_" = stay ] || kill -TERM "$1" 2>/dev/null'
    return subprocess.Popen(
        ["/bin/sh", "-c", script, "guard", str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def release(guarding: subprocess.Popen[bytes]) -> None:
    """End a guard without its ending anything."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        guarding.communicate(b"stay\n", timeout=2)
    if guarding.poll() is None:
        guarding.kill()
        guarding.wait(2)
