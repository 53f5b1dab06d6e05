"""One sentinel's connection to one node, as `sentinel/probe.py` keeps it: dial, ping, notice the loss, dial fast.

A dead process on a living host refuses the dial; a paused one, a dead host and a cut line answer nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha_stress.node.core import SentinelPinged
from sentinel import effects as fx

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.sentinel import SimSentinel

SPARE_DIALS = 5


class SimProbe:
    """`attempt` tells one dial and its connection from every other; what belongs to an older one is ignored."""

    def __init__(self, sentinel: SimSentinel, node: SimNode) -> None:
        self.sentinel = sentinel
        self.node = node
        self.timing = sentinel.config.timing
        self.connected = False
        self.attempt = 0
        self._net = sentinel.net
        self._server_life = 0
        self._fast_left = 0
        self._heard_at = 0.0
        self._last_pong_due = 0.0

    def close(self) -> None:
        """The node is not watched any more."""
        self.attempt += 1
        self.connected = False

    # --- dialling ---

    def dial(self, attempt: int | None = None) -> None:
        if attempt is not None and attempt != self.attempt:
            return
        self.attempt += 1
        self.sentinel.after(max(self.timing.ping_period_s, 0.2), self._failed, self.attempt, False)
        delay = self._net.stream_s(self.sentinel.name, self.node.name)
        if delay is not None:
            timeline = self.sentinel.timeline
            timeline.after(delay, self._reached, self.attempt, self.sentinel.life)

    def _reached(self, attempt: int, life: int) -> None:
        """The dial is at the node's host."""
        node = self.node
        back = self._net.stream_s(node.name, self.sentinel.name)
        if not node.host_up or back is None or node.paused or life != self.sentinel.life:
            return
        when = self.sentinel.timeline.now + back
        if node.alive:
            self.sentinel.receive_at(when + 2 * self._net.delay_s(), self._accepted, attempt, node.life)
        else:
            self.sentinel.receive_at(when, self._failed, attempt, True)

    def _failed(self, attempt: int, refused: bool) -> None:
        if attempt != self.attempt or self.connected:
            return
        self.attempt += 1  # a refusal and the timeout are one failure
        self.sentinel.feed(fx.DialFailed(self.node.name, refused))
        self.sentinel.after(self._pause_s(), self.dial, self.attempt)

    def _pause_s(self) -> float:
        if self._fast_left > 1:
            self._fast_left -= 1
            return self.timing.crash_confirm_s / max(1, self.timing.crash_dials - 1) + 0.001
        return self.timing.ping_period_s * (0.75 + 0.5 * self.sentinel.timeline.rng.random())

    # --- the connection ---

    def _accepted(self, attempt: int, server_life: int) -> None:
        if attempt != self.attempt or self.connected:
            return
        self.connected = True
        self._server_life = server_life
        self._heard_at = self.sentinel.timeline.now
        self._last_pong_due = 0.0
        self.sentinel.feed(fx.NodeConnected(self.node.name))
        self._ping(attempt)
        self.sentinel.after(self.timing.down_after_s, self._patience, attempt)

    def broken(self, attempt: int) -> None:
        """The connection's end was noticed."""
        if attempt != self.attempt or not self.connected:
            return
        self.connected = False
        self._fast_left = self.timing.crash_dials + SPARE_DIALS
        self.sentinel.feed(fx.NodeConnectionLost(self.node.name))
        self.dial()

    def _patience(self, attempt: int) -> None:
        if attempt != self.attempt or not self.connected:
            return
        left = self._heard_at + self.timing.down_after_s - self.sentinel.timeline.now
        if left > 1e-9:
            self.sentinel.after(left, self._patience, attempt)
        else:
            self.broken(attempt)

    def _ping(self, attempt: int) -> None:
        if attempt != self.attempt or not self.connected:
            return
        sentinel = self.sentinel
        delay = self._net.stream_s(sentinel.name, self.node.name)
        if delay is not None:
            sentinel.timeline.after(delay, self._ping_arrives, attempt, sentinel.life, sentinel.ping())
        sentinel.after(self.timing.ping_period_s, self._ping, attempt)

    def _ping_arrives(self, attempt: int, life: int, ping: SentinelPinged) -> None:
        node = self.node
        if not node.host_up or attempt != self.attempt or life != self.sentinel.life:
            return
        if node.life == self._server_life and node.alive:
            node.receive_now(node.answer, self, attempt, ping)
            return
        delay = self._net.stream_s(node.name, self.sentinel.name)  # nobody owns this connection: reset
        if delay is not None:
            self.sentinel.receive_at(self.sentinel.timeline.now + delay, self.broken, attempt)

    def tell(self, pong: fx.PongReceived) -> None:
        """The node has news and does not wait for the next ping."""
        if self.connected and self._server_life == self.node.life:
            self.send_pong(self.attempt, pong)

    def send_pong(self, attempt: int, pong: fx.PongReceived) -> None:
        """The node answers; a stream keeps its order."""
        sentinel = self.sentinel
        delay = self._net.stream_s(self.node.name, sentinel.name)
        if delay is not None:
            due = sentinel.timeline.now + delay
            if due < self._last_pong_due:
                due = self._last_pong_due
            self._last_pong_due = due
            sentinel.receive_at(due, self._pong, attempt, pong)

    def _pong(self, attempt: int, pong: fx.PongReceived) -> None:
        if attempt != self.attempt or not self.connected:
            return
        self._heard_at = self.sentinel.timeline.now
        self.sentinel.feed(pong)

    def node_died(self) -> None:
        """The node's kernel says goodbye for it."""
        delay = self._net.stream_s(self.node.name, self.sentinel.name)
        if self.connected and delay is not None:
            self.sentinel.receive_at(self.sentinel.timeline.now + delay, self.broken, self.attempt)
