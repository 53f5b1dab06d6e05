"""Whose is this node's id? The process that registered last owns it, and only its description is taken. Pure.

A registration can reach Redis long after its sender died: Redis stalled, and of two connections it happened to serve the
dead one last. Then nobody speaks under the id. So a process whose description is refused ends if another one speaks in its
place, and registers again if for a while nobody does.
"""

from __future__ import annotations

from enum import Enum, auto


class Verdict(Enum):
    WAIT = auto()
    REGISTER = auto()
    END = auto()


class Ownership:
    """`patience_s`: who has registered describes itself within this time, or is dead."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._refused_since: float | None = None

    def granted(self) -> None:
        """The description was taken."""
        self._refused_since = None

    def refused(self, now: float, *, other_speaks: bool) -> Verdict:
        """It was not. `other_speaks`: there is a living description of another process under this id."""
        if other_speaks:
            return Verdict.END
        if self._refused_since is None:
            self._refused_since = now
        if now - self._refused_since < self._patience_s:
            return Verdict.WAIT
        self._refused_since = None
        return Verdict.REGISTER
