"""Calls to Redis that may fail without an end to anything: an outage has thousands of them, and is said once.

A server that does not answer and one that holds what cannot be read come to the same for whoever called: it has no answer,
goes on with what it knows, and asks again.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from ha_stress.base.errors import BusUnavailable, ProtocolError
from ha_stress.log import Log

T = TypeVar("T")


class Attempts:
    """What one part of a process attempts, each under its name: "renew the lease"."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._failing: dict[str, type[Exception]] = {}

    async def make(self, what: str, call: Awaitable[T]) -> T | None:
        """The answer; None if there is none. A line in the log when this begins, and one when it is over."""
        try:
            answer = await call
        except (BusUnavailable, ProtocolError) as error:
            say = self._log.debug if self._failing.get(what) is type(error) else self._log.warning
            self._failing[what] = type(error)
            say(f"could not {what}", problem=str(error))
            return None
        if self._failing.pop(what, None) is not None:
            self._log.info(f"could {what} again")
        return answer
