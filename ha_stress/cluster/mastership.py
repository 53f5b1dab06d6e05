"""The mastership record and the one rule that orders it.

There is one record {epoch, node, incarnation} and one epoch counter. The first master (a race for a Redis NX lock)
and every elected master come out of it. The epoch only grows: of two records the one with the higher epoch is
the truth, whoever holds it and however it arrived. The lease is liveness, the record is authority.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Mastership:
    """Who may act as master. Epoch 0 means: nobody ever was."""

    epoch: int = 0
    node: str = ""
    incarnation: str = ""
    why: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        assert self.epoch >= 0
        assert bool(self.epoch) == bool(self.node), "a record above epoch 0 names its node"

    def held_by(self, node: str, incarnation: str) -> bool:
        """Whether exactly this process is named (a restarted process is not)."""
        return self.epoch > 0 and self.node == node and self.incarnation == incarnation


NOBODY = Mastership()


def newer(a: Mastership, b: Mastership) -> Mastership:
    """The record that is the truth: the higher epoch; `a` on a tie."""
    return b if b.epoch > a.epoch else a
