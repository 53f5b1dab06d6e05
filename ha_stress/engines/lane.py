"""One task in one engine: where its requests come from, its origins, its connections, its books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ha_stress.engines.account import LATE_S, Account, Tally
from ha_stress.engines.checking import Collector
from ha_stress.engines.clock import now
from ha_stress.engines.connection import Connection
from ha_stress.engines.dial import Dial
from ha_stress.engines.http1 import Prepared
from ha_stress.engines.origin import Origin
from ha_stress.engines.resolve import Resolver
from ha_stress.engines.revisions import Revisions, Source
from ha_stress.engines.stamps import Stamps
from ha_stress.engines.users import User, Users
from ha_stress.tasks.checking import compiled, with_implied
from ha_stress.tasks.checks import Subject
from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.turns import number_of_user, turns

if TYPE_CHECKING:
    import select

    from ha_stress.base.targets import AllowedTargets

#: Arrivals sent in one go before the sockets are read again, so that a burst does not age the answers to its beginning.
BURST_MAX: Final = 128


class Lane(Revisions):
    """`connections` holds all of them, and the requests that wait for one; those in no origin's `idle` are under way, and
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
        super().__init__(
            share,
            engine=engine,
            engines=engines,
            started_s=started_s,
            parked=parked,
            checks=compiled(with_implied(share.checks)),
            direct=not share.mix,
        )
        self.in_flight_max = share.in_flight_max
        self.epoll = epoll
        self.handlers = handlers
        self.stamps = stamps
        self.connections: set[Connection | Dial] = set()
        #: Whether the same answer is right whenever it comes.
        self.repeatable = not any(check.subject is Subject.LATENCY for check in share.checks)
        self.origins: dict[tuple[bool, str, int], Origin] = {}
        every = requests_of(share)
        requests = [Prepared(request, share.task, blobs or {}, place) for place, request in enumerate(every)]
        for prepared in requests:
            key = prepared.tls, prepared.host, prepared.port
            if key not in self.origins:
                self.origins[key] = Origin(self, prepared, resolver, allowed)
            prepared.origin = self.origins[key]
        self.table = [requests[index] for index in turns([one.weight for one in every])]
        self.timeout_s = min(prepared.timeout_s for prepared in requests)

    # What the node wants

    def cancel(self) -> list[Account]:
        """The task was taken away: whatever is under way or waiting is counted as failed and its connection closed. Takes
        out all accounts."""
        for connection in list(self.connections):
            connection.cancel()
        for origin in self.origins.values():
            origin.idle.clear()
        return self.take_all()

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
        if user is None and sent_s - due_s > LATE_S:
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
