"""An exchange engine process: `python -m ha_stress.engines.exchange.child FD INDEX COUNT SETTINGS_JSON`.

Started by `pool`, of no use alone. It ends at once when its control socket closes, which is how it notices that its node
is gone; what a scenario may want to do then does not count.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import socket
import sys
from math import inf
from typing import Any, Final

import trio

from ha_stress.base.targets import AllowedTargets
from ha_stress.engines.exchange.loop import Loop
from ha_stress.engines.exchange.reach import Reach

#: As the fast engine, which has the reason.
NICENESS: Final = 5


def main(arguments: list[str]) -> int:
    descriptor, engine, engines = (int(argument) for argument in arguments[:3])
    settings = json.loads(arguments[3]) if len(arguments) > 3 else {}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to the whole group; the node decides
    os.nice(NICENESS)
    _raise_descriptor_limit()
    os.dup2(2, 1)  # what a scenario prints must not end up in the output of its node
    gc.collect()
    gc.freeze()
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    trio.run(_run, sock, engine, engines, settings)
    return 0


def _raise_descriptor_limit() -> None:
    """Every connection is a descriptor; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(sock: socket.socket, engine: int, engines: int, settings: dict[str, Any]) -> None:
    allowed = AllowedTargets.parse(settings["allow"]) if "allow" in settings else AllowedTargets.parse()
    loop = Loop(
        trio.socket.from_stdlib_socket(sock),
        engine=engine,
        engines=engines,
        reach=Reach(allowed),
        gone=_end_at_once,
        silent_s=settings.get("silent_s", inf),
    )
    await loop.run()


def _end_at_once() -> None:
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
