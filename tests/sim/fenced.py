"""The database's fence, with exactly the comparison of the real one: a higher epoch moves it, an equal one must be the same
process."""

from __future__ import annotations

from tests.sim.checks import Checks


class FencedStore:
    """`broken` is a planted defect: whoever writes is let through."""

    def __init__(self, checks: Checks, *, broken: bool) -> None:
        self.row = (0, "", "")
        self._checks = checks
        self._broken = broken

    def write(self, epoch: int, node: str, incarnation: str) -> bool:
        """One transaction of a master. Returns whether it was let through."""
        offered = (epoch, node, incarnation)
        if self.row[0] < epoch or self.row == offered or self._broken:
            self.row = offered
            self._checks.counts["writes"] += 1
            self._checks.fence_passed(*offered)
            return True
        self._checks.counts["writes refused"] += 1
        return False
