"""The revisions of one task in one engine, of either kind: each has a source of requests and an account of them.

No trio here: the fast engine loads this, too.
"""

from __future__ import annotations

from ha_stress.engines.account import Account
from ha_stress.engines.clock import now
from ha_stress.engines.pacing import Cursor
from ha_stress.engines.users import Users
from ha_stress.engines.warm_up import WarmUp
from ha_stress.tasks.checking import Compiled
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.request_names import names_of
from ha_stress.tasks.schedule import Part, TaskShare

Source = Cursor | Users


class Revisions:
    """`accounts` are those that run, by revision; `parked` the sources of those that are settled, or of an earlier time
    when the node ran this task. With `direct`, users who do not think go on by themselves (see `Users`).
    """

    def __init__(
        self,
        share: TaskShare,
        *,
        engine: int,
        engines: int,
        started_s: float,
        parked: dict[int, Source],
        checks: Compiled,
        direct: bool,
    ) -> None:
        self.task = share.task
        self.accounts: dict[int, Account] = {}
        self.parked = parked
        self.started_s = started_s
        self.warm_up = WarmUp(started_s + share.warm_up_s) if share.warm_up_s else WarmUp()
        self._engine, self._engines = engine, engines
        self._checks = checks
        self._direct = direct
        self._think_s = share.think_time_s
        self._names = names_of(requests_of(share)) if share.mix else ()

    def update(self, parts: tuple[Part, ...]) -> None:
        """The full list of parts. A known revision may only be closed (further), a missing one ends where it is."""
        for part in parts:
            account = self.accounts.get(part.revision)
            source = self.parked.pop(part.revision, None) if account is None else source_of(account)
            source = source or self._new_source(part)
            self._close(source, part)
            if account is None and source.exhausted:
                self.parked[part.revision] = source
            elif account is None:
                self._new_account(part.revision, source)
        for revision in self.accounts.keys() - {part.revision for part in parts}:
            source_of(self.accounts[revision]).close_here()

    def _new_source(self, part: Part) -> Source:
        if not part.users:
            return Cursor(part, engine=self._engine, engines=self._engines, started_s=self.started_s)
        return Users(
            part,
            engine=self._engine,
            engines=self._engines,
            started_s=self.started_s,
            think_s=self._think_s,
            direct=self._direct,
        )

    def _close(self, source: Source, part: Part) -> None:
        if isinstance(source, Cursor):
            source.close_at(part.limit)
        elif part.until_s is not None:
            source.stop_at(self.started_s + part.until_s)
        elif part.limit is not None:
            source.close_here()

    def _new_account(self, revision: int, source: Source) -> None:
        account = self.accounts[revision] = Account(
            self.task,
            revision,
            source,
            checks=self._checks,
            measured=self.warm_up.over_for(source, now()),
            closed_model=isinstance(source, Users),
            names=self._names,
        )
        if isinstance(source, Users):
            source.account = account

    def take_settled(self) -> list[Account]:
        """Take out the revisions that are closed and fully accounted (their sources are remembered), and what is over of
        the warm-up."""
        over = self.warm_up.settled()
        return over + self._park([account for account in self.accounts.values() if account.settled])

    def take_all(self) -> list[Account]:
        """Take out all accounts; if the task comes back, its sources go on from where they were."""
        return self.warm_up.take_all() + self._park(list(self.accounts.values()))

    def _park(self, accounts: list[Account]) -> list[Account]:
        for account in accounts:
            del self.accounts[account.revision]
            source = self.parked[account.revision] = source_of(account)
            if isinstance(source, Users):
                source.account = None
        return accounts


def source_of(account: Account) -> Source:
    source = account.cursor
    assert isinstance(source, Cursor | Users)
    return source
