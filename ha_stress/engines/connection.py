"""One connection of a lane: a non-blocking socket and the one request that is under way on it.

    begun by a `Dial` --> sending <--> reading --> idle --> reading ...
                              any of them --> closed

The handler of the present state is in the loop's table under the socket's descriptor. A handler tolerates being called for
nothing (a descriptor number that was closed and opened again in one batch), because every socket call may say "would block".

A request counts as started once the kernel has taken any of its bytes (`handed`). Only before that it may go out again on
another connection, and only if this one was idle before: the target may have closed it for its own reasons.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ha_stress.engines import failures
from ha_stress.engines.account import LATE_S, Tally
from ha_stress.engines.answer import Answer
from ha_stress.engines.clock import now
from ha_stress.tasks.buckets import index_of

if TYPE_CHECKING:
    from ha_stress.engines.checking import Collector
    from ha_stress.engines.http1 import Prepared
    from ha_stress.engines.origin import Origin
    from ha_stress.engines.users import User

RECV_BYTES: Final = 65_536
#: After a sleep: an answer is small at such rates, and a large buffer costs more than reading it.
RECV_BYTES_STAMPED: Final = 8_192
#: One TLS record; a larger write may be taken in part and still be reported as refused.
TLS_SEND_BYTES: Final = 16_384
_IN: Final = select.EPOLLIN
_READ: Final = select.EPOLLIN | select.EPOLLRDHUP
_WRITE: Final = select.EPOLLOUT


class Connection:
    """`account` is whose request is under way, None while idle; `user` who sent it, in the closed model. `due_s` and
    `sent_s` are the two beginnings of its latencies."""

    __slots__ = (
        "_connect_s",
        "_out",
        "_recv",
        "_stamps",
        "_used",
        "account",
        "answer",
        "due_s",
        "handed",
        "origin",
        "prepared",
        "send",
        "sent_s",
        "sock",
        "user",
    )

    def __init__(self, origin: Origin, sock: Any) -> None:
        self.origin = origin
        self.sock = sock
        self.send: Callable[[Any], int] = sock.send if origin.tls is None else self._send_record
        self._recv: Callable[[int], bytes] = sock.recv
        self._stamps = origin.lane.stamps
        self.account: Tally | None = None
        self.user: User | None = None
        self.answer = Answer(origin.lane.new_collector())
        self._out: bytes | memoryview = b""
        self._used = self.handed = False
        self._connect_s = 0.0

    # Sending; the usual case, a whole request in one call on an idle connection, is in `Lane.fire`

    def begin(self, prepared: Prepared, account: Tally, due_s: float, user: User | None, begun_s: float) -> None:
        """The first request on a new connection; `account` counts it as waiting until it is handed over."""
        self.prepared = prepared
        self.account = account
        self.user = user
        self.due_s = due_s
        self.sent_s = begun_s
        self._out = prepared.payload
        self._push()

    def _push(self) -> None:
        """Hand the kernel what is left of the request; on a new connection this is its first byte."""
        account = self.account
        assert account is not None
        moment = now()
        while self._out:
            try:
                count = self.send(self._out)
            except OSError as error:
                self._stopped(error, moment)
                return
            if not self.handed:
                self._hand_over(account, moment)
            account.bytes_out += count
            self._out = memoryview(self._out)[count:]
        self._watch(self._reader(), _READ)

    def _send_record(self, data: bytes | memoryview) -> int:
        count: int = self.sock.send(memoryview(data)[:TLS_SEND_BYTES] if len(data) > TLS_SEND_BYTES else data)
        return count

    def _hand_over(self, account: Tally, moment: float) -> None:
        """The kernel has taken the first bytes of a request that had to wait for that."""
        if self.user is None and self.sent_s - self.due_s > LATE_S:
            account.late += 1
        self._connect_s = moment - self.sent_s
        self.sent_s = moment
        self.handed = True
        account.waiting -= 1
        account.started += 1

    def _stopped(self, error: OSError, moment: float) -> None:
        """The socket takes no more of the request, for now or for ever."""
        account = self.account
        assert account is not None
        if failures.would_block(error):
            self._stamps.watch(moment)
            if self.origin.tls is not None and not self.handed:
                self._hand_over(account, moment)  # a part of the first record may be on its way
            self._watch(self._on_writable, _WRITE | _READ)
        elif self._used and not self.handed:
            account.waiting -= 1
            self._retry(account)
        else:
            self._read_last_words(failures.kind_of(error, connected=True))

    def rest(self, sent: int) -> None:
        """`sent` bytes of the request on an idle connection are on their way; see to the others."""
        self._stamps.watch(self.sent_s)
        self._out = memoryview(self.prepared.payload)[sent:]
        self._watch(self._on_writable, _WRITE | _READ)

    def not_sent(self, error: OSError) -> None:
        """An idle connection did not take the first byte of its next request."""
        account = self.account
        assert account is not None
        if not failures.would_block(error):
            self._retry(account)
            return
        account.waiting += 1
        self._out = self.prepared.payload
        self.handed = False
        self._stopped(error, self.sent_s)

    def _retry(self, account: Tally) -> None:
        """The target closed the idle connection and nothing of this request has left: it goes out on a new one."""
        account.retried += 1
        user, self.user, self.account = self.user, None, None
        self.close()
        self.origin.open(self.prepared, account, self.due_s, user)

    def _on_writable(self, mask: int) -> None:
        if (
            mask & _READ
        ):  # an early answer, or the end; while the request is unfinished the connection is not used again
            self._reader()(mask | select.EPOLLRDHUP)
        if self.account is not None and self._out and mask & ~_READ:
            self._push()

    def _read_last_words(self, kind: str) -> None:
        """The target has gone before it had the whole request; perhaps it has answered before."""
        while self.account is not None:
            try:
                data = self._recv(RECV_BYTES)
            except OSError:
                break
            if not data:
                break
            self.account.bytes_in += len(data)
            self._take(self.account, data, select.EPOLLRDHUP, now())
        if self.account is not None:
            self.fail(kind)

    # Reading

    def _reader(self) -> Callable[[int], None]:
        return self.on_readable if self.origin.tls is None else self._on_readable_tls

    def on_readable(self, mask: int) -> None:
        """The hot path: one read, usually a whole response, and often the same as the last one."""
        stamps = self._stamps
        try:
            if stamps.offset_s:
                data, moment = stamps.receive(self.sock, RECV_BYTES_STAMPED)
                if moment < self.sent_s:  # the wall clock was set back meanwhile
                    moment = now()
            else:
                data = self._recv(RECV_BYTES)
                moment = now()
        except OSError as error:
            if not failures.would_block(error):
                self._lost(error)
            return
        account = self.account
        if account is None or not data:
            self._ended(mask)
            return
        account.bytes_in += len(data)
        prepared = self.prepared
        if data != prepared.whole or mask != _IN or self.answer.partial:
            self._take(account, data, mask, moment)
            return
        account.completed += 1
        account.statuses[prepared.whole_status] += 1
        user = self.user
        if account.measured:
            value = int((moment - self.sent_s) * 1e6)
            account.service_counts[value if value < 2048 else index_of(value)] += 1
            if user is None:
                value = int((moment - self.due_s) * 1e6)
                account.response_counts[value if value < 2048 else index_of(value)] += 1
        if user is not None:
            self._go_on(account, user, moment)
        else:
            self.account = None
            self._connect_s = 0.0
            self.origin.idle[self] = None

    def _on_readable_tls(self, mask: int) -> None:
        self.on_readable(mask)
        while self.sock is not None and self.sock.pending():  # decrypted already: the descriptor will not say so
            self.on_readable(mask)

    def _take(self, account: Tally, data: bytes, mask: int, moment: float) -> None:
        """A part of a response, or all of one that is not as the last one was."""
        answer = self.answer
        wrong = answer.take(data, to_head=self.prepared.head)
        if wrong:
            self.fail(wrong)
        elif answer.done:
            self._complete(account, data, moment, reusable=mask == _IN and answer.again)
        else:
            self._stamps.watch(moment)

    def _complete(self, account: Tally, data: bytes, moment: float, *, reusable: bool) -> None:
        """Count the response. `reusable`: the target gave no sign that it closes the connection, or that it is confused."""
        if not self.handed:  # an answer before the question
            self._hand_over(account, moment)
        account.completed += 1
        answer = self.answer
        account.statuses[answer.status] += 1
        user = self.user
        if account.measured:
            account.service.record(int((moment - self.sent_s) * 1e6))
            if user is None:
                account.response.record(int((moment - self.due_s) * 1e6))
        right = answer.collector is None or self._check(account, answer.collector, moment)
        if not reusable or self._out:
            self.account = self.user = None
            self.close()
            if user is not None:
                user.users.answered(user, moment)
            return
        if right and not answer.partial and self.origin.lane.repeatable:
            self.prepared.whole, self.prepared.whole_status = data, answer.status
        answer.clear()
        self._used = True
        self._connect_s = 0.0
        if user is not None:
            self._go_on(account, user, moment)
        else:
            self.account = None
            self.origin.idle[self] = None

    def _check(self, account: Tally, collector: Collector, moment: float) -> bool:
        """Whether all checks pass; what fails is counted."""
        failed = collector.failures(self.answer.status, (moment - self.sent_s) * 1e3)
        for text in failed:
            account.failed_checks[text] += 1
        account.wrong += 1 if failed else 0
        return not failed

    def _go_on(self, account: Tally, user: User, moment: float) -> None:
        """A user has its answer: it sends its next request at once, or thinks."""
        users = user.users
        if moment >= users.horizon_s or account is not users.account:  # the latter: the warm-up is over
            self.account = self.user = None
            self.origin.idle[self] = None
            users.answered(user, moment)
            return
        self.due_s = self.sent_s = moment
        prepared = self.prepared
        try:
            count = self.send(prepared.payload)
        except OSError as error:
            self.not_sent(error)
            return
        account.started += 1
        account.bytes_out += count
        if count != prepared.size:
            self.rest(count)

    # Ending

    def _ended(self, mask: int) -> None:
        """The other side closed, or spoke on an idle connection, which means that it is about to close."""
        account = self.account
        if account is None:
            self.origin.idle.pop(self, None)
            self.close()
        elif mask & select.EPOLLERR or (self._used and not self.handed):
            self._lost(ConnectionResetError())  # `ssl` of Python 3.11 reports a reset as an ordinary end
        elif self.handed and self.answer.end():
            self._complete(account, b"", now(), reusable=False)
        else:
            self.fail(failures.CLOSED)

    def _lost(self, error: OSError) -> None:
        if self.account is None:
            self.origin.idle.pop(self, None)
            self.close()
        elif self._used and not self.handed:
            self.account.waiting -= 1
            self._retry(self.account)
        else:
            self.fail(failures.kind_of(error, connected=True))

    def overdue(self, moment: float) -> bool:
        """Whether the request under way has had its time, connecting included."""
        return self.account is not None and moment - self.sent_s + self._connect_s > self.prepared.timeout_s

    def attend(self, _moment: float) -> None:
        self.fail(failures.TIMEOUT if self.handed or self._used else failures.CONNECT_TIMEOUT)

    def cancel(self) -> None:
        """The task was taken away."""
        if self.account is None:
            self.close()
        else:
            self.fail(failures.CANCELLED)

    def fail(self, kind: str) -> None:
        """Count the request under way as failed and close."""
        account, user, handed = self.account, self.user, self.handed
        assert account is not None
        if not handed:
            account.waiting -= 1
            account.started += 1
        account.failed[kind] += 1
        self.account = self.user = None
        self.close()
        if user is not None:
            (user.users.answered if handed else user.users.unconnected)(user, now())

    def close(self) -> None:
        self.origin.lane.handlers.pop(self.sock.fileno(), None)
        self.sock.close()
        self.sock = None
        self.answer.close()
        del self.send  # of TLS a bound method: the collector of garbage is off
        self.origin.lane.connections.discard(self)

    def _watch(self, handler: Callable[[int], None], mask: int) -> None:
        self.origin.lane.watch(self.sock, handler, mask)
