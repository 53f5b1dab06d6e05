"""What has happened so far, as far as an invariant asks for it. The judge is the simulation's `Checks`; here its memory is
part of the state, because whether a second leader is one too many depends on who was the first."""

from __future__ import annotations

from collections.abc import Hashable
from copy import deepcopy

from tests.explore.redis import Note
from tests.explore.shelf import Numbers, frozen
from tests.sim.checks import Checks
from tests.sim.fenced import FencedStore
from tests.sim.timeline import Timeline


class Histories:
    """A history has a number; the same note on the same history leads to the same one, and is judged once."""

    def __init__(self, *, store_open: bool) -> None:
        self.notes: Numbers[Note] = Numbers()
        self._numbers: dict[Hashable, int] = {}
        self._kept: list[Checks] = []
        self._store_open = store_open
        self._known: dict[tuple[int, int], tuple[int, tuple[str, ...]]] = {}
        checks = Checks(Timeline(0), 0)
        self.first = self._keep(checks)

    def note(self, history: int, note: int) -> tuple[int, tuple[str, ...]]:
        """The history after this note, and what the note has broken."""
        known = self._known.get((history, note))
        if known is None:
            checks = deepcopy(self._kept[history])
            name, given = self.notes[note]
            self._tell(checks, name, *given)
            broken = tuple(f"{violation.invariant}: {violation.detail}" for violation in checks.violations)
            checks.violations.clear()
            known = self._known[history, note] = (self._keep(checks), broken)
        return known

    def _keep(self, checks: Checks) -> int:
        key = frozen(checks)
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self._kept)
            self._kept.append(checks)
        return known

    def _tell(self, checks: Checks, name: str, *given: object) -> None:
        match name, given:
            case "vote_decided", (str(voter), int(epoch), bool(tilt), bool(up)):
                checks.vote_decided(voter, epoch, tilt=tilt, master_up=up)
            case "store_write", (int(epoch), str(node), str(incarnation)):
                store = FencedStore(checks, broken=self._store_open)
                store.row = checks.fence
                store.write(epoch, node, incarnation)
            case _:
                getattr(checks, name)(*given)
