"""A request that waits for its connection: its name is looked up, its addresses are tried, TLS is agreed upon.

    resolving --> connecting --> (handshaking) --> handed to a Connection
                    any of them --> failed

Addresses are tried in the resolver's order. The next one gets its chance as soon as one refuses, or after a bounded wait,
while those before it may still answer (RFC 8305): whichever connects first is taken, and tried first from then on. So an
address that swallows everything costs a quarter of a second, not the request's time.
"""

from __future__ import annotations

import errno
import select
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from ha_stress.engines import failures, stamps
from ha_stress.engines.clock import now
from ha_stress.engines.connection import Connection
from ha_stress.engines.resolve import NEXT_ADDRESS_S, NEXT_ADDRESS_SHARE

if TYPE_CHECKING:
    from ha_stress.engines.account import Tally
    from ha_stress.engines.http1 import Prepared
    from ha_stress.engines.origin import Origin
    from ha_stress.engines.resolve import Address
    from ha_stress.engines.users import User


class Dial:
    """One request on its way to a connection. It is in `lane.connections`, because it takes up a place there."""

    __slots__ = (
        "_attempts",
        "_begun_s",
        "_due_s",
        "_left",
        "_next_s",
        "_origin",
        "_prepared",
        "_refusal",
        "_user",
        "account",
        "over",
    )

    def __init__(
        self, origin: Origin, prepared: Prepared, account: Tally, due_s: float, user: User | None, moment: float
    ) -> None:
        self.account = account
        self.over = False
        self._origin = origin
        self._prepared = prepared
        self._due_s = due_s
        self._user = user
        self._begun_s = moment
        self._next_s = moment + prepared.timeout_s
        self._left: list[Address] = []
        self._attempts: dict[int, tuple[Any, Address]] = {}  # descriptor -> socket, address
        self._refusal = failures.DNS  # what there is to say if the time is over before anything was tried
        account.waiting += 1
        origin.lane.connections.add(self)
        origin.lane.stamps.watch(moment)

    # TCP

    def connect(self, addresses: list[Address]) -> None:
        """Try these addresses; the request fails with the last that refuses."""
        self._left = list(addresses)
        self._refusal = failures.CONNECT_TIMEOUT
        self._try_next(now())

    def _try_next(self, moment: float) -> None:
        refused = ""  # not the exception: it would refer to this frame, and the collector of garbage is off
        while self._left:
            address = self._left.pop(0)
            try:
                self._attempt(*address)
            except OSError as error:
                refused = failures.kind_of(error, connected=False)
                continue
            if self._left:
                self._next_s = moment + min(NEXT_ADDRESS_S, NEXT_ADDRESS_SHARE * self._prepared.timeout_s)
                return
        self._next_s = self._begun_s + self._prepared.timeout_s
        if refused and not self._attempts:
            self.fail(refused)

    def _attempt(self, family: int, address: Any) -> None:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._origin.tls is None:
                stamps.enable(sock)
            code = sock.connect_ex(address)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, "connect")
        except OSError:
            sock.close()
            raise
        self._attempts[sock.fileno()] = sock, (family, address)
        self._origin.lane.watch(sock, partial(self._on_connect, sock.fileno()), select.EPOLLOUT, new=True)

    def _on_connect(self, descriptor: int, mask: int) -> None:
        attempt = self._attempts.get(descriptor)
        if attempt is None:
            return
        sock, address = attempt
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._origin.demote(address)
            self._drop(descriptor)
            if not self._attempts or self._left:
                self._refused(OSError(code, "connect"))
        elif mask & select.EPOLLOUT:
            self._connected(descriptor)

    def _refused(self, error: OSError) -> None:
        if self._left:
            self._try_next(now())
        if not self._attempts and not self.over:
            self.fail(failures.kind_of(error, connected=False))

    def _connected(self, descriptor: int) -> None:
        for other, (_, address) in list(self._attempts.items()):
            if other != descriptor:
                self._origin.demote(address)
                self._drop(other)
        self._left.clear()
        self._next_s = self._begun_s + self._prepared.timeout_s
        if self._origin.tls is None:
            self._ready(descriptor)
        else:
            self._begin_handshake(descriptor)

    def _drop(self, descriptor: int) -> None:
        sock, _ = self._attempts.pop(descriptor)
        self._origin.lane.handlers.pop(descriptor, None)
        sock.close()

    # TLS

    def _begin_handshake(self, descriptor: int) -> None:
        sock, address = self._attempts[descriptor]
        try:
            tls: Any = self._origin.tls
            wrapped = tls.wrap_socket(
                sock, server_hostname=self._origin.host, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        except OSError as error:
            self._handshake_failed(error)
            return
        self._attempts[descriptor] = wrapped, address
        self._handshake(descriptor, 0)

    def _handshake(self, descriptor: int, _mask: int) -> None:
        sock, _ = self._attempts[descriptor]
        try:
            sock.do_handshake()
        except OSError as error:
            if not failures.would_block(error):
                self._handshake_failed(error)
                return
            mask = select.EPOLLOUT if failures.wants_write(error) else select.EPOLLIN | select.EPOLLRDHUP
            self._origin.lane.watch(sock, partial(self._handshake, descriptor), mask)
            return
        self._ready(descriptor)

    def _handshake_failed(self, error: OSError) -> None:
        self.fail(failures.kind_of(error, connected=True))

    # Ending

    def _ready(self, descriptor: int) -> None:
        sock, _ = self._attempts.pop(descriptor)
        self.over = True
        lane = self._origin.lane
        lane.connections.discard(self)
        self.account.connected += 1
        connection = Connection(self._origin, sock)
        lane.connections.add(connection)
        connection.begin(self._prepared, self.account, self._due_s, self._user, self._begun_s)

    def overdue(self, moment: float) -> bool:
        return moment >= self._next_s

    def attend(self, moment: float) -> None:
        """Its time has come: the next address is tried, or the request has failed."""
        if self._left:
            self._try_next(moment)
        else:
            self.fail(self._refusal)

    def cancel(self) -> None:
        self.fail(failures.CANCELLED)

    def fail(self, kind: str) -> None:
        """Count the request as failed; it never got a connection."""
        for descriptor in list(self._attempts):
            self._drop(descriptor)
        self.over = True
        self._origin.lane.connections.discard(self)
        account = self.account
        account.waiting -= 1
        account.started += 1
        account.failed[kind] += 1
        if self._user is not None:
            self._user.users.unconnected(self._user, now())
