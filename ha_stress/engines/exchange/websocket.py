"""WebSocket: an arrival is a message on an idle connection, and the next message that has what is expected in it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream
from wsproto.connection import ConnectionState
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from ha_stress import __version__
from ha_stress.base.limits import ANSWER_BYTES_MAX, WEBSOCKET_MESSAGES_UNREAD_MAX
from ha_stress.engines import failures
from ha_stress.engines.clock import now
from ha_stress.engines.exchange.arrival import Arrival
from ha_stress.engines.exchange.reach import RECEIVE_BYTES, Reach, Traffic, Wire, encrypt
from ha_stress.engines.exchange.reasons import Failed, first_of
from ha_stress.engines.exchange.verdicts import settle
from ha_stress.tasks.checking import Compiled
from ha_stress.tasks.protocols import authorization_of
from ha_stress.tasks.spec import HttpRequest

#: Set by the library; a task's headers must not say them twice. Extensions it has none.
_RESERVED: Final = frozenset(
    {"host", "upgrade", "connection"}
    | {f"sec-websocket-{name}" for name in ("key", "version", "protocol", "extensions")}
)
_SWITCHED: Final = b"HTTP/1.1 101"
#: What the closing handshake of a connection that was only opened may take.
_CLOSE_S = 1.0


class _Stream(trio.abc.Stream):
    """A wire that knows more of an end than the library tells: why a handshake ended (the library waits for ever if the
    connection ends before its answer), and who began to close (a close of the target that crosses ours replaces ours)."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.open = False
        self.exceeded = False
        self.connection: WebSocketConnection | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        try:
            data = await self.wire.receive_some(max_bytes)
        except trio.ClosedResourceError:
            if self.open:
                raise
            raise Failed(failures.PROTOCOL, "the answer to the WebSocket handshake is not HTTP") from None
        except trio.BrokenResourceError:
            if self.open:
                raise
            raise Failed(failures.RESET, "the connection was reset during the WebSocket handshake") from None
        if not data and not self.open:
            raise Failed(failures.CLOSED, "the connection was closed during the WebSocket handshake")
        self.open = self.open or data.startswith(_SWITCHED)  # the library may be told of the end before we hear of this
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.connection is not None and self.connection.closed is not None:
            # A close goes out. The library begins one by itself only for a message that is too large.
            ours = self.connection._wsproto.state is ConnectionState.LOCAL_CLOSING
            self.exceeded = self.exceeded or (ours and self.connection.closed.code == CloseReason.MESSAGE_TOO_BIG)
        await self.wire.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.wire.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.wire.aclose()


class Socket:
    """An open WebSocket. `receive` and `send` raise Failed when the target closes."""

    def __init__(self, connection: WebSocketConnection, stream: _Stream, scope: trio.CancelScope) -> None:
        self._connection = connection
        self._stream = stream
        self._scope = scope

    @property
    def closed(self) -> bool:
        return self._connection.closed is not None

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send_message(message)
        except ConnectionClosed as error:
            raise self._ended(error) from None
        except LocalProtocolError:  # it has been told to close, and is about to say so
            raise Failed(failures.WS_CLOSE, "the target closes the WebSocket") from None

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self._connection.get_message()
        except ConnectionClosed as error:
            raise self._ended(error) from None
        return message

    async def expect(self, text: str) -> str | bytes:
        """The next message that contains `text`; those before it are thrown away."""
        raw = text.encode()
        while True:
            message = await self.receive()
            if (text in message) if isinstance(message, str) else (raw in message):
                return message

    def forget_unread(self) -> None:
        """Throw away what came unasked: it is not the answer to what is sent next."""
        channel = self._connection._recv_channel  # get_message() has no way not to wait
        while True:
            try:
                channel.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
                return

    async def goodbye(self) -> None:
        """The closing handshake, for a moment; then the end."""
        with trio.move_on_after(_CLOSE_S):
            await self._connection.aclose()
        self.close()

    def close(self) -> None:
        self._stream.wire.close()
        self._scope.cancel()

    def _ended(self, error: ConnectionClosed) -> Failed:
        if self._stream.exceeded:
            return Failed(failures.TOO_LARGE, f"a message of more than {ANSWER_BYTES_MAX} bytes")
        reason = error.reason
        if reason is None:
            return Failed(failures.WS_CLOSE, "the WebSocket is closed")
        said = f"{reason.code} {reason.reason or reason.name}"
        return Failed(failures.WS_CLOSE, f"the target closed the WebSocket: {said}")


class Opener:
    """Opens WebSockets; each has a task in `nursery` that reads and answers pings."""

    def __init__(self, reach: Reach, traffic: Traffic, nursery: trio.Nursery) -> None:
        self._reach = reach
        self._traffic = traffic
        self._nursery = nursery

    async def open(self, url: str, headers: tuple[tuple[str, str], ...] = ()) -> Socket:
        opened: Socket = await self._nursery.start(self._hold, url, headers)
        return opened

    async def _hold(
        self, url: str, headers: tuple[tuple[str, str], ...], *, task_status: trio.TaskStatus[Socket]
    ) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        host = parts.hostname or ""
        wire = await self._reach.connect(host, parts.port or (443 if secure else 80), self._traffic)
        if secure:
            wire = await encrypt(wire, host)
        resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        given = {name.lower() for name, _ in headers}
        extra = [(name.encode(), value.encode()) for name, value in headers if name.lower() not in _RESERVED]
        offered = ",".join(value for name, value in headers if name.lower() == "sec-websocket-protocol")
        if "user-agent" not in given:
            extra.append((b"user-agent", f"ha-stress/{__version__}".encode()))
        if "authorization" not in given and (authorization := authorization_of(url)):
            extra.append((b"authorization", authorization.encode()))
        named = next((value for name, value in headers if name.lower() == "host"), parts.netloc.rpartition("@")[2])
        stream = _Stream(wire)
        started = False
        try:
            async with trio.open_nursery() as nursery:
                connection = await wrap_client_stream(
                    nursery,
                    stream,  # type: ignore[arg-type]  # any stream will do
                    named,
                    resource,
                    subprotocols=[name.strip() for name in offered.split(",") if name.strip()],
                    extra_headers=extra,
                    message_queue_size=WEBSOCKET_MESSAGES_UNREAD_MAX,
                    max_message_size=ANSWER_BYTES_MAX,
                    receive_buffer_size=RECEIVE_BYTES,
                )
                stream.open = started = True
                stream.connection = connection
                task_status.started(Socket(connection, stream, nursery.cancel_scope))
        except ExceptionGroup as group:
            # Later ones end the connection only: whoever waits for a message is told that it is closed.
            if not started:
                raise _refused(first_of(group)) from group
        finally:
            wire.close()


def _refused(error: BaseException) -> Failed:
    """Why the handshake came to nothing."""
    if isinstance(error, ConnectionRejected):
        return Failed(failures.WS_REJECTED, f"the handshake was refused with status {error.status_code}")
    return error if isinstance(error, Failed) else Failed(failures.PROTOCOL, f"the handshake failed: {error}")


class WebSocketExchange:
    """The rate is that of the messages; connections are opened as they are needed. Without a body an arrival only opens a
    connection and closes it. A body that is UTF-8 goes as text, another as binary."""

    def __init__(self, request: HttpRequest, body: bytes, checks: Compiled, opener: Opener, traffic: Traffic) -> None:
        self._url, self._headers = request.url, request.headers
        self._expect = request.expect
        self._message = _message(body)
        self._checks = checks
        self._opener = opener
        self._traffic = traffic
        self._idle: list[Socket] = []

    async def run(self, arrival: Arrival) -> None:
        if not self._message:
            await self._only_open(arrival)
            return
        await trio.lowlevel.checkpoint()  # those who read idle connections hear first of what the target has closed
        socket = self._take_idle()
        if socket is None:
            socket = await self._opener.open(self._url, self._headers)
        try:
            arrival.begin()
            await socket.send(self._message)
            answer = await (socket.expect(self._expect) if self._expect else socket.receive())
        except BaseException:
            socket.close()
            raise
        settle(arrival, self._checks, body=answer.encode() if isinstance(answer, str) else answer)
        self._idle.append(socket)

    async def _only_open(self, arrival: Arrival) -> None:
        since_s = now()
        socket = await self._opener.open(self._url, self._headers)
        arrival.begin(since_s)
        try:
            answer = await socket.expect(self._expect) if self._expect else b""
            settle(arrival, self._checks, body=answer.encode() if isinstance(answer, str) else answer)
            await socket.goodbye()
        finally:
            socket.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> Socket | None:
        while self._idle:
            socket = self._idle.pop()
            socket.forget_unread()
            if not socket.closed:
                return socket
            socket.close()
        return None


def _message(body: bytes) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body
