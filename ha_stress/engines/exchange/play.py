"""Scenarios: the author's code, compiled once, run once for each arrival with a `User`."""

from __future__ import annotations

import json
import linecache
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import SCENARIO_CHECKS_MAX
from ha_stress.engines import failures
from ha_stress.engines.exchange.arrival import Arrival
from ha_stress.engines.exchange.reach import Reach, Traffic, client_tls
from ha_stress.engines.exchange.reasons import Failed, first_of, words_of
from ha_stress.engines.exchange.steps import Steps
from ha_stress.engines.exchange.user import Session, User
from ha_stress.tasks.checking import Compiled
from ha_stress.tasks.checking import failures as failing
from ha_stress.tasks.csv_data import read
from ha_stress.tasks.scenario import Feeder, Scenario
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.turns import row_of

#: Sessions that wait for their next arrival; each may have open connections.
IDLE_MAX: Final = 1_024
#: Stands for the checks of a scenario that has too many to name.
OTHER_CHECKS: Final = "other checks"


class Rows:
    """The rows of one feeder. Each arrival's follows from its number, so nobody has to ask anybody."""

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self._columns: list[str] = []
        self._rows: list[tuple[str, ...]] | None = None  # a dict each would be several times as large
        self._problem = f"the stored data of {feeder.name} is not there"

    async def load(self, data: bytes | None) -> None:
        """In a thread, as a large file takes tenths of a second in which arrivals are due."""
        if data is not None:
            await trio.to_thread.run_sync(self._load, data)

    def _load(self, data: bytes) -> None:
        try:
            self._columns, rows = read(self._feeder.name, data.decode())
            self._rows = list(map(tuple, rows))
        except (ConfigError, UnicodeDecodeError) as error:
            self._problem = str(error)

    def of(self, number: int) -> dict[str, str]:
        if self._rows is None:
            raise Failed(failures.NO_DATA, self._problem)
        row = row_of(self._feeder, number)
        if row is None or row >= len(self._rows):
            raise Failed(
                failures.NO_DATA, f"{self._feeder.name} has {len(self._rows)} rows, and this is arrival {number}"
            )
        return dict(zip(self._columns, self._rows[row], strict=True))


class Play:
    """In the open model an arrival takes any session that is free, with its connections and without its cookies; in the
    closed model each user has his own and keeps both."""

    def __init__(
        self,
        share: TaskShare,
        *,
        blobs: Mapping[str, bytes],
        checks: Compiled,
        reach: Reach,
        traffic: Traffic,
        nursery: trio.Nursery,
    ) -> None:
        scenario = share.scenario
        assert scenario is not None
        self._scenario = scenario
        self._request = share.request
        self._checks = checks
        self._names: set[str] = set()  # of the checks that the author's code has named so far
        self._rows = {feeder.name: Rows(feeder) for feeder in scenario.feeders}
        self._loaded = trio.Event()
        nursery.start_soon(self._load, dict(blobs))
        self._reach = reach
        self._traffic = traffic
        self._nursery = nursery
        self._data: Any = json.loads(scenario.data) if scenario.data else None
        self._problem: BaseException | None = None
        self._code: Callable[[User], Awaitable[None]] | None = None
        self._prepare()
        self._idle: list[Session] = []
        self._sessions: dict[int, Session] = {}  # by user, in the closed model

    def _prepare(self) -> None:
        """Run the file and load what it needs now, before its first arrival is due: that takes tenths of a second."""
        if "http" in self._scenario.source:
            import ha_stress.engines.exchange.transport

            client_tls("http/1.1")
        if "websocket" in self._scenario.source:
            import ha_stress.engines.exchange.websocket  # noqa: F401  loaded only
        try:
            self._code = load(self._scenario)["scenario"]
        except BaseException as error:  # noqa: BLE001  the author's code may raise anything; each arrival tells
            self._problem = error

    async def _load(self, blobs: Mapping[str, bytes]) -> None:
        for feeder in self._scenario.feeders:
            await self._rows[feeder.name].load(blobs.get(feeder.blob))
        self._loaded.set()

    async def run(self, arrival: Arrival) -> None:
        if not self._loaded.is_set():
            await self._loaded.wait()
        arrival.begin()
        steps = arrival.steps = Steps(arrival.account)
        if self._code is None:
            why = "" if self._problem is None else f"{type(self._problem).__name__}: {words_of(self._problem)}"
            raise Failed(failures.SCENARIO, f"the scenario cannot be loaded: {why}") from self._problem
        session = self._session(arrival)
        user = User(arrival, steps, session, self._rows, self._data)
        try:
            await self._code(user)
        except BaseException as error:
            if isinstance(first_of(error), AssertionError):
                steps.wrong()
            await self._give_back(arrival, session, failed=True)
            raise
        wrong = [self._name(text) for text in user.failed_checks]
        if not self._checks.only_status:
            wrong += failing(self._checks, 0, (), b"", arrival.elapsed_ms())
        arrival.complete(wrong=wrong)
        await self._give_back(arrival, session, failed=False)

    def _name(self, text: str) -> str:
        """The text under which a failed check is counted: not ever new ones, as those with a number in them would be."""
        if text not in self._names:
            if len(self._names) >= SCENARIO_CHECKS_MAX:
                return OTHER_CHECKS
            self._names.add(text)
        return text

    def _session(self, arrival: Arrival) -> Session:
        if arrival.user is not None:
            number = arrival.user.number
            if number not in self._sessions:
                self._sessions[number] = self._new_session()
            return self._sessions[number]
        return self._idle.pop() if self._idle else self._new_session()

    def _new_session(self) -> Session:
        return Session(self._request, self._reach, self._traffic, self._nursery)

    async def _give_back(self, arrival: Arrival, session: Session, *, failed: bool) -> None:
        """A session whose run failed may have anything under way: it is not used again."""
        if failed:
            if arrival.user is not None:
                self._sessions.pop(arrival.user.number, None)
            self._nursery.start_soon(session.aclose)
        elif arrival.user is None:
            session.forget()
            if len(self._idle) < IDLE_MAX:
                self._idle.append(session)
            else:
                await session.aclose()

    def close(self) -> None:
        for session in (*self._idle, *self._sessions.values()):
            self._nursery.start_soon(session.aclose)
        self._idle.clear()
        self._sessions.clear()


def load(scenario: Scenario) -> dict[str, Any]:
    """Run the file itself, as an import would; its names. It must have been checked before."""
    names: dict[str, Any] = {"__name__": "scenario", "__file__": scenario.name}
    lines = scenario.source.splitlines(keepends=True)
    linecache.cache[scenario.name] = (len(scenario.source), None, lines, scenario.name)  # tracebacks show them
    exec(compile(scenario.source, scenario.name, "exec", dont_inherit=True), names)
    return names
