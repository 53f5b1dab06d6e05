"""The engine's clock: monotonic seconds that go on while the machine is suspended, so that a suspension shows as a gap."""

from __future__ import annotations

import time
from functools import partial
from math import ceil
from typing import Final

now = partial(time.clock_gettime, time.CLOCK_BOOTTIME)

#: A report that is due on the second is cut this much after it at most, on a machine that keeps up.
_LATE_S: Final = 0.05


def second_of_report() -> int:
    """The Unix second at the end of which a report that is cut now belongs: on the second that one, in the middle of a
    second the next one. So what a label counts happened from label - 1 to label, whatever made the engine report."""
    return ceil(time.time() - _LATE_S)


def of_wall(wall_s: float) -> float:
    """A moment of the wall clock (Unix seconds) on the engine's, as the two differ now. Ask once per task: a clock that is
    set while the task runs must not move its arrivals."""
    return wall_s - time.time() + now()
