"""One arrival, from when it was taken to when the books have it. Whoever settles it first is right, the others are late."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

from ha_stress.engines import failures
from ha_stress.engines.account import LATE_S, Account, Tally
from ha_stress.engines.clock import now
from ha_stress.engines.users import User

if TYPE_CHECKING:
    from ha_stress.engines.exchange.steps import Step, Steps

#: The arrival that the running task works for: a library that sends for it does not hand it through.
CURRENT: ContextVar[Arrival] = ContextVar("CURRENT")
#: And the request of a scenario that it sends, if it is one.
SENDING: ContextVar[Step | None] = ContextVar("SENDING", default=None)


class Arrival:
    """`number` is its place in the whole task (what request, what row of data); `due_s` when it was due, `begun_s` when
    its task began, `sent_s` when its first byte was handed to the network. In the closed model it is one of a `user`.

    Until it is sent, or has failed before that, it is in `tally.waiting` only: neither intended nor started. `tally` is
    where its account counts it, `steps` are the requests that it makes if it is a run of a scenario.
    """

    __slots__ = (
        "account",
        "begun_s",
        "due_s",
        "number",
        "scope",
        "sent",
        "sent_s",
        "settled",
        "steps",
        "tally",
        "user",
    )

    def __init__(self, account: Account, tally: Tally, due_s: float, number: int, user: User | None = None) -> None:
        self.account = account
        self.tally = tally
        self.due_s = self.begun_s = self.sent_s = due_s
        self.number = number
        self.user = user
        self.sent = False
        self.settled = False
        self.scope: trio.CancelScope | None = None
        self.steps: Steps | None = None
        tally.waiting += 1

    def begin(self, since_s: float | None = None) -> None:
        """Its first byte is about to be sent; more calls do nothing. Where to connect is all that was asked for, that began
        at `since_s`."""
        if self.sent or self.settled:
            return
        self._start()
        self.sent_s = now() if since_s is None else since_s
        if self.user is None and self.begun_s - self.due_s > LATE_S:
            self.tally.late += 1

    def _start(self) -> None:
        if not self.sent:
            self.sent = True
            self.tally.waiting -= 1
            self.tally.started += 1

    def elapsed_ms(self) -> float:
        """Service time so far."""
        return (now() - self.sent_s) * 1000.0

    def complete(self, status: int | None = None, wrong: list[str] | tuple[str, ...] = ()) -> None:
        """The answer has come; `wrong` are the texts of the checks that it failed."""
        if self.settled:
            return
        self.begin()
        self.settled = True
        self._end_steps(failures.CANCELLED)
        tally, moment = self.tally, now()
        tally.completed += 1
        if status is not None:
            tally.statuses[status] += 1
        if wrong:
            tally.wrong += 1
            for text in wrong:
                tally.failed_checks[text] += 1
        if tally.measured:
            if not tally.closed_model:
                tally.response.record(int((moment - self.due_s) * 1e6))
            tally.service.record(int((moment - self.sent_s) * 1e6))

    def fail(self, kind: str) -> None:
        if self.settled:
            return
        self.settled = True
        self._start()
        self._end_steps(kind)
        self.tally.failed[kind] += 1

    def _end_steps(self, kind: str) -> None:
        """What a run leaves under way has failed with it: so the names, too, have accounted for all once an arrival has."""
        if self.steps is not None:
            self.steps.end(kind)
