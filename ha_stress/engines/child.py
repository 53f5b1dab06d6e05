"""An engine process: `python -m ha_stress.engines.child FD INDEX COUNT [SETTINGS]`. Started by `pool`, of no use alone.

SETTINGS is JSON: `{"allow": ["127.0.0.0/8", ...]}`, the networks that may be loaded; without it loopback and private ones.

It imports neither trio nor pydantic nor redis: it starts in a tenth of a second and stays small. It ends at once when
its control socket closes, which is how it notices that its node is gone.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from pathlib import Path
from typing import Final

from ha_stress.engines.entry import enter
from ha_stress.engines.loop import Loop, NodeGone

#: Waits may end this much late: the kernel's default of 50 us is as long as a whole response on a local network.
TIMER_SLACK_NS: Final = 1_000


def main(arguments: list[str]) -> int:
    entry = enter(arguments)
    with contextlib.suppress(OSError):  # no such file outside Linux: pacing is a little coarser then
        Path("/proc/self/timerslack_ns").write_text(str(TIMER_SLACK_NS))
    loop = Loop(entry.sock, engine=entry.engine, engines=entry.engines, allowed=entry.allowed, silent_s=entry.silent_s)
    # The loop makes no cycles (a connection breaks its own when it closes), and a collection would delay arrivals.
    gc.collect()
    gc.freeze()
    gc.disable()
    with contextlib.suppress(NodeGone):
        loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
