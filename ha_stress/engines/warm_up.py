"""Where the warm-up of a task ends, of either kind of engine: what is due from then on is counted apart. Pure.

    due in the warm-up --> account ........ until all of it has been answered (ending)
    due later          -->  its successor, of the same revision and source

So an arrival belongs to the warm-up or not by when it was due, however late it is answered, and whether it fails.
"""

from __future__ import annotations

from math import inf, nextafter

from ha_stress.engines.account import Account, Source
from ha_stress.engines.users import Users


class WarmUp:
    """`until_s` is when it ends, on the engine's clock; -inf if there is none. `ending` are the accounts of it of which
    something is still under way, although their revision has another one already."""

    def __init__(self, until_s: float = -inf) -> None:
        self.until_s = until_s
        self.ending: list[Account] = []
        self._last_s = nextafter(until_s, -inf)

    def over_for(self, source: Source, moment: float) -> bool:
        """Whether whatever `source` has next is behind the warm-up. Users send when they send."""
        return (moment if isinstance(source, Users) else source.due_s) >= self.until_s

    def due_by(self, account: Account, moment: float) -> float:
        """Until when arrivals are taken into this account."""
        return moment if account.measured else min(moment, self._last_s)

    def ends_s(self, accounts: dict[int, Account]) -> float:
        """When one of these needs a successor; infinity if none does."""
        return self.until_s if any(not account.measured for account in accounts.values()) else inf

    def end(self, accounts: dict[int, Account], moment: float) -> bool:
        """Give a successor to each that needs one by now; whether there was any."""
        over = [one for one in accounts.values() if not one.measured and self.over_for(one.cursor, moment)]
        for account in over:
            successor = accounts[account.revision] = account.successor()
            if isinstance(account.cursor, Users):
                account.cursor.account = successor
        self.ending += over
        return bool(over)

    def settled(self) -> list[Account]:
        """Take out those of which nothing is under way any more."""
        settled = [account for account in self.ending if account.idle]
        self.ending = [account for account in self.ending if not account.idle]
        return settled

    def take_all(self) -> list[Account]:
        """Take out all."""
        taken, self.ending = self.ending, []
        return taken
