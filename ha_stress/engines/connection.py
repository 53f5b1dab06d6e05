"""One connection of a lane: a non-blocking socket, its parser, and the one request that is under way on it.

    connecting --> (handshaking) --> sending <--> reading --> idle --> reading ...
         any of them --> closed

The handler of the present state is in the loop's table under the socket's descriptor. A handler tolerates being called for
nothing (a descriptor number that was closed and opened again in one batch), because every socket call may say "would block".
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ha_stress.engines import failures
from ha_stress.engines.clock import now
from ha_stress.engines.histogram import index_of
from ha_stress.engines.http1 import (
    HEAD_BYTES_MAX,
    PARSER_ERRORS,
    SWITCHING_PROTOCOLS,
    HeadersOnly,
    new_parser,
    read_head,
)

if TYPE_CHECKING:
    from ha_stress.engines.account import Account
    from ha_stress.engines.lane import Lane
    from ha_stress.engines.resolve import Address

RECV_BYTES: Final = 65_536
#: An arrival sent later than this after its schedule counts as late.
LATE_S: Final = 0.010
_READ: Final = select.EPOLLIN | select.EPOLLRDHUP
_WRITE: Final = select.EPOLLOUT


class Connection:
    """`account` is whose request is under way, None while idle. `due_s` and `sent_s` are the two beginnings of its
    latencies; `handed` says whether the kernel has taken any of its bytes (then it counts as started)."""

    __slots__ = (
        "_address",
        "_addresses",
        "_connect_s",
        "_done",
        "_head",
        "_keep_alive",
        "_only_headers",
        "_out",
        "_parser",
        "_recv",
        "_status",
        "account",
        "due_s",
        "feed",
        "handed",
        "lane",
        "send",
        "sent_s",
        "sock",
    )

    def __init__(self, lane: Lane, account: Account, due_s: float, addresses: list[Address]) -> None:
        self.lane = lane
        self.account: Account | None = account
        self.due_s = due_s
        self.sent_s = now()
        self.handed = False
        self._connect_s = 0.0
        self._addresses = addresses
        self._out: bytes | memoryview = lane.payload
        self._done = 0
        self._status = 0
        self._keep_alive = False
        self._head = b""
        self._only_headers: HeadersOnly | None = None
        self.sock: Any = None
        self._new_parser()

    # Connecting

    def connect(self) -> None:
        """Try the next address. A target may listen on only one of several, so a refusal is final with the last one."""
        family, address = self._address = self._addresses.pop(0)
        try:
            self.sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = self.sock.connect_ex(address)
        except OSError as error:
            self._refused(error)
            return
        if code not in (0, errno.EINPROGRESS):
            self._refused(OSError(code, "connect"))
            return
        self._bind()
        self._watch(self._on_connect, _WRITE, new=True)

    def _refused(self, error: OSError) -> None:
        if self._addresses:
            self.lane.demote(self._address)
            self._release()
            self.connect()
        else:
            self.fail(failures.kind_of(error, connected=False))

    def _on_connect(self, _mask: int) -> None:
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._refused(OSError(code, "connect"))
        elif self.lane.tls is not None:
            self._begin_handshake(self.lane.tls)
        else:
            self.push()

    def _begin_handshake(self, context: Any) -> None:
        try:
            self.sock.getpeername()
        except OSError:
            return  # called for nothing, see above: not connected yet
        try:
            self.sock = context.wrap_socket(
                self.sock, server_hostname=self.lane.host, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        except OSError as error:
            self.fail(failures.kind_of(error, connected=False))
            return
        self._bind()
        self._on_handshake(0)

    def _on_handshake(self, _mask: int) -> None:
        try:
            self.sock.do_handshake()
        except OSError as error:
            if failures.would_block(error):
                self._watch(self._on_handshake, _WRITE if "Write" in type(error).__name__ else _READ)
            else:
                self.fail(failures.TLS if failures.is_tls(error) else failures.kind_of(error, connected=True))
            return
        self.push()

    # Sending; the usual case, a whole request in one call on an idle connection, is in `Lane.fire`

    def push(self) -> None:
        """Hand the kernel what is left of the request; on a new connection this is its first byte."""
        moment = now()
        try:
            count = self.send(self._out)
        except OSError as error:
            if failures.would_block(error):
                self._watch(self._on_writable, _WRITE | _READ)
            else:
                self.fail(failures.kind_of(error, connected=True))
            return
        if not self.handed:
            self._connect_s = moment - self.sent_s
            self.sent_s = moment
            self._started()
            if moment - self.due_s > LATE_S and self.account is not None:
                self.account.late += 1
        self.rest(count)

    def rest(self, sent: int) -> None:
        """`sent` more bytes of the request are on their way; see to the others."""
        if sent < len(self._out):
            self._out = memoryview(self._out)[sent:]
            self._watch(self._on_writable, _WRITE | _READ)
        else:
            self._out = self.lane.payload
            self._watch(self.on_readable if self.lane.tls is None else self._on_readable_tls, _READ)

    def blocked(self) -> None:
        """An idle connection did not take the first byte of its next request: it is sent when the socket has room."""
        account = self.account
        assert account is not None
        account.waiting += 1
        self.handed = False
        self._watch(self._on_writable, _WRITE | _READ)

    def _on_writable(self, mask: int) -> None:
        if (
            mask & _READ
        ):  # an early answer, or the end; the request stays unfinished, so the connection is not used again
            reader = self.on_readable if self.lane.tls is None else self._on_readable_tls
            reader(mask | select.EPOLLRDHUP)
        if self.account is not None and mask & ~_READ:
            self.push()

    def _started(self) -> None:
        assert self.account is not None
        self.handed = True
        self.account.waiting -= 1
        self.account.started += 1

    # Reading

    def on_readable(self, mask: int) -> None:
        """The hot path: one read, usually a whole response."""
        try:
            data = self._recv(RECV_BYTES)
        except OSError as error:
            if not failures.would_block(error):
                self._lost(error)
            return
        account = self.account
        if account is None or not data:
            self._ended()
            return
        account.bytes_in += len(data)
        try:
            self.feed(data)
        except PARSER_ERRORS:
            if not self._done:
                self.fail(failures.PROTOCOL)
                return
            self._keep_alive = False
        if self._done or self._headers_suffice(data):
            self._complete(account, reusable=mask == select.EPOLLIN)

    def _on_readable_tls(self, mask: int) -> None:
        self.on_readable(mask)
        while self.sock is not None and self.sock.pending():  # decrypted already: the descriptor will not say so
            self.on_readable(mask)

    def _complete(self, account: Account, *, reusable: bool) -> None:
        """Count the response. `reusable`: the target gave no sign that it closes the connection."""
        moment = now()
        if not self.handed:  # an answer before the question
            self._started()
        account.completed += 1
        account.statuses[self._status] += 1
        value = int((moment - self.due_s) * 1e6)
        account.response.counts[value if value < 2048 else index_of(value)] += 1
        value = int((moment - self.sent_s) * 1e6)
        account.service.counts[value if value < 2048 else index_of(value)] += 1
        self.account = None
        if not (reusable and self._keep_alive and self._done == 1):
            self.close()
            return
        self._done = 0
        self._connect_s = 0.0
        self._head = b""
        if self._only_headers is not None:
            self._new_parser()
        self.lane.idle.append(self)

    def on_message_complete(self) -> None:
        """Called by the parser. Informational answers (1xx) come before the real one; 101 is the real one."""
        parser = self._parser
        status = parser.get_status_code()
        if status >= 200 or status == SWITCHING_PROTOCOLS:
            self._status = status
            self._keep_alive = parser.should_keep_alive()
            self._done += 1

    def _headers_suffice(self, data: bytes) -> bool:
        """Whether the response is complete although the parser waits for more: it answers a HEAD."""
        only = self._only_headers
        if only is not None:
            if only.final:
                self._status, self._keep_alive, self._done = only.status, only.keep_alive, 1
            return only.final
        if len(self._head) < HEAD_BYTES_MAX:
            self._head += data
        return False

    def _new_parser(self) -> None:
        if self.lane.head:
            self._only_headers = HeadersOnly()
            self._parser = self._only_headers.parser
        else:
            self._parser = new_parser(self)
        self.feed: Callable[[bytes], None] = self._parser.feed_data

    # Ending

    def _ended(self) -> None:
        """The other side closed, or spoke on an idle connection, which means that it is about to close."""
        account = self.account
        if account is None:
            self.lane.forget_idle(self)
            self.close()
            return
        head = read_head(self._head)
        if not self.lane.head and head.ends_with_connection and self.handed:
            self._status = head.status
            self._complete(account, reusable=False)
        else:
            self.fail(failures.CLOSED)

    def _lost(self, error: OSError) -> None:
        if self.account is None:
            self.lane.forget_idle(self)
            self.close()
        else:
            self.fail(failures.kind_of(error, connected=True))

    def expired(self, moment: float, timeout_s: float) -> bool:
        """Whether the request under way has had its time, connecting included."""
        return self.account is not None and moment - self.sent_s + self._connect_s > timeout_s

    def time_out(self) -> None:
        self.fail(failures.TIMEOUT if self.handed else failures.CONNECT_TIMEOUT)

    def fail(self, kind: str) -> None:
        """Count the request under way as failed and close."""
        account = self.account
        assert account is not None
        if not self.handed:
            self._started()
        account.failed[kind] += 1
        self.account = None
        self.close()

    def close(self) -> None:
        self._release()
        # Parser and connection refer to each other, and the collector is off.
        del self._parser, self.feed
        self._only_headers = None
        self.lane.connections.discard(self)

    def _release(self) -> None:
        if self.sock is not None:
            self.lane.handlers.pop(self.sock.fileno(), None)
            self.sock.close()
            self.sock = None

    def _bind(self) -> None:
        self.send: Callable[[bytes | memoryview], int] = self.sock.send
        self._recv: Callable[[int], bytes] = self.sock.recv

    def _watch(self, handler: Callable[[int], None], mask: int, *, new: bool = False) -> None:
        descriptor = self.sock.fileno()
        self.lane.handlers[descriptor] = handler
        if new:
            self.lane.epoll.register(descriptor, mask)
        else:
            self.lane.epoll.modify(descriptor, mask)
