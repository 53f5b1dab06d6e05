"""The operator's wish for another master: when this sentinel may follow it. Pure.

A wish is followed only while there is somebody to follow the master, so that a switchover to a node that cannot take over
costs no epoch and no vote; only under the epoch that it was asked at; and only for so long, so that a wish that nobody
could fulfil does not come true an hour later. A wish that was on disk when this sentinel started is an old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentinel.seat import Seat

#: A wish is followed for this long after this sentinel first read it.
PATIENCE_S = 10.0
#: Looking for somebody who could follow costs a look at every node: not at each step.
LOOK_PERIOD_S = 0.05


class Handover:
    """`old` is the revision of the controls that were on disk at the start."""

    def __init__(self, old: int) -> None:
        self._asked = old
        self._first_read = float("-inf")
        self._looked_at = float("-inf")
        self._open = False

    def is_open(self, seat: Seat, now: float) -> bool:
        """Whether the master is to be replaced because the operator asks for it."""
        wish = seat.controls.switchover_at(seat.record.epoch)
        if wish is None:
            self._open = False
            return False
        if wish.asked > self._asked:
            self._asked = wish.asked
            self._first_read, self._looked_at = now, float("-inf")
        if now - self._first_read >= PATIENCE_S:
            self._open = False
        elif now - self._looked_at >= LOOK_PERIOD_S:
            self._looked_at = now
            rules = seat.rules(only=wish.to)
            self._open = any(row.rank for row in seat.table(rules, now))
        return self._open
