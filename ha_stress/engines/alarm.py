"""One timer of the kernel, as a descriptor in the loop's epoll: it goes off at a time on the engine's clock.

It stays armed while answers come and go, so a request costs one setting of the machine's timer, as it would a program that
only sleeps; a wait with a timeout of its own sets it anew each time, which costs 10 us when the next arrival is near.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from typing import Final

_ABSOLUTE: Final = 1  # TFD_TIMER_ABSTIME
#: Later than asked by this much, so that by the engine's clock, too, the time has come when it goes off.
_ROUNDING_NS: Final = 1_000


class Alarm:
    """`descriptor` is readable, once per setting, after the time has come. Watch it edge-triggered; nobody reads it."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = library.timerfd_create(time.CLOCK_BOOTTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._settime = library.timerfd_settime
        self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._when = ctypes.create_string_buffer(32)  # struct itimerspec: interval, then when it goes off
        self._address = ctypes.addressof(self._when)
        self._pack = struct.Struct("@qqqq").pack_into

    def set(self, at_s: float) -> None:
        """Go off at this time instead; at once if it has passed."""
        at_ns = max(int(at_s * 1e9), 0) + _ROUNDING_NS
        self._pack(self._when, 0, 0, 0, at_ns // 1_000_000_000, at_ns % 1_000_000_000)
        self._settime(self.descriptor, _ABSOLUTE, self._address, None)
