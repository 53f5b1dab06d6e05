"""The engine's clock: monotonic seconds that go on while the machine is suspended, so that a suspension shows as a gap."""

from __future__ import annotations

import time
from functools import partial

now = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
