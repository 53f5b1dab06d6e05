"""The server under load: nginx without privileges, from a directory and a configuration of its own, one worker on one core.

It counts the requests that it got, so that what a generator achieved need not be believed: `Nginx.requests`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from ha_stress.base.errors import HaStressError

#: What it answers with: 65 bytes.
BODY: Final = "x" * 64 + "\n"
LISTEN_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 10.0
STATUS_TIMEOUT_S: Final = 10.0
LOOKS: Final = 5
_CONFIG: Final = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 60s;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type text/plain; return 200 '{body}'; }}
    location = /status {{ stub_status; }}
  }}
}}
"""


class NoServer(HaStressError):
    """nginx is not installed, or does not start."""


def cores() -> tuple[int, int]:
    """(the server's, the generator's): the first and the last that we may use; the same one if there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What this thread starts inside of the context stays on `core`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Nginx:
    """A running nginx. `asked` is how many requests this process sent to it itself, to read the counter."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.asked = 0
        self.master = psutil.Process(process.pid)
        self._status = http.client.HTTPConnection("127.0.0.1", port, timeout=STATUS_TIMEOUT_S)

    @property
    def worker(self) -> psutil.Process:
        """The process that answers."""
        return self.master.children()[0]

    def requests(self) -> tuple[float, int]:
        """(when, how many requests of others it has got): the quickest of a few looks, as the moment of a count is known no
        better than how long it took to get it, and a busy server takes milliseconds."""
        _, at_s, count = min(self._look() for _ in range(LOOKS))
        return at_s, count

    def _look(self) -> tuple[float, float, int]:
        """(how long it took, when, the count)."""
        began = time.monotonic()
        self._status.request("GET", "/status")
        text = self._status.getresponse().read().decode()
        took_s = time.monotonic() - began
        self.asked += 1
        counted = re.search(r"^ *\d+ +\d+ +(\d+) *$", text, re.MULTILINE)
        if counted is None:
            raise NoServer(f"nginx's status page says {text!r}, not how many requests it got")
        return took_s, began + took_s / 2, int(counted[1]) - self.asked

    def freeze(self, seconds: float) -> None:
        """Stop the worker for so long: the kernel goes on accepting connections and bytes, nobody answers."""
        worker = self.worker
        worker.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            worker.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._status.close()


def binary() -> str | None:
    """Where nginx is; Debian has it outside of a user's path."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def nginx(core: int | None) -> Iterator[Nginx]:
    """nginx on a free port of 127.0.0.1, pinned to `core` (None: to none). NoServer if that cannot be."""
    found = binary()
    if found is None:
        raise NoServer(
            "nginx, the server under load, is not installed; on Debian, as root: apt-get install nginx-light"
        )
    with tempfile.TemporaryDirectory(prefix="ha-stress-nginx-") as directory:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        path = Path(directory, "nginx.conf")
        path.write_text(_CONFIG.format(directory=directory, port=port, body=BODY))
        with contextlib.nullcontext() if core is None else on_core(core):
            command = [found, "-c", str(path), "-p", directory, "-e", str(Path(directory, "error.log"))]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            _wait_until_it_listens(process, port)
            with contextlib.closing(Nginx(process, port)) as server:
                yield server
        finally:
            process.terminate()
            process.wait(STOP_TIMEOUT_S)


@contextlib.contextmanager
def any_server(core: int | None) -> Iterator[tuple[str, str]]:
    """(what it is, its URL): nginx, or where it is not installed our own counting target, which is slower."""
    if binary() is not None:
        with nginx(core) as server:
            yield "nginx", server.url
        return
    command = [sys.executable, "-m", "ha_stress.target", "--body-bytes", str(len(BODY))]
    with contextlib.nullcontext() if core is None else on_core(core):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield "ha_stress.target", json.loads(process.stdout.readline())["url"] + "/"
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)
        if process.stdout is not None:
            process.stdout.close()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + LISTEN_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise NoServer(f"nginx did not begin to listen within {LISTEN_TIMEOUT_S:.0f} s")
