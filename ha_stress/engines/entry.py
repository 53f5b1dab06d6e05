"""How an engine process of either kind begins: `python -m MODULE FD INDEX COUNT SETTINGS_JSON`, by `process.start`."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
from dataclasses import dataclass
from math import inf
from typing import Final

from ha_stress.base.targets import DEFAULT, AllowedTargets

#: Below its node, so that an engine that wants more than there is never delays a heartbeat. Measured with three busy
#: children on two cores that others used too: a parent that wakes every 10 ms for a millisecond of work was done after 4 to
#: 19 ms (99th percentile, three windows) beside equals, after 4 ms beside children at 5, and after 1 to 6 ms at 10.
NICENESS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Engine `engine` of `engines`; `sock` is its end of the control socket. It loads who is `allowed`, and holds when its
    node is silent for `silent_s`."""

    sock: socket.socket
    engine: int
    engines: int
    allowed: AllowedTargets
    silent_s: float


def enter(arguments: list[str]) -> Entry:
    """Make this process an engine: what it was told, and its place on the machine."""
    descriptor, engine, engines = (int(argument) for argument in arguments[:3])
    settings = json.loads(arguments[3]) if len(arguments) > 3 else {}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to the whole group; the node decides
    os.nice(NICENESS)
    _raise_descriptor_limit()
    return Entry(
        sock=socket.socket(fileno=descriptor),
        engine=engine,
        engines=engines,
        allowed=AllowedTargets.parse(settings.get("allow", DEFAULT)),
        silent_s=settings.get("silent_s", inf),
    )


def _raise_descriptor_limit() -> None:
    """Every connection is a descriptor; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
