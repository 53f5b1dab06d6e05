"""Result frames on their way to the database. Pure.

    add -> waiting (no number yet) -> take -> sent (numbered, kept) -> acknowledge -> forgotten

A frame is numbered when it is first taken, so numbers have no gaps whatever happens before. It is kept until a master has
committed it, and sent again if that takes long: the unique key in the database makes a second arrival harmless.

Bounded: when many are kept, new ones go without the histograms of their requests by name, which are most of a frame that has
them. When too many are kept, waiting frames of the same task, revision and engine are added up into one. Their
histograms are lost (and counted in `lost`), their counters never: the books stay exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ha_stress.base.limits import FRAMES_KEPT_MAX, FRAMES_RESENT_MAX, FRAMES_WITH_REQUESTS_MAX
from ha_stress.tasks.figures import counts_added, without_histograms
from ha_stress.tasks.ledger import Frame, add
from ha_stress.tasks.schedule import Holder


@dataclass(slots=True)
class _Sent:
    frame: Frame
    delivered: bool = False  # Redis has confirmed it at least once


class Outbox:
    """The frames of one incarnation. `lost` counts frames whose histograms were given up."""

    def __init__(
        self,
        me: Holder,
        *,
        kept_max: int = FRAMES_KEPT_MAX,
        with_requests_max: int = FRAMES_WITH_REQUESTS_MAX,
        resent_max: int = FRAMES_RESENT_MAX,
        resend_s: float = 5.0,
        resend_s_max: float = 60.0,
    ) -> None:
        assert 0 < resend_s <= resend_s_max
        self._me = me
        self._kept_max = kept_max
        self._with_requests_max = with_requests_max
        self._resent_max = resent_max
        self._resend_s_min = resend_s
        self._resend_s_max = resend_s_max
        self._resend_s = resend_s
        self._quiet_since = 0.0  # the last delivery or acknowledgement; silence after it calls for sending again
        self._resent_at = float("-inf")
        self._next = 1
        self._waiting: deque[Frame] = deque()
        self._sent: deque[_Sent] = deque()
        self.lost = 0

    @property
    def kept(self) -> int:
        """Frames that nobody is known to have committed."""
        return len(self._waiting) + len(self._sent)

    @property
    def undelivered(self) -> int:
        """Frames that have not reached Redis even once."""
        return len(self._waiting) + sum(not sent.delivered for sent in self._sent)

    def add(self, frame: Frame) -> None:
        """A new frame; its node, incarnation and sequence are filled in here."""
        if frame.requests and self.kept >= self._with_requests_max:
            frame = replace(frame, requests=without_histograms(frame.requests))
            self.lost += 1
        self._waiting.append(replace(frame, node=self._me.node, incarnation=self._me.incarnation, sequence=0))
        if self.kept > self._kept_max:
            self._merge_oldest()

    def take(self, count: int) -> list[Frame]:
        """Up to `count` frames that have not reached Redis, oldest first. Call `delivered` when they have."""
        batch = [sent.frame for sent in self._sent if not sent.delivered][:count]
        while self._waiting and len(batch) < count:
            batch.append(replace(self._waiting.popleft(), sequence=self._next))
            self._sent.append(_Sent(batch[-1]))
            self._next += 1
        return batch

    def delivered(self, frames: Sequence[Frame], now: float) -> None:
        """Redis has confirmed these."""
        numbers = {frame.sequence for frame in frames}
        if all(not sent.delivered for sent in self._sent):
            self._quiet_since = now
        for sent in self._sent:
            if sent.frame.sequence in numbers:
                sent.delivered = True

    def acknowledge(self, mark: int, now: float) -> None:
        """Every frame up to number `mark` is in the database."""
        progress = False
        while self._sent and self._sent[0].frame.sequence <= mark:
            self._sent.popleft()
            progress = True
        if progress:
            self._quiet_since = now
            self._resend_s = self._resend_s_min

    def take_again(self, now: float) -> list[Frame]:
        """The oldest delivered frames, if nothing was acknowledged for long (a Redis that lost its data); else none.

        A few at a time and ever more rarely while nothing comes back, so that the stream is not flooded with copies.
        """
        again = [sent.frame for sent in self._sent if sent.delivered][: self._resent_max]
        if not again or now - self._quiet_since < self._resend_s or now - self._resent_at < self._resend_s_min:
            return []
        self._quiet_since = self._resent_at = now
        self._resend_s = min(2 * self._resend_s, self._resend_s_max)
        return again

    def doubt(self, now: float) -> None:
        """Redis was away and may have lost data: `take_again` is due soon, but never in a tight loop."""
        self._resend_s = self._resend_s_min
        self._quiet_since = min(self._quiet_since, now - self._resend_s_min + 1.0)

    def _merge_oldest(self) -> None:
        """Add the oldest waiting frame to the next one of its kind. Kinds are few, so this keeps the bound."""
        for index, old in enumerate(self._waiting):
            for later in range(index + 1, len(self._waiting)):
                other = self._waiting[later]
                if _kind(other) == _kind(old):
                    counters = add((old.counters, other.counters))
                    requests = counts_added((old.requests, other.requests))
                    self._waiting[later] = replace(other, counters=counters, requests=requests)
                    del self._waiting[index]
                    self.lost += 1
                    return


def _kind(frame: Frame) -> tuple[str, int, int, bool]:
    return frame.task, frame.revision, frame.engine, frame.warm_up
