"""An engine's loop in a thread of the test: no process to start, and the test may decide what a name resolves to."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from ha_stress.base.targets import AllowedTargets
from ha_stress.engines import control, histogram
from ha_stress.engines.failures import MEANING
from ha_stress.engines.loop import Loop, NodeGone
from ha_stress.tasks.ledger import Counters, add
from ha_stress.tasks.schedule import Part, TaskShare
from ha_stress.tasks.spec import HttpRequest

SOON_S = 0.02


class EngineThread:
    """`run` is what a node does: it applies a share, and reads the reports until nothing is outstanding."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.settimeout(10)
        self._deframer = control.Deframer()
        self._number = 0
        self.reports: list[dict[str, Any]] = []
        self.heard: list[str] = []  # the kinds of all messages

    def say(self, kind: str) -> None:
        """A message without anything in it: go, alive."""
        self._sock.sendall(control.frame({"t": kind}))

    def until_heard(self, kind: str, within_s: float = 15.0) -> bool:
        """Whether it says this, or has said it."""
        deadline = time.monotonic() + within_s
        while kind not in self.heard and time.monotonic() < deadline:
            self.read()
        return kind in self.heard

    def apply(self, *shares: TaskShare, blobs: dict[str, bytes] | None = None) -> int:
        self._number += 1
        for digest, data in (blobs or {}).items():
            self._sock.sendall(control.frame({"t": "blob", "digest": digest, "data": data}))
        plain = [control.share_to_plain(share) for share in shares]
        self._sock.sendall(control.frame({"t": "apply", "n": self._number, "shares": plain}))
        return self._number

    def run(self, share: TaskShare, within_s: float = 15.0) -> Counters:
        """The books of this share alone; they must add up."""
        self.reports.clear()
        self.until_idle(self.apply(share), within_s)
        books = self.books()
        assert books.under_way == 0, books
        assert books.intended == books.started + books.dropped
        assert set(books.failed) <= set(MEANING)
        assert sum(books.statuses.values()) == books.completed
        return books

    def books(self) -> Counters:
        return add(Counters(**report["counters"]) for report in self.reports)

    def until_idle(self, number: int, within_s: float = 15.0) -> None:
        deadline = time.monotonic() + within_s
        while True:
            assert time.monotonic() < deadline, f"not idle: {self.books()}"
            for message in self.read():
                if message["t"] == "idle" and message["n"] == number and message["idle"]:
                    return

    def read(self) -> list[dict[str, Any]]:
        """The messages that have come, or come within a moment."""
        if not select.select([self._sock], [], [], 0.05)[0]:
            return []
        messages = list(self._deframer.feed(self._sock.recv(1 << 20)))
        self.reports += [message for message in messages if message["t"] == "report"]
        self.heard += [message["t"] for message in messages]
        return messages

    def recorded(self, name: str) -> int:
        """How many latencies of this kind the reports hold."""
        return histogram.summary(histogram.merge(report[name] for report in self.reports)).count


@contextlib.contextmanager
def engine_thread(
    allow: Sequence[str] = ("loopback",),
    *,
    engine: int = 0,
    engines: int = 1,
    silent_s: float = inf,
    kind: type[Loop] = Loop,
) -> Iterator[EngineThread]:
    ours, theirs = socket.socketpair()
    loop = kind(theirs, engine=engine, engines=engines, allowed=AllowedTargets.parse(allow), silent_s=silent_s)

    def run() -> None:
        with contextlib.suppress(NodeGone):
            loop.run()

    with in_a_thread(run, ours, theirs) as thread:
        yield thread


@contextlib.contextmanager
def in_a_thread(run: Callable[[], None], ours: socket.socket, theirs: socket.socket) -> Iterator[EngineThread]:
    """The node's side of an engine whose loop `run` runs, until our end of its control socket is closed."""
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield EngineThread(ours)
    finally:
        ours.close()
        thread.join(5)
        theirs.close()
    assert not thread.is_alive()


_TASKS = iter(range(1_000_000))


def arrivals(
    url: str, count: int = 5, *, rate: float = 500.0, share: dict[str, Any] | None = None, **more: Any
) -> TaskShare:
    """A share of this many arrivals; `more` is of the request, `share` of the share."""
    part = Part(revision=1, at_s=0.0, rate=rate, modulus=1, slots=(0,), limit=count)
    return _share(HttpRequest(url=url, **more), part, share)


def users(
    url: str, count: int, until_s: float | None, *, share: dict[str, Any] | None = None, **more: Any
) -> TaskShare:
    """A share of the closed model."""
    limit = None if until_s is None else 0
    slots = tuple(range(count))
    part = Part(revision=1, at_s=0.0, rate=0.0, modulus=count, slots=slots, limit=limit, users=count, until_s=until_s)
    return _share(HttpRequest(url=url, **more), part, share)


def _share(request: HttpRequest, part: Part, more: dict[str, Any] | None) -> TaskShare:
    task = f"task-{next(_TASKS)}"
    whole = TaskShare(task=task, request=request, in_flight_max=1024, started_at=time.time() + SOON_S, parts=(part,))
    return replace(whole, **(more or {}))
