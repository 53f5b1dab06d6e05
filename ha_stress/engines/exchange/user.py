"""What a scenario sees: one user of the system under test.

async def scenario(user):
    row = user.row("accounts")
    with user.step("login"):
        answer = await user.http.post("/login", json={"name": row["name"]})
        user.check(answer.status_code == 200, "login is accepted")
    await user.think(1.5)
    async with user.websocket("ws://127.0.0.1:8000/feed") as feed:
        await feed.send("hello")
        await feed.expect("welcome")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import trio

from ha_stress import __version__
from ha_stress.base.limits import ANSWER_BYTES_MAX, CHECK_TEXT_MAX
from ha_stress.engines import failures
from ha_stress.engines.exchange.arrival import Arrival
from ha_stress.engines.exchange.reach import Reach, Traffic, Wire
from ha_stress.engines.exchange.reasons import Failed
from ha_stress.engines.exchange.steps import Steps, counted
from ha_stress.tasks.protocols import HTTP
from ha_stress.tasks.request_names import name_of_step
from ha_stress.tasks.spec import HttpRequest

if TYPE_CHECKING:
    import httpx

    from ha_stress.engines.exchange.websocket import Socket

#: Connections of one user; as many as a browser opens.
CONNECTIONS_MAX: Final = 6


class HasRows(Protocol):
    def of(self, number: int) -> dict[str, str]: ...


class Session:
    """A user's connections and cookies."""

    def __init__(self, request: HttpRequest, reach: Reach, traffic: Traffic, nursery: trio.Nursery) -> None:
        self.reach = reach
        self.traffic = traffic
        self.nursery = nursery
        self._request = request
        self._http: httpx.AsyncClient | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        if self._http is None:
            import httpx

            from ha_stress.engines.exchange.pools import Pools
            from ha_stress.engines.exchange.transport import Client, Transport

            request = self._request
            pools = Pools(self.reach, self.traffic, http2=request.http2, most=CONNECTIONS_MAX)
            self._http = Client(
                transport=Transport(pools, httpx.URL(request.url).netloc),
                base_url=request.url if urlsplit(request.url).scheme in HTTP else "",
                headers={"user-agent": f"ha-stress/{__version__}", **dict(request.headers)},
                timeout=None,  # the time limit of the whole run is enough, unless the author asks for more
                trust_env=False,
            )
        return self._http

    def forget(self) -> None:
        """The next user is somebody else."""
        if self._http is not None:
            self._http.cookies.clear()

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()


class Guest:
    """What setup and teardown get if they ask for it: ways to reach the system under test."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def http(self) -> httpx.AsyncClient:
        """An httpx client with keep-alive and cookies; a path alone is relative to the task's URL."""
        return self._session.http

    @asynccontextmanager
    async def websocket(
        self, url: str, headers: Mapping[str, str] | None = None, *, name: str = ""
    ) -> AsyncIterator[Socket]:
        """An open WebSocket: `send`, `receive`, `expect`. To open it counts as one request."""
        from ha_stress.engines.exchange.websocket import Opener

        opener = Opener(self._session.reach, self._session.traffic, self._session.nursery)
        with counted(name or name_of_step("WS", urlsplit(url).path)):
            socket = await opener.open(url, tuple((headers or {}).items()))
        try:
            yield socket
            await socket.goodbye()
        finally:
            socket.close()

    @asynccontextmanager
    async def tcp(self, host: str, port: int, *, name: str = "") -> AsyncIterator[TcpSocket]:
        """An open TCP connection: `send`, `receive`, `expect`. To open it counts as one request."""
        with counted(name or f"TCP {host}:{port}"):
            wire = await self._session.reach.connect(host, port, self._session.traffic)
        try:
            yield TcpSocket(wire)
        finally:
            wire.close()

    async def think(self, seconds: float) -> None:
        """Do nothing for a while, as people do. It is part of the run's duration."""
        await trio.sleep(seconds)


class User(Guest):
    """One run of a scenario. `number` is that of the arrival in the task, `slot` that of the user in the closed model (None
    in the open one), `data` what `setup` returned."""

    def __init__(
        self, arrival: Arrival, steps: Steps, session: Session, rows: Mapping[str, HasRows], data: Any
    ) -> None:
        super().__init__(session)
        self.number = arrival.number
        self.slot = None if arrival.user is None else arrival.user.number
        self.data = data
        self.failed_checks: list[str] = []
        self._rows = rows
        self._steps = steps

    def row(self, name: str) -> dict[str, str]:
        """This arrival's row of the data file `name`; nobody else in the cluster gets it before the file begins again."""
        if name not in self._rows:
            raise LookupError(f"there is no data {name!r}; there is: {', '.join(self._rows) or 'none'}")
        return self._rows[name].of(self.number)

    def check(self, condition: object, text: str) -> bool:
        """Count `text` as failed if the condition is false; the run goes on. Returns whether it holds."""
        if not condition:
            full = ": ".join((*self._steps.within, text))
            self._steps.wrong()
            self.failed_checks.append("".join(c if c.isprintable() else " " for c in full)[:CHECK_TEXT_MAX])
        return bool(condition)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Name what happens inside: its requests, checks that fail there, and exceptions, are told with it."""
        self._steps.within.append(name)
        try:
            yield
        except Exception as error:
            error.add_note(f"in the step {name!r} of the scenario")
            raise
        finally:
            self._steps.within.pop()

    def request(self, name: str) -> AbstractContextManager[None]:
        """Count what happens inside as one request of this name: a message and its answer, say."""
        return counted(name)


class TcpSocket:
    """A TCP connection of a scenario."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._unread = b""

    async def send(self, data: bytes) -> None:
        await self._wire.send_all(data)

    async def receive(self) -> bytes:
        """The next bytes that come, at least one; Failed once the target has closed."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        data = await self._wire.receive_some()
        if not data:
            raise Failed(failures.CLOSED, "the target closed the connection")
        return data

    async def expect(self, text: bytes) -> bytes:
        """All bytes up to and including `text`; what follows is kept for the next call."""
        answer = bytearray()
        while True:
            begin = max(0, len(answer) - len(text))
            answer += await self.receive()
            found = answer.find(text, begin)
            if found >= 0:
                end = found + len(text)
                self._unread = bytes(answer[end:])
                return bytes(answer[:end])
            if len(answer) > ANSWER_BYTES_MAX:
                raise Failed(failures.TOO_LARGE, f"more than {ANSWER_BYTES_MAX} bytes without {text!r}")
