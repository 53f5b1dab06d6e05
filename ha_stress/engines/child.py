"""An engine process: `python -m ha_stress.engines.child FD INDEX COUNT [SETTINGS]`. Started by `pool`, of no use alone.

SETTINGS is JSON: `{"allow": ["127.0.0.0/8", ...]}`, the networks that may be loaded; without it loopback and private ones.

It imports neither trio nor pydantic nor redis: it starts in a tenth of a second and stays small. It ends at once when
its control socket closes, which is how it notices that its node is gone.
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
from pathlib import Path
from typing import Final

from ha_stress.base.targets import AllowedTargets
from ha_stress.engines.loop import Loop, NodeGone

#: Waits may end this much late: the kernel's default of 50 us is as long as a whole response on a local network.
TIMER_SLACK_NS: Final = 1_000
#: Below its node, so that an engine that wants more than there is never delays a heartbeat. Measured with three busy
#: children on two cores that others used too: a parent that wakes every 10 ms for a millisecond of work was done after 4 to
#: 19 ms (99th percentile, three windows) beside equals, after 4 ms beside children at 5, and after 1 to 6 ms at 10.
NICENESS: Final = 5


def main(arguments: list[str]) -> int:
    descriptor, engine, engines = (int(argument) for argument in arguments[:3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to the whole group; the node decides
    os.nice(NICENESS)
    _raise_descriptor_limit()
    with contextlib.suppress(OSError):  # no such file outside Linux: pacing is a little coarser then
        Path("/proc/self/timerslack_ns").write_text(str(TIMER_SLACK_NS))
    settings = json.loads(arguments[3]) if len(arguments) > 3 else {}
    allowed = AllowedTargets.parse(settings["allow"]) if "allow" in settings else AllowedTargets.parse()
    loop = Loop(
        socket.socket(fileno=descriptor),
        engine=engine,
        engines=engines,
        allowed=allowed,
        silent_s=settings.get("silent_s", inf),
    )
    # The loop makes no cycles (a connection breaks its own when it closes), and a collection would delay arrivals.
    gc.collect()
    gc.freeze()
    gc.disable()
    with contextlib.suppress(NodeGone):
        loop.run()
    return 0


def _raise_descriptor_limit() -> None:
    """Every connection is a descriptor; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
