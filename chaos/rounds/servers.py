"""Two servers of a cluster under chaos that are not of the product: Redis, and a vote disk that can be full."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import redis

from ha_stress.base.errors import HaStressError
from ha_stress.bus.embedded import server_binary
from ha_stress.cli import processes

START_S_MAX: Final = 10.0
#: What a vote file needs is under a page; so small a disk is full at once.
DISK_KB: Final = 64
#: In the name of every directory of ours, with the process id behind it: a later run finds what a killed one left.
DIRECTORY_PREFIX: Final = "ha-stress-chaos-"


class ServerFailed(HaStressError):
    """A server of the test bed did not start, or a disk could not be mounted."""


class RedisServer:
    """The embedded binary with an append-only file, on any address of ours. Started, killed, stopped, emptied."""

    def __init__(self, directory: Path, host: str, port: int) -> None:
        self.directory, self.host, self.port = directory, host, port
        self.url = f"redis://{host}:{port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it answers, its data loaded."""
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = [
            *("--bind", self.host, "--port", str(self.port), "--protected-mode", "no", "--dir", str(self.directory)),
            *("--logfile", str(self.directory / "redis.log"), "--appendonly", "yes", "--appendfsync", "everysec"),
            *("--save", "", "--daemonize", "no"),
        ]
        self._process = subprocess.Popen(
            [str(server_binary()), *settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._guard = processes.guard(self._process.pid)
        deadline = time.monotonic() + START_S_MAX
        client = redis.Redis(host=self.host, port=self.port, socket_timeout=1, socket_connect_timeout=1)
        with client:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    time.sleep(0.02)
        raise ServerFailed(f"Redis did not start; see {self.directory / 'redis.log'}")

    def kill(self) -> None:
        """kill -9, also of one that is stopped."""
        if self._guard is not None:
            processes.release(self._guard)
            self._guard = None
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(5)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def lose_data(self) -> None:
        """Remove what was written; the server must be dead."""
        for path in self.directory.iterdir():
            if path.suffix == ".log":
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class SmallDisk:
    """A file system of a few pages at `path`, for one sentinel's vote file. Needs root."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"
        self._mounted = False

    def mount(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        _system("mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k,mode=700", "ha-stress-chaos", str(self.path))
        self._mounted = True

    def fill(self) -> None:
        """Not a byte is left afterwards."""
        descriptor = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            while True:
                os.write(descriptor, bytes(4096))
        except OSError:
            return
        finally:
            os.close(descriptor)

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)

    def unmount(self) -> None:
        if self._mounted:
            _system("umount", "--lazy", str(self.path))  # lazy: whoever still has a file open must not keep it here
            self._mounted = False


def why_no_disk() -> str:
    """Why a small disk cannot be mounted here; empty if it can."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    if shutil.which("mount") is None or shutil.which("umount") is None:
        return "mount or umount is not installed"
    return ""


def unmount_stale() -> None:
    """Disks of a run that was killed: those in a directory named after a process that is gone."""
    for line in Path("/proc/self/mounts").read_text("utf-8").splitlines():
        place = line.split()[1]
        named = re.search(rf"/{DIRECTORY_PREFIX}(\d+)-", place)
        if line.startswith("ha-stress-chaos ") and named and not Path(f"/proc/{named[1]}").exists():
            _system("umount", "--lazy", place)


def _system(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode != 0:
        raise ServerFailed(f"{' '.join(command)}: {done.stderr.strip()}")
