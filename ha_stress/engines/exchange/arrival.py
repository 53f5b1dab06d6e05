"""One arrival, from when it was taken to when the books have it. Whoever settles it first is right, the others are late."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

import trio

from ha_stress.engines.account import Account
from ha_stress.engines.clock import now
from ha_stress.engines.users import User

#: An arrival sent later than this after its schedule counts as late, as in the fast engine.
LATE_S: Final = 0.010

#: The arrival that the running task works for: a library that sends for it does not hand it through.
CURRENT: ContextVar[Arrival] = ContextVar("CURRENT")


class Arrival:
    """`number` is its place in the whole task (what request, what row of data); `due_s` when it was due, `sent_s` when
    its first byte was handed to the network. In the closed model it is one of a `user`.

    Until it is sent, or has failed before that, it is in `account.waiting` only: neither intended nor started.
    """

    __slots__ = ("account", "due_s", "number", "scope", "sent", "sent_s", "settled", "user")

    def __init__(self, account: Account, due_s: float, number: int, user: User | None = None) -> None:
        self.account = account
        self.due_s = due_s
        self.sent_s = due_s
        self.number = number
        self.user = user
        self.sent = False
        self.settled = False
        self.scope: trio.CancelScope | None = None
        account.waiting += 1

    def begin(self) -> None:
        """Its first byte is about to be sent; more calls do nothing."""
        if self.sent or self.settled:
            return
        self._start()
        self.sent_s = now()
        if self.sent_s - self.due_s > LATE_S:
            self.account.late += 1

    def _start(self) -> None:
        if not self.sent:
            self.sent = True
            self.account.waiting -= 1
            self.account.started += 1

    def elapsed_ms(self) -> float:
        """Service time so far."""
        return (now() - self.sent_s) * 1000.0

    def complete(self, status: int | None = None, wrong: list[str] | tuple[str, ...] = ()) -> None:
        """The answer has come; `wrong` are the texts of the checks that it failed."""
        if self.settled:
            return
        self.begin()
        self.settled = True
        account, moment = self.account, now()
        account.completed += 1
        if status is not None:
            account.statuses[status] += 1
        if wrong:
            account.wrong += 1
            for text in wrong:
                account.failed_checks[text] += 1
        if self.due_s >= account.measured_from_s:
            if not account.closed_model:
                account.response.record(int((moment - self.due_s) * 1e6))
            account.service.record(int((moment - self.sent_s) * 1e6))

    def fail(self, kind: str) -> None:
        if self.settled:
            return
        self.settled = True
        self._start()
        self.account.failed[kind] += 1
