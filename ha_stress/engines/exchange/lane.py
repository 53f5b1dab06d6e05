"""One task in one exchange engine: its cursors, its books, and a trio task for each arrival that is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from ha_stress.engines import failures
from ha_stress.engines.account import Account, Tally
from ha_stress.engines.clock import now
from ha_stress.engines.exchange.arrival import CURRENT, Arrival
from ha_stress.engines.exchange.interface import Exchange
from ha_stress.engines.exchange.reach import Traffic
from ha_stress.engines.exchange.reasons import Failed, first_of, kind_of
from ha_stress.engines.revisions import Revisions, Source, source_of
from ha_stress.engines.users import User, Users
from ha_stress.tasks.checking import Compiled
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.turns import number_of_user

#: Arrivals begun in one go before others get their turn.
BURST_MAX: Final = 64
_STUBBORN: Final = "the scenario goes on beyond its time limit: `except Exception` would let it end, `except` does not"

#: What may fail at once, and does again as often as a user asks.
_AT_ONCE: Final = frozenset(
    {
        *(failures.CONNECT_REFUSED, failures.CONNECT_TIMEOUT, failures.CONNECT_UNREACHABLE, failures.DNS, failures.TLS),
        *(failures.NOT_ALLOWED, failures.LOCAL_LIMIT, failures.NO_DATA, failures.SCENARIO, failures.ASSERTION),
    }
)


class Lane(Revisions):
    """`exchanges` are the requests of the task, `turns` says which arrival sends which. `on_ended` is called when a
    revision may be settled or a user wants to go on, `on_failed` with the first exception of each kind.
    """

    def __init__(
        self,
        share: TaskShare,
        *,
        engine: int,
        engines: int,
        started_s: float,
        parked: dict[int, Source],
        nursery: trio.Nursery,
        checks: Compiled,
        on_ended: Callable[[], None],
        on_failed: Callable[[str, str, BaseException], None],
    ) -> None:
        super().__init__(
            share, engine=engine, engines=engines, started_s=started_s, parked=parked, checks=checks, direct=False
        )
        self.traffic = Traffic()
        self.under_way: set[Arrival] = set()
        self._overdue: set[Arrival] = set()
        self._stubborn: dict[Arrival, User | None] = {}  # settled, and the code still runs; its user, until he is told
        self.exchanges: list[Exchange] = []
        self.turns: list[int] = [0]
        self._share = share
        self._timeouts_s = [request.timeout_s for request in requests_of(share)]
        self._nursery = nursery
        self._on_ended = on_ended
        self._on_failed = on_failed
        self._complained: set[str] = set()

    # What the node wants

    def settle(self) -> list[Account]:
        self.report_traffic()
        return self.take_settled()

    def cancel(self) -> list[Account]:
        """The task was taken away: whatever is under way or waiting is counted as failed, now, however long its code
        takes to end. Takes out all accounts."""
        for arrival in list(self.under_way):
            self._failed(arrival, failures.CANCELLED)
            if arrival.scope is not None:
                arrival.scope.cancel()
        for user in filter(None, self._stubborn.values()):
            user.users.answered(user, now())
        self._stubborn.clear()
        self.close()
        self.report_traffic()
        return self.take_all()

    def close(self) -> None:
        for exchange in self.exchanges:
            exchange.close()

    def give_up(self) -> None:
        """Once a second: code that catches everything does not hear of its time limit, and its arrival has failed
        nevertheless. Until it ends it takes up a place, and its user waits for it, or for the end of his time."""
        if self._share.scenario is None:
            return
        before, moment_s = self._overdue, trio.current_time()
        self._overdue = {one for one in self.under_way if one.scope is not None and one.scope.deadline < moment_s}
        for arrival in before & self._overdue:
            arrival.fail(failures.TIMEOUT)
            self.under_way.remove(arrival)
            self._stubborn[arrival] = arrival.user
            self._complain(failures.TIMEOUT, Failed(failures.TIMEOUT, _STUBBORN))
            self._on_ended()
        for arrival, user in self._stubborn.items():
            if user is not None and now() >= user.users.until_s:
                self._stubborn[arrival] = None
                user.users.answered(user, now())
                self._on_ended()

    # Reports

    def report_traffic(self) -> None:
        """Connections outlive revisions: what went over them is in the books of the newest one, or of what is left of the
        warm-up."""
        if not self.accounts and not self.warm_up.ending:
            return
        account = self.accounts[max(self.accounts)] if self.accounts else self.warm_up.ending[-1]
        traffic = self.traffic
        account.bytes_in += traffic.bytes_in
        account.bytes_out += traffic.bytes_out
        account.connected += traffic.connected
        account.retried += traffic.retried
        traffic.bytes_in = traffic.bytes_out = traffic.connected = traffic.retried = 0

    # Arrivals

    def fire(self, account: Account, moment: float) -> None:
        """Begin what is due, and drop what finds the limit reached."""
        source = source_of(account)
        if isinstance(source, Users):
            for user in source.take(moment, BURST_MAX):
                number = number_of_user(user.number, source.total, user.iteration)
                user.iteration += 1
                self._begin(Arrival(account, self._tally(account, number), now(), number, user))
            return
        for due_s, number in source.take_numbered(self.warm_up.due_by(account, moment), BURST_MAX):
            if len(self.under_way) + len(self._stubborn) >= self._share.in_flight_max:
                account.dropped += 1
            else:
                self._begin(Arrival(account, self._tally(account, number), due_s, number))

    def _tally(self, account: Account, number: int) -> Tally:
        return account.tallies[self.turns[number % len(self.turns)]] if account.tallies else account

    def _begin(self, arrival: Arrival) -> None:
        self.under_way.add(arrival)
        self._nursery.start_soon(self._run, arrival)

    async def _run(self, arrival: Arrival) -> None:
        which = self.turns[arrival.number % len(self.turns)]
        CURRENT.set(arrival)
        arrival.begun_s = now()
        arrival.scope = trio.CancelScope(deadline=trio.current_time() + self._timeouts_s[which])
        try:
            if arrival.settled:  # taken away before it began
                return
            with arrival.scope:
                await self.exchanges[which].run(arrival)
            if arrival.scope.cancelled_caught:
                self._failed(arrival, failures.TIMEOUT if arrival.sent else failures.CONNECT_TIMEOUT)
            elif not arrival.settled:
                arrival.complete()
        except BaseException as error:  # noqa: BLE001  a scenario may raise anything, and it must not end the engine
            kind = kind_of(error)
            if kind == failures.SCENARIO and self._share.scenario is None:
                kind = failures.PROTOCOL  # of what the target sent a library can make nothing
            if not arrival.settled:
                self._complain(kind, first_of(error))
            self._failed(arrival, kind)
        finally:
            self._ended(arrival)

    def _complain(self, kind: str, error: BaseException) -> None:
        """The first of its kind: whoever wrote the task wants to know why."""
        if kind not in self._complained:
            self._complained.add(kind)
            self._on_failed(self.task, kind, error)

    def _failed(self, arrival: Arrival, kind: str) -> None:
        arrival.fail(kind)
        self._ended(arrival, at_once=kind in _AT_ONCE)

    def _ended(self, arrival: Arrival, *, at_once: bool = False) -> None:
        """Settle the user of the closed model, and perhaps the revision. Once."""
        if arrival in self.under_way:
            self.under_way.remove(arrival)
            user = arrival.user
        elif arrival in self._stubborn:
            user = self._stubborn.pop(arrival)
        else:
            return
        if user is not None:
            (user.users.unconnected if at_once else user.users.answered)(user, now())
        if user is not None or arrival.account.settled:
            self._on_ended()
