"""One task in one engine: its cursors, its connections, its books."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ha_stress.engines import failures
from ha_stress.engines.account import Account
from ha_stress.engines.clock import now
from ha_stress.engines.connection import LATE_S, Connection
from ha_stress.engines.http1 import Target
from ha_stress.engines.pacing import Cursor
from ha_stress.engines.resolve import Address, Resolver, literal
from ha_stress.tasks.schedule import Part, TaskShare

if TYPE_CHECKING:
    import select

#: Arrivals sent in one go before the sockets are read again, so that a burst does not age the answers to its beginning.
BURST_MAX: Final = 128
#: A name is looked up again after this long, as its addresses may change while a task runs.
ADDRESSES_FRESH_S: Final = 30.0
#: After a failed lookup arrivals fail at once for this long: a name server must not be hammered at the rate of the load.
LOOKUP_RETRY_S: Final = 1.0


class Lane:
    """`parked` are the cursors of revisions that are settled, or of an earlier time when the node ran this task.

    `connections` holds all of them, `idle` those that can take a request now; so len(connections) - len(idle)
    are busy, and never more than `in_flight_max`."""

    def __init__(
        self,
        share: TaskShare,
        *,
        engine: int,
        engines: int,
        started_s: float,
        parked: dict[int, Cursor],
        epoll: select.epoll,
        handlers: dict[int, Callable[[int], None]],
        resolver: Resolver,
    ) -> None:
        target = Target(share.request)
        self.task = share.task
        self.host = target.host
        self.payload = target.payload
        self.head = target.head
        self.tls = _tls_context() if target.tls else None
        self.timeout_s = share.request.timeout_s
        self.in_flight_max = share.in_flight_max
        self.epoll = epoll
        self.handlers = handlers
        self.connections: set[Connection] = set()
        self.idle: list[Connection] = []
        self.accounts: dict[int, Account] = {}
        self.parked = parked
        self.started_s = started_s
        self._engine, self._engines = engine, engines
        self._port = target.port
        self._resolver = resolver
        fixed = literal(target.host, target.port)
        self._addresses: list[Address] = fixed or []
        self._looked_up_s = inf if fixed else -inf
        self._looking_up = False
        self._unresolved: deque[tuple[Account, float, float]] = deque()  # account, due, since

    # What the node wants

    def update(self, parts: tuple[Part, ...]) -> None:
        """The full list of parts. A known revision may only be closed (further), a missing one ends where it is."""
        for part in parts:
            account = self.accounts.get(part.revision)
            if account is not None:
                account.cursor.close_at(part.limit)
                continue
            cursor = self.parked.pop(part.revision, None) or Cursor(
                part, engine=self._engine, engines=self._engines, started_s=self.started_s
            )
            cursor.close_at(part.limit)
            if cursor.exhausted:
                self.parked[part.revision] = cursor
            else:
                self.accounts[part.revision] = Account(self.task, part.revision, cursor)
        for revision in self.accounts.keys() - {part.revision for part in parts}:
            self.accounts[revision].cursor.close_here()

    def settle(self) -> list[Account]:
        """Take out the revisions that are closed and fully accounted; their cursors are remembered."""
        return self._park([account for account in self.accounts.values() if account.settled])

    def cancel(self) -> list[Account]:
        """The task was taken away: whatever is under way or waiting is counted as failed and its connection closed.
        Takes out all accounts; if the task comes back, its cursors go on from where they were."""
        while self._unresolved:
            self._fail_unresolved(self._unresolved.popleft()[0], failures.CANCELLED)
        for connection in list(self.connections):
            if connection.account is None:
                connection.close()
            else:
                connection.fail(failures.CANCELLED)
        self.idle.clear()
        return self._park(list(self.accounts.values()))

    def _park(self, accounts: list[Account]) -> list[Account]:
        for account in accounts:
            del self.accounts[account.revision]
            self.parked[account.revision] = account.cursor
        return accounts

    # The hot path

    def fire(self, account: Account, moment: float) -> None:
        """Send what is due. Each request is stamped with when it was due and with when it is sent."""
        idle = self.idle
        payload = self.payload
        size = len(payload)
        for due_s in account.cursor.take(moment, BURST_MAX):
            if not idle:
                self._open_or_drop(account, due_s)
                continue
            connection = idle.pop()
            connection.account = account
            connection.due_s = due_s
            connection.sent_s = sent_s = now()
            try:
                count = connection.send(payload)
            except OSError as error:
                self._not_sent(connection, account, due_s, error)
                continue
            account.started += 1
            if sent_s - due_s > LATE_S:
                account.late += 1
            if count != size:
                connection.rest(count)

    def _not_sent(self, connection: Connection, account: Account, due_s: float, error: OSError) -> None:
        if failures.would_block(error):
            connection.blocked()
            return
        # The target closed the idle connection and nothing of this request has left: it may go out on another.
        connection.account = None
        connection.close()
        self._open_or_drop(account, due_s)

    def _open_or_drop(self, account: Account, due_s: float) -> None:
        if len(self.connections) + len(self._unresolved) >= self.in_flight_max:
            account.dropped += 1
            return
        account.waiting += 1
        moment = now()
        if moment - self._looked_up_s > ADDRESSES_FRESH_S:
            self._look_up(moment)
        if self._addresses:
            self._open(account, due_s)
        elif self._looking_up:
            self._unresolved.append((account, due_s, moment))
        else:
            self._fail_unresolved(account, failures.DNS)

    def _open(self, account: Account, due_s: float) -> None:
        connection = Connection(self, account, due_s, list(self._addresses))
        self.connections.add(connection)
        connection.connect()

    def demote(self, address: Address) -> None:
        """Another address is tried first from now on: this one refuses."""
        if address in self._addresses:
            self._addresses.remove(address)
            self._addresses.append(address)

    def forget_idle(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)

    # Names

    def _look_up(self, moment: float) -> None:
        if not self._looking_up:
            self._looking_up = True
            self._looked_up_s = moment
            self._resolver.look_up(self.host, self._port, self._resolved)

    def _resolved(self, found: list[Address]) -> None:
        self._looking_up = False
        if found:
            self._addresses = found
        else:
            self._looked_up_s = now() - ADDRESSES_FRESH_S + LOOKUP_RETRY_S
        while self._unresolved:
            account, due_s, _ = self._unresolved.popleft()
            if self._addresses:
                self._open(account, due_s)
            else:
                self._fail_unresolved(account, failures.DNS)

    def _fail_unresolved(self, account: Account, kind: str) -> None:
        account.waiting -= 1
        account.started += 1
        account.failed[kind] += 1

    # Timeouts

    @property
    def busy(self) -> int:
        return len(self.connections) - len(self.idle) + len(self._unresolved)

    def sweep(self, moment: float) -> None:
        """End what has had its time. One look at all connections now and then costs less than a timer per request."""
        expired = [c for c in self.connections if c.expired(moment, self.timeout_s)]
        for connection in expired:
            connection.time_out()
        while self._unresolved and moment - self._unresolved[0][2] > self.timeout_s:
            self._fail_unresolved(self._unresolved.popleft()[0], failures.DNS)


def _tls_context() -> Any:
    """Loaded on demand: `ssl` costs an engine 3 MB that plain HTTP does not need."""
    import ssl

    return ssl.create_default_context()
