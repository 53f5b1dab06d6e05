"""The tasks of an engine, of either kind: which lanes there are, and what is remembered of those that were."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from ha_stress.base.limits import ENGINE_LANES_REMEMBERED_MAX
from ha_stress.engines.account import Account
from ha_stress.engines.clock import of_wall
from ha_stress.engines.warm_up import WarmUp
from ha_stress.tasks.digests import digests_of
from ha_stress.tasks.schedule import Part, TaskShare


class Running(Protocol):
    """What a roster knows of a lane. `parked` are the sources of its settled revisions,
    `accounts` those of the others, by number; those that count what is left of the warm-up are in `warm_up.ending`."""

    started_s: float
    warm_up: WarmUp
    parked: dict[int, Any]
    accounts: dict[int, Account]

    def update(self, parts: tuple[Part, ...]) -> None: ...

    def cancel(self) -> list[Account]: ...


L = TypeVar("L", bound=Running)


class Roster(Generic[L]):
    """`blobs` are the stored files that the shares name, by digest. A task that comes back goes on where it was: what its
    sources had taken is remembered, and when it began is asked of the wall clock once."""

    def __init__(self) -> None:
        self.lanes: dict[str, L] = {}
        self.blobs: dict[str, bytes] = {}
        self._remembered: OrderedDict[str, tuple[float, dict[int, Any]]] = OrderedDict()

    def change(
        self,
        shares: Sequence[TaskShare],
        new_lane: Callable[[TaskShare, float, dict[int, Any]], L],
        ended: Callable[[list[Account]], None],
    ) -> None:
        """Have lanes for exactly these shares. `new_lane` is given when the task began, on the engine's clock, and what is
        parked; `ended` is told the accounts of a task that was taken away."""
        wanted = {share.task: share for share in shares}
        for task in [task for task in self.lanes if task not in wanted]:
            lane = self.lanes.pop(task)
            ended(lane.cancel())
            self._remembered[task] = (lane.started_s, lane.parked)
            if len(self._remembered) > ENGINE_LANES_REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        for task, share in wanted.items():
            if task not in self.lanes:
                started_s, parked = self._remembered.pop(task, (of_wall(share.started_at), {}))
                self.lanes[task] = new_lane(share, started_s, parked)
            self.lanes[task].update(share.parts)
        needed = frozenset().union(*map(digests_of, shares))
        self.blobs = {digest: data for digest, data in self.blobs.items() if digest in needed}

    def accounts(self) -> list[Account]:
        return [one for lane in self.lanes.values() for one in (*lane.warm_up.ending, *lane.accounts.values())]

    @property
    def busy(self) -> bool:
        """Whether any revision is not settled."""
        return bool(self.accounts())
