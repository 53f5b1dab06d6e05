"""The network: every direction between two ends can be slow, lossy, doubling or cut.

Datagrams (what sentinels and masters say) are lost, doubled and reordered. Streams (probes, Redis) are not: a lost segment
of a stream comes late, and a cut direction brings nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.sim.process import Process
from tests.sim.timeline import Timeline

#: The first retransmission of a stream comes after this long, each further one after twice the time.
RETRANSMIT_S = 0.2


class Network:
    """See the module. All durations are seconds, `loss` and `doubling` are probabilities."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.delay_min_s = 0.0002
        self.delay_max_s = 0.002
        self.loss = 0.0
        self.doubling = 0.0
        self.straggling = 0.0
        self.cuts: dict[tuple[str, str], int] = {}
        self._random = timeline.rng.random

    def heal(self) -> None:
        self.delay_max_s = 0.002
        self.loss = self.doubling = self.straggling = 0.0
        self.cuts.clear()

    def cut(self, pairs: list[tuple[str, str]]) -> None:
        for pair in pairs:
            self.cuts[pair] = self.cuts.get(pair, 0) + 1

    def mend(self, pairs: list[tuple[str, str]]) -> None:
        for pair in pairs:
            left = self.cuts.get(pair, 0) - 1
            if left > 0:
                self.cuts[pair] = left
            else:
                self.cuts.pop(pair, None)

    def joined(self, a: str, b: str) -> bool:
        """Whether both directions are open."""
        return (a, b) not in self.cuts and (b, a) not in self.cuts

    def delay_s(self) -> float:
        least_s = self.delay_min_s
        return least_s + (self.delay_max_s - least_s) * self._random()

    def stream_s(self, sender: str, receiver: str) -> float | None:
        """How long a segment of a stream takes; None: it does not arrive."""
        if self.cuts and (sender, receiver) in self.cuts:
            return None
        least_s = self.delay_min_s
        delay = least_s + (self.delay_max_s - least_s) * self._random()
        if self.loss:
            again = RETRANSMIT_S
            while self._random() < self.loss and again < 5:
                delay += again
                again *= 2
        return delay

    def datagram(self, sender: str, receiver: Process, call: Callable[..., object], *args: Any) -> None:
        """One message, at most once, or twice, in any order."""
        if self.cuts and (sender, receiver.name) in self.cuts:
            return
        random = self._random
        if self.loss and random() < self.loss:
            return
        now = self.timeline.now
        late_s = random() if self.straggling and random() < self.straggling else 0.0
        receiver.receive_at(now + late_s + self.delay_s(), call, *args)
        if self.doubling and random() < self.doubling:
            receiver.receive_at(now + 5 * self.delay_s(), call, *args)
