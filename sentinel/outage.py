"""An outage of Redis, as one sentinel sees it. Pure.

It is said once, when it has lasted long enough to matter, and once when it is over.
"""

from __future__ import annotations


class Outage:
    """Feed it with the outcome of each call."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._since: float | None = None
        self._told = False

    def note(self, up: bool, now: float) -> tuple[str, float]:
        """The event to say now ("" for none), and for how many seconds Redis has not answered."""
        away_s = 0.0 if self._since is None else now - self._since
        if up:
            told, self._told, self._since = self._told, False, None
            return "-bus-down" if told else "", away_s
        if self._since is None:
            self._since = now
        elif not self._told and away_s >= self._after_s:
            self._told = True
            return "+bus-down", away_s
        return "", away_s
