"""An exchange engine process: `python -m ha_stress.engines.exchange.child FD INDEX COUNT SETTINGS_JSON`.

Started by `pool`, of no use alone. It ends at once when its control socket closes, which is how it notices that its node
is gone; what a scenario may want to do then does not count.
"""

from __future__ import annotations

import gc
import os
import sys

import trio

from ha_stress.engines.entry import Entry, enter
from ha_stress.engines.exchange.loop import Loop
from ha_stress.engines.exchange.reach import Reach


def main(arguments: list[str]) -> int:
    entry = enter(arguments)
    os.dup2(2, 1)  # what a scenario prints must not end up in the output of its node
    gc.collect()
    gc.freeze()
    entry.sock.setblocking(False)
    trio.run(_run, entry)
    return 0


async def _run(entry: Entry) -> None:
    loop = Loop(
        trio.socket.from_stdlib_socket(entry.sock),
        engine=entry.engine,
        engines=entry.engines,
        reach=Reach(entry.allowed),
        gone=_end_at_once,
        silent_s=entry.silent_s,
    )
    await loop.run()


def _end_at_once() -> None:
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
