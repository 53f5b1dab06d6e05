"""The process of a node or a sentinel: `python -m ha_stress.cli.serving FD KIND NAME`, where FD holds the config as JSON.

Started by `ha-stress node` and `ha-stress sentinel` in place of themselves. KIND and NAME are for whoever reads a
process list.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import trio

from ha_stress import log
from ha_stress.base.config import NodeConfig, SentinelConfig, load
from ha_stress.cli.failure import explain

#: After the config's own deadline for a graceful stop, this much more before the process just goes.
_STOP_MARGIN_S = 2.0
_M_ARENA_MAX = -8  # malloc.h


def main() -> NoReturn:
    try:
        with os.fdopen(int(sys.argv[1]), "rb") as pipe:
            settings = json.load(pipe)
        log.configure(settings["log_level"], settings["log_json"])
        _one_arena()
        _many_files()
        trio.run(_serve, settings)
    except BaseException as error:  # noqa: BLE001  the boundary: whatever it is becomes a sentence and an exit code
        sys.exit(explain(error, as_json=False))
    sys.exit(0)


async def _serve(settings: dict[str, Any]) -> None:
    stop = trio.Event()
    run, config = _server(settings)
    on_ready = _Ready(settings["ready_fd"], settings["ready_on_stdout"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, stop)
        nursery.start_soon(_go_when_overdue, stop, config.timing.stop_timeout_s + _STOP_MARGIN_S)
        nursery.start_soon(_give_up_unless_ready, stop, on_ready, nursery.cancel_scope)
        if settings["stop_with_parent"]:
            nursery.start_soon(_stop_at_end_of_stdin, stop)
        await run(config, on_ready=on_ready, stop=stop)
        nursery.cancel_scope.cancel()


def _server(settings: dict[str, Any]) -> tuple[Callable[..., Awaitable[None]], NodeConfig | SentinelConfig]:
    if settings["kind"] == "node":
        from ha_stress.node.server import run_node

        return run_node, load(NodeConfig, settings["config"])
    from sentinel.server import run_sentinel

    return run_sentinel, load(SentinelConfig, settings["config"])


class _Ready:
    """Tells whoever started us that we serve: one JSON line."""

    def __init__(self, fd: int, on_stdout: bool) -> None:
        self.said = False
        self.fd = fd
        self.on_stdout = on_stdout

    def __call__(self, ready: dict[str, Any]) -> None:
        self.said = True
        line = json.dumps({"pid": os.getpid()} | ready) + "\n"
        if self.on_stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
        if self.fd >= 0:
            os.write(self.fd, line.encode())
            os.close(self.fd)
            self.fd = -1


async def _stop_on_signal(stop: trio.Event) -> None:
    """The first signal stops gracefully, the second at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stop.is_set():
                os._exit(128 + number)
            stop.set()


async def _give_up_unless_ready(stop: trio.Event, ready: _Ready, scope: trio.CancelScope) -> None:
    """A server that still waits for Redis has nothing to hand over, and nobody to say goodbye to."""
    await stop.wait()
    if not ready.said:
        scope.cancel()


async def _stop_at_end_of_stdin(stop: trio.Event) -> None:
    while True:
        await trio.lowlevel.wait_readable(0)
        if not os.read(0, 4096):
            stop.set()
            return


async def _go_when_overdue(stop: trio.Event, timeout_s: float) -> None:
    await stop.wait()
    await trio.sleep(timeout_s)
    sys.stderr.write(f"error: the graceful stop took longer than {timeout_s:g} s; going anyway\n")
    os._exit(1)


def _one_arena() -> None:
    """Tell glibc to keep one heap for all threads. Ours take turns under the interpreter's lock anyway, and a heap per
    thread costs an idle node memory. Other C libraries do not know the call."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _many_files() -> None:
    """Take what the system grants: a sentinel holds a connection to every node, and 1,024 files are soon too few."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # an unlimited hard limit may be refused as a soft one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
