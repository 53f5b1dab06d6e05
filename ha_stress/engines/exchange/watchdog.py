"""Ends scenario code that blocks its engine: `time.sleep`, a blocking client, a loop without end.

Everything in an exchange engine shares one thread, so code that does not give way stops all other arrivals. A timer of the
kernel looks a few times a second how long the present task has been running; if that is too long, and it is in the author's
code (or what that calls, but for this package and trio, whose state must not be torn apart), `Blocked` is raised there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType
from typing import Final

#: How long scenario code may run without waiting for anything.
BLOCKED_S: Final = 1.0
#: How long it may take to load.
LOADING_S: Final = 10.0
_LOOK_S: Final = 0.25
_OURS: Final = (f"{os.sep}trio{os.sep}", f"{os.sep}ha_stress{os.sep}")


class Blocked(BaseException):
    """Not an `Exception`, so that a scenario which catches those in its loop ends too."""


class Watchdog:
    """`running_since` says when the event loop last came back from waiting; infinity while it waits."""

    def __init__(self, running_since: Callable[[], float]) -> None:
        self._running_since = running_since
        self._files: set[str] = set()
        self._limit_s = BLOCKED_S
        self._since, self._looks = inf, 0
        self._parent = os.getppid()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """The file itself is being run: what it imports may take its time."""
        self._limit_s = LOADING_S
        try:
            yield
        finally:
            self._limit_s = BLOCKED_S

    def guard(self, file: str) -> None:
        """Watch the code of this file from now on."""
        if not self._files:
            signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)
        self._files.add(file)

    def _look(self, _signal: int, frame: FrameType | None) -> None:
        # So many looks, and not so much time: a process that was stopped meanwhile gets one signal for all that it missed.
        since = self._running_since()
        self._looks = self._looks + 1 if since == self._since else 0
        self._since = since
        if since == inf or self._looks * _LOOK_S < self._limit_s:
            return
        if os.getppid() != self._parent:  # the node has died, and the loop does not come round to hear of it
            os._exit(0)
        while frame is not None:
            file = frame.f_code.co_filename
            if file in self._files:
                raise Blocked(
                    f"it ran for {self._limit_s:g} s without waiting: use `await user.think()` and async libraries"
                )
            if any(part in file for part in _OURS):
                return
            frame = frame.f_back
