"""One task in one engine: where its requests come from, its origins, its connections, its books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ha_stress.engines.account import Account, Tally
from ha_stress.engines.checking import Collector
from ha_stress.engines.clock import now
from ha_stress.engines.connection import LATE_S, Connection
from ha_stress.engines.dial import Dial
from ha_stress.engines.http1 import Prepared
from ha_stress.engines.origin import Origin
from ha_stress.engines.pacing import Cursor
from ha_stress.engines.resolve import Resolver
from ha_stress.engines.stamps import Stamps
from ha_stress.engines.users import User, Users
from ha_stress.engines.warm_up import WarmUp
from ha_stress.tasks.checking import compiled, with_implied
from ha_stress.tasks.checks import Subject
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.request_names import names_of
from ha_stress.tasks.schedule import Part, TaskShare
from ha_stress.tasks.turns import number_of_user, turns

if TYPE_CHECKING:
    import select

    from ha_stress.base.targets import AllowedTargets

#: Arrivals sent in one go before the sockets are read again, so that a burst does not age the answers to its beginning.
BURST_MAX: Final = 128

Source = Cursor | Users


class Lane:
    """`parked` are the sources of revisions that are settled, or of an earlier time when the node ran this task.

    `connections` holds all of them, and the requests that wait for one; those in no origin's `idle` are under way, and
    in the open model never more than `in_flight_max`. Arrival number n sends request `table[n mod len(table)]`.
    """

    def __init__(
        self,
        share: TaskShare,
        *,
        engine: int,
        engines: int,
        started_s: float,
        parked: dict[int, Source],
        epoll: select.epoll,
        handlers: dict[int, Callable[[int], None]],
        resolver: Resolver,
        allowed: AllowedTargets,
        stamps: Stamps,
        blobs: Mapping[str, bytes] | None = None,
    ) -> None:
        self.task = share.task
        self.in_flight_max = share.in_flight_max
        self.epoll = epoll
        self.handlers = handlers
        self.stamps = stamps
        self.connections: set[Connection | Dial] = set()
        self.accounts: dict[int, Account] = {}
        self.parked = parked
        self.started_s = started_s
        self._engine, self._engines = engine, engines
        self._think_s = share.think_time_s
        self.warm_up = WarmUp(started_s + share.warm_up_s) if share.warm_up_s else WarmUp()
        self._checks = compiled(with_implied(share.checks))
        #: Whether the same answer is right whenever it comes.
        self.repeatable = not any(check.subject is Subject.LATENCY for check in share.checks)
        self.origins: dict[tuple[bool, str, int], Origin] = {}
        every = requests_of(share)
        self._names = names_of(every) if share.mix else ()
        requests = [Prepared(request, share.task, blobs or {}, place) for place, request in enumerate(every)]
        for prepared in requests:
            key = prepared.tls, prepared.host, prepared.port
            if key not in self.origins:
                self.origins[key] = Origin(self, prepared, resolver, allowed)
            prepared.origin = self.origins[key]
        self.table = [requests[index] for index in turns([one.weight for one in every])]
        self.timeout_s = min(prepared.timeout_s for prepared in requests)

    # What the node wants

    def update(self, parts: tuple[Part, ...]) -> None:
        """The full list of parts. A known revision may only be closed (further), a missing one ends where it is."""
        for part in parts:
            account = self.accounts.get(part.revision)
            source: Any = account.cursor if account is not None else self.parked.pop(part.revision, None)
            if source is None:
                source = self._new_source(part)
            self._close(source, part)
            if account is None and source.exhausted:
                self.parked[part.revision] = source
            elif account is None:
                self._new_account(part.revision, source)
        for revision in self.accounts.keys() - {part.revision for part in parts}:
            gone: Any = self.accounts[revision].cursor
            gone.close_here()

    def _new_source(self, part: Part) -> Source:
        if not part.users:
            return Cursor(part, engine=self._engine, engines=self._engines, started_s=self.started_s)
        return Users(
            part,
            engine=self._engine,
            engines=self._engines,
            started_s=self.started_s,
            think_s=self._think_s,
            direct=len(self.table) == 1,
        )

    def _new_account(self, revision: int, source: Source) -> None:
        closed_model = isinstance(source, Users)
        account = self.accounts[revision] = Account(
            self.task,
            revision,
            source,
            checks=self._checks,
            measured=self.warm_up.over_for(source, now()),
            closed_model=closed_model,
            names=self._names,
        )
        if isinstance(source, Users):
            source.account = account

    def _close(self, source: Source, part: Part) -> None:
        if isinstance(source, Cursor):
            source.close_at(part.limit)
        elif part.until_s is not None:
            source.stop_at(self.started_s + part.until_s)
        elif part.limit is not None:
            source.close_here()

    def settle(self) -> list[Account]:
        """Take out the revisions that are closed and fully accounted (their sources are remembered), and what is over of
        the warm-up."""
        settled = self.warm_up.settled()
        return settled + self._park([account for account in self.accounts.values() if account.settled])

    def cancel(self) -> list[Account]:
        """The task was taken away: whatever is under way or waiting is counted as failed and its connection closed.
        Takes out all accounts; if the task comes back, its sources go on from where they were."""
        for connection in list(self.connections):
            connection.cancel()
        for origin in self.origins.values():
            origin.idle.clear()
        return self.warm_up.take_all() + self._park(list(self.accounts.values()))

    def _park(self, accounts: list[Account]) -> list[Account]:
        for account in accounts:
            del self.accounts[account.revision]
            source: Any = account.cursor
            if account.closed_model:
                source.account = None
            self.parked[account.revision] = source
        return accounts

    # The hot path

    def fire(self, account: Account, moment: float) -> None:
        """Send what is due. Each request is stamped with when it was due and with when it is sent."""
        source: Any = account.cursor
        if account.closed_model:
            self._fire_users(account, source, moment)
            return
        if not account.measured:
            moment = self.warm_up.due_by(account, moment)
        if len(self.table) > 1:
            for due_s, number in source.take_numbered(moment, BURST_MAX):
                prepared = self.table[number % len(self.table)]
                self._send(prepared, account.tallies[prepared.place], due_s, None)
            return
        prepared = self.table[0]
        idle, payload, size = prepared.origin.idle, prepared.payload, prepared.size
        for due_s in source.take(moment, BURST_MAX):
            if not idle:
                self._open_or_drop(prepared, account, due_s)
                continue
            connection = idle.popitem()[0]
            connection.account = account
            connection.due_s = due_s
            connection.sent_s = sent_s = now()
            try:
                count = connection.send(payload)
            except OSError as error:
                connection.not_sent(error)
                continue
            account.started += 1
            account.bytes_out += count
            if sent_s - due_s > LATE_S:
                account.late += 1
            if count != size:
                connection.rest(count)

    def _fire_users(self, account: Account, users: Users, moment: float) -> None:
        for user in users.take(moment, BURST_MAX):
            number = number_of_user(user.number, users.total, user.iteration)
            user.iteration += 1
            prepared = self.table[number % len(self.table)]
            self._send(prepared, account.tallies[prepared.place] if account.tallies else account, now(), user)

    def _send(self, prepared: Prepared, account: Tally, due_s: float, user: User | None) -> None:
        """As above, of a task in which it is not always the same request, or not always the same sender."""
        origin = prepared.origin
        if not origin.idle:
            if user is not None:
                origin.open(prepared, account, due_s, user)
            else:
                self._open_or_drop(prepared, account, due_s)
            return
        connection = origin.idle.popitem()[0]
        connection.prepared = prepared
        connection.account = account
        connection.user = user
        connection.due_s = due_s
        connection.sent_s = sent_s = now()
        try:
            count = connection.send(prepared.payload)
        except OSError as error:
            connection.not_sent(error)
            return
        account.started += 1
        account.bytes_out += count
        if sent_s - due_s > LATE_S:
            account.late += 1
        if count != prepared.size:
            connection.rest(count)

    def _open_or_drop(self, prepared: Prepared, account: Tally, due_s: float) -> None:
        if self.busy >= self.in_flight_max:
            account.dropped += 1
            return
        if len(self.connections) >= self.in_flight_max:
            self._close_an_idle_one()
        prepared.origin.open(prepared, account, due_s, None)

    def _close_an_idle_one(self) -> None:
        """Make room: all connections together are no more than may be under way, however many origins there are."""
        origin = max(self.origins.values(), key=lambda one: len(one.idle))
        origin.idle.popitem()[0].close()

    # For connections

    @property
    def busy(self) -> int:
        return len(self.connections) - sum(len(origin.idle) for origin in self.origins.values())

    def watch(self, sock: Any, handler: Callable[[int], None], mask: int, *, new: bool = False) -> None:
        """Have `handler` called when one of `mask` happens to this socket; instead of what was said about it before."""
        descriptor = sock.fileno()
        self.handlers[descriptor] = handler
        if new:
            self.epoll.register(descriptor, mask)
        else:
            self.epoll.modify(descriptor, mask)

    def new_collector(self) -> Collector | None:
        """What keeps the parts of a response that the checks look at; None if they only look at its status."""
        return None if self._checks.only_status else Collector(self._checks)

    def sweep(self, moment: float) -> None:
        """End what has had its time. One look at all connections now and then costs less than a timer per request."""
        overdue = [connection for connection in self.connections if connection.overdue(moment)]
        for connection in overdue:
            connection.attend(moment)
