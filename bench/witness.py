"""A plain Redis subscriber in a thread: every message with the moment at which this process had it.

All marks of a benchmark come from one process' monotonic clock, so those of different servers compare.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import redis

from ha_stress.base.errors import HaStressError

#: How long a thread may sleep before it sees that it shall end; a message wakes it at once.
_LOOK_S: Final = 0.2
#: What one round brings is some dozens; older ones are of no use.
_SEEN_MAX: Final = 10_000


class BenchFailed(HaStressError):
    """A round did not go as it must: nothing can be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One message or answer; `at` is this process' monotonic clock, right after it came."""

    at: float
    channel: str
    data: bytes


class Witness:
    """What was seen, by all threads of one system under test."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=_SEEN_MAX)
        self._news = threading.Condition()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure = ""

    def note(self, channel: str, data: bytes) -> None:
        at = time.monotonic()
        with self._news:
            self._seen.append(Seen(at=at, channel=channel, data=data))
            self._news.notify_all()

    def seen(self) -> list[Seen]:
        with self._news:
            return list(self._seen)

    def subscribe(self, port: int, pattern: str) -> None:
        """Subscribe to `pattern` at 127.0.0.1:`port`; returns when the subscription stands."""
        stands = threading.Event()
        self._start(lambda: self._listen(port, pattern, stands))
        if not stands.wait(5):
            raise BenchFailed(f"no subscription at port {port}: {self._failure or 'no answer'}")

    def _start(self, body: Callable[[], None]) -> None:
        thread = threading.Thread(target=body, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self, port: int, pattern: str, stands: threading.Event) -> None:
        try:
            with redis.Redis(host="127.0.0.1", port=port) as client, client.pubsub() as subscription:
                subscription.psubscribe(pattern)
                while not self._over.is_set():
                    message: dict[str, Any] | None = subscription.get_message(timeout=_LOOK_S)
                    if message is None:
                        continue
                    if message["type"] == "pmessage":
                        self.note(message["channel"].decode(), message["data"])
                    elif message["type"] == "psubscribe":
                        stands.set()
        except (redis.RedisError, OSError) as error:
            self._failure = f"the subscription at port {port} broke: {error}"

    def wait_all(self, wanted: dict[str, Callable[[Seen], bool]], since: float, timeout_s: float) -> dict[str, float]:
        """When each wanted thing was first seen after `since`. BenchFailed names what did not come in time.

        What is older is forgotten, so that looking through the rest stays quick and does not delay the threads.
        """
        deadline = time.monotonic() + timeout_s
        with self._news:
            while self._seen and self._seen[0].at < since:
                self._seen.popleft()
            while True:
                found = {name: self._first(matches, since) for name, matches in wanted.items()}
                marks = {name: at for name, at in found.items() if at is not None}
                left_s = deadline - time.monotonic()
                if len(marks) == len(wanted):
                    return marks
                if left_s <= 0 or self._failure:
                    missing = ", ".join(name for name in wanted if name not in marks)
                    raise BenchFailed(f"not seen in {timeout_s:g} s: {missing} {self._failure}".rstrip())
                self._news.wait(min(left_s, _LOOK_S))

    def _first(self, matches: Callable[[Seen], bool], since: float) -> float | None:
        return min((seen.at for seen in self._seen if seen.at >= since and matches(seen)), default=None)

    def close(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5)


def wait_until(what: str, holds: Callable[[], bool], timeout_s: float) -> None:
    """Look every 50 ms. Redis errors mean "not yet"."""
    deadline = time.monotonic() + timeout_s
    problem = ""
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (redis.RedisError, OSError) as error:
            problem = f" ({error})"
        time.sleep(0.05)
    raise BenchFailed(f"waited {timeout_s:g} s in vain: {what}{problem}")
