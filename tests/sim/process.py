"""A process: it lives, is paused, dies and starts again. What was meant for an earlier life never reaches a later one."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import Any

from tests.sim.timeline import Timeline


class Process:
    """`life` grows with each death. While paused, timers and messages wait; at the end of the pause all come at once."""

    def __init__(self, timeline: Timeline, name: str) -> None:
        self.timeline = timeline
        self.name = name
        self.life = 0
        self.alive = False
        self.paused = False
        self.host_up = True
        #: How far this host's wall clock is from the monotonic one; only a broken core asks the wall clock.
        self.wall_offset_s = 0.0
        self.trusts_wall_clock = False
        #: What fell into a pause: timer or not, and what to call.
        self.waiting: list[tuple[bool, Callable[..., object], tuple[Any, ...]]] = []

    def clock(self) -> float:
        """The `now` of this process's core."""
        return self.wall() if self.trusts_wall_clock else self.timeline.now

    def wall(self) -> float:
        return self.timeline.now + self.wall_offset_s

    def until(self, deadline: float) -> float:
        """How long until `clock` has reached this."""
        # Sums with an offset are rounded: without the little more a timer could fire too early for ever.
        return max(0.0, deadline - self.clock()) + (1e-6 if self.trusts_wall_clock else 0.0)

    def after(self, delay_s: float, call: Callable[..., object], *args: Any) -> None:
        """A timer of this process: it dies with it and waits while it is paused."""
        timeline = self.timeline
        heappush(timeline.heap, (timeline.now + delay_s, timeline.number(), self, self.life, True, call, args))

    def receive_at(self, when: float, call: Callable[..., object], *args: Any) -> None:
        """Something arrives from outside, for the life that this process leads now."""
        timeline = self.timeline
        heappush(timeline.heap, (when, timeline.number(), self, self.life, False, call, args))

    def receive_now(self, call: Callable[..., object], *args: Any) -> None:
        """Something has arrived from outside at this moment."""
        if self.paused:
            self.waiting.append((False, call, args))
        else:
            call(*args)

    def begin(self) -> None:
        """Start, if it is not running; what runs is the subclass's business."""
        self.alive = True
        self.host_up = True

    def die(self, *, host: bool = False) -> None:
        """kill -9, or with `host` the loss of the whole machine: then nobody refuses a dial either."""
        self.alive = False
        self.paused = False
        self.host_up = not host
        self.life += 1
        self.waiting.clear()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Go on. Whether the expired timers or the waiting messages come first is the event loop's whim."""
        if not self.paused:
            return
        self.paused = False
        waiting, self.waiting = self.waiting, []
        life = self.life
        whim = self.timeline.rng.random()
        if whim < 0.6:
            waiting.sort(key=lambda item: item[0] == (whim < 0.3))
        for _, call, args in waiting:
            if self.life == life and self.alive:
                call(*args)
