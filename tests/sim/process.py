"""A process: it lives, is paused, dies and starts again. What was meant for an earlier life never reaches a later one."""

from __future__ import annotations

from collections.abc import Callable
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
        self._waiting: list[tuple[bool, Callable[..., object], tuple[Any, ...]]] = []

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
        timeline.at(timeline.now + delay_s, self._fire, self.life, True, call, args)

    def receive_at(self, when: float, call: Callable[..., object], *args: Any) -> None:
        """Something arrives from outside, for the life that this process leads now."""
        self.timeline.at(when, self._fire, self.life, False, call, args)

    def _fire(self, life: int, timer: bool, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        if life != self.life or not self.alive:
            return
        if self.paused:
            self._waiting.append((timer, call, args))
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
        self._waiting.clear()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Go on. Whether the expired timers or the waiting messages come first is the event loop's whim."""
        if not self.paused:
            return
        self.paused = False
        waiting, self._waiting = self._waiting, []
        whim = self.timeline.rng.random()
        if whim < 0.6:
            waiting.sort(key=lambda item: item[0] == (whim < 0.3))
        for timer, call, args in waiting:
            self._fire(self.life, timer, call, args)
