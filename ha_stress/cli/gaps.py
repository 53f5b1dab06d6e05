"""Events have sequences without gaps: a jump means that some were missed, and the reader is told how many. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Between the events `after` and `before` (their sequences). `missed` 0: the numbers began again."""

    after: int
    before: int
    missed: int

    @property
    def sentence(self) -> str:
        if not self.missed:
            return (
                f"the sequence fell from {self.after} to {self.before}: Redis has lost its data and counts anew; "
                "the database keeps the failovers"
            )
        if self.missed == 1:
            return f"1 event was missed (sequence {self.after + 1}): it has left the stream"
        which = f"sequences {self.after + 1} to {self.before - 1}"
        return f"{self.missed} events were missed ({which}): they have left the stream"

    def as_json(self) -> dict[str, Any]:
        return {"gap": {"after": self.after, "before": self.before, "missed": self.missed}, "meaning": self.sentence}


class Gaps:
    """Shown every event in turn. `after` is the sequence that the reader began behind; 0: with the newest ones."""

    def __init__(self, after: int) -> None:
        self._last = after

    def seen(self, event: Mapping[str, Any]) -> Gap | None:
        """The gap right before this event, if there is one."""
        last, self._last = self._last, int(event["sequence"])
        if not last or self._last == last + 1:
            return None
        missed = max(0, self._last - last - 1)
        return Gap(after=last, before=self._last, missed=missed)
