"""The requests that one run of a scenario makes, each counted under its name.

    begun --> sent --> complete | failed

Whoever ends one first is right, the others are late. What a run leaves under way ends with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from ha_stress.engines import failures
from ha_stress.engines.account import Account, Tally
from ha_stress.engines.clock import now
from ha_stress.engines.exchange.arrival import CURRENT
from ha_stress.engines.exchange.reasons import kind_of
from ha_stress.tasks.figures import FURTHER
from ha_stress.tasks.request_names import clean


class Steps:
    """Those of one run. `within` are the names of the steps that the author is in."""

    def __init__(self, account: Account) -> None:
        self.within: list[str] = []
        self.answered: Tally | None = None  # of the latest answer, of which no check has failed yet
        self.under_way: set[Step] = set()
        self._account = account

    def begin(self, name: str) -> Step:
        return Step(self, self._account.step(clean(": ".join((*self.within, name))) or FURTHER))

    def wrong(self) -> None:
        """A check of the author has failed: it looked at the latest answer."""
        if self.answered is not None:
            self.answered.wrong += 1
            self.answered = None

    def end(self, kind: str) -> None:
        """The run has ended."""
        for step in list(self.under_way):
            step.fail(kind)


class Step:
    """One request. Its service time counts from `begin`, or from when it was made where nobody says when it is sent."""

    __slots__ = ("_sent", "_sent_s", "_steps", "_tally")

    def __init__(self, steps: Steps, tally: Tally) -> None:
        self._steps, self._tally = steps, tally
        self._sent = False
        self._sent_s = now()
        steps.under_way.add(self)
        tally.started += 1

    def begin(self) -> None:
        """Its first byte is about to be sent; more calls do nothing."""
        if not self._sent:
            self._sent = True
            self._sent_s = now()

    def status(self, status: int) -> None:
        self._tally.statuses[status] += 1

    def complete(self) -> None:
        if self._over():
            return
        self._tally.completed += 1
        self._steps.answered = self._tally
        if self._tally.measured:
            self._tally.service.record(int((now() - self._sent_s) * 1e6))

    def fail(self, kind: str) -> None:
        if not self._over():
            self._tally.failed[kind] += 1

    def _over(self) -> bool:
        if self not in self._steps.under_way:
            return True
        self._steps.under_way.remove(self)
        return False


def begun(name: str) -> Step | None:
    """A request of the run that the running task works for; None if it works for none."""
    arrival = CURRENT.get(None)
    if arrival is None or arrival.steps is None or arrival.settled:
        return None
    return arrival.steps.begin(name)


@contextmanager
def ending(step: Step | None) -> Iterator[None]:
    """What goes wrong inside is the failure of this request. (Cancelled: by the limit of the run, or one of its author.)"""
    try:
        yield
    except trio.Cancelled:
        if step is not None:
            step.fail(failures.TIMEOUT)
        raise
    except Exception as error:
        if step is not None:
            step.fail(kind_of(error))
        raise


@contextmanager
def counted(name: str) -> Iterator[None]:
    """Count what happens inside as one request."""
    step = begun(name)
    with ending(step):
        yield
    if step is not None:
        step.complete()
