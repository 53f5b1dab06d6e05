"""A run from its first task to its closed books: create, watch, stop when asked, give back what was found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ha_stress.base.errors import Conflict, NotFound, Unavailable, UserError
from ha_stress.base.limits import ERRAND_S_MAX
from ha_stress.cli.client import Client
from ha_stress.cli.live import Live, LiveTask

_POLL_S: Final = 0.4
#: Curves, events and nodes change once a second.
_LOOK_S: Final = 1.0
#: Seconds of a series that are read again, for frames come late.
_AGAIN_S: Final = 3
#: A failover takes less than a second, a machine that is very busy some more.
_UNAVAILABLE_S: Final = 20.0
#: After the last arrival and its timeout: so long for the last frames to be committed.
_SETTLE_S: Final = 20.0


class Screen(Protocol):
    """Where a run is shown."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, live: Live) -> None:
        """It has changed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the API says of the tasks at the end, and whether the run was interrupted."""

    tasks: tuple[dict[str, Any], ...]
    interrupted: bool


class Session:
    """One run of `tasks` on the cluster that `client` asks."""

    def __init__(
        self, client: Client, tasks: Sequence[dict[str, Any]], screen: Screen, gone: Callable[[], str] = str
    ) -> None:
        """`gone` is asked when nobody answers: what it says is why nobody ever will."""
        self._client = client
        self._gone = gone
        self._screen = screen
        self.live = Live(tasks=[LiveTask(wanted=task) for task in tasks])
        self._created: set[str] = set()
        self._told: set[str] = set()
        self._look_due = 0.0
        self._sequence = 0
        self._unavailable_since: float | None = None

    def run(self) -> Found:
        """Create and watch. Ctrl-C stops the tasks, and the rest is still counted; the second one is raised."""
        with contextlib.suppress(Unavailable):
            newest = self._client.events(after=0, limit=1)
            self._sequence = newest[-1]["sequence"] if newest else 0
        interrupted = False
        with self._screen:
            try:
                for task in self.live.tasks:
                    self._create(task)
                self._watch(max(task.duration_s + after_s(task) for task in self.live.tasks))
                if not self.live.ended:
                    self._insist()  # whatever keeps them, nobody looks at them any more
            except KeyboardInterrupt:
                interrupted = True
                self.live.note = "stopping: what is under way is still counted; Ctrl-C again gives up"
                self.live.tasks = [task for task in self.live.tasks if task.id in self._created]
                self._watch(max(map(after_s, self.live.tasks), default=0.0), stopping=True)
            except Exception:
                self._insist()  # one of several tasks was refused: the others shall not go on without it
                raise
        return Found(tasks=tuple(dict(task.found) for task in self.live.tasks if task.found), interrupted=interrupted)

    def left(self) -> list[str]:
        """The tasks that may go on: they were created, have not ended, and nobody has taken the word that they shall stop.
        Of interest once `run` is over, whichever way."""
        return [task.id for task in self._unstopped()]

    def _unstopped(self) -> list[LiveTask]:
        return [task for task in self.live.tasks if task.id in self._created - self._told and not task.ended]

    def _create(self, task: LiveTask) -> None:
        self._created.add(task.id)  # before: the answer may be what is interrupted
        try:
            self._client.create_task(dict(task.wanted))
        except UserError:  # it is refused, and never will be
            self.live.tasks = [one for one in self.live.tasks if one is not task]
            raise

    def _insist(self) -> None:
        """Stop them all; while nobody answers, again, for as long as a failover may take."""
        give_up = (self._unavailable_since or time.monotonic()) + _UNAVAILABLE_S
        while not self._stop() and time.monotonic() < give_up and not self._gone():
            time.sleep(_POLL_S)

    def _stop(self) -> bool:
        """Whether all have been told; those that have not are to be told again."""
        try:
            for task in self._unstopped():
                self._tell(task)
        except Unavailable:
            return False
        return True

    def _tell(self, task: LiveTask) -> None:
        """Stop it. A creation that was cut off may yet be carried out, at any time: then it is created for certain first."""
        try:
            self._client.stop_task(task.id)
        except Conflict:
            pass  # it has ended
        except NotFound:
            if not task.found:
                with contextlib.suppress(UserError):  # refused now as it was before, or it has ended already
                    self._create(task)
                    self._client.stop_task(task.id)
        self._told.add(task.id)

    def _watch(self, for_s: float, *, stopping: bool = False) -> None:
        """Until all have ended, or `for_s` from now. `stopping` tells them to, until somebody has taken it."""
        deadline = time.monotonic() + for_s
        while True:
            if stopping:
                self._stop()
            with self._patience():
                for task in self.live.tasks:
                    if not task.ended:
                        task.found = self._client.task(task.id)
                if time.monotonic() >= self._look_due or self.live.ended:
                    self._look()
            self._screen.show(self.live)
            if self.live.ended or time.monotonic() > deadline:
                return
            time.sleep(_POLL_S)

    def _look(self) -> None:
        self._look_due = time.monotonic() + _LOOK_S
        for task in self.live.tasks:
            if task.found.get("started_at") and not task.whole:
                part = self._client.series(task.id, width_s=1, after=max(-1, task.newest - _AGAIN_S))
                task.learn(part["buckets"])
        events = self._client.events(after=self._sequence)
        if events:
            self._sequence = events[-1]["sequence"]
            self.live.hear(events)
        self.live.status = self._client.status()

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """While a master dies nobody may answer for a moment."""
        try:
            yield
        except Unavailable as error:
            if why := self._gone():
                raise Unavailable(why) from None
            now = time.monotonic()
            self._unavailable_since = self._unavailable_since or now
            if now - self._unavailable_since > _UNAVAILABLE_S:
                raise
            self.live.trouble = str(error)
        else:
            self._unavailable_since = None
            self.live.trouble = ""


def after_s(task: LiveTask) -> float:
    """How long a task may take besides its duration."""
    errands_s = 2 * ERRAND_S_MAX if task.wanted.get("scenario") else 0.0  # its setup and its teardown
    return float(task.wanted["timeout_s"]) + errands_s + _SETTLE_S
