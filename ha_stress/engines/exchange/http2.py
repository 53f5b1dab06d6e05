"""HTTP/2 over one connection: agreed upon in TLS, with prior knowledge in the clear.

httpcore's connection, without its pool, which would take as long again for each request; and with what that leaves out: a
target may answer before it has the whole request (413, 401), and grants no room for the rest of it then.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import httpcore
import trio
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, RemoteSettingsChanged, StreamEnded, StreamReset
from h2.exceptions import ProtocolError, TooManyStreamsError
from h2.settings import SettingCodes

from ha_stress.engines.exchange.network import Backend
from ha_stress.engines.exchange.pools import Again, Connections
from ha_stress.engines.exchange.reach import Reach, Traffic, client_tls

#: Streams that servers commonly allow on one connection; above it, or above what the server says, the next one is used.
STREAMS_PER_CONNECTION: Final = 100
_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})
_REFUSED: Final = "Server disconnected: it refused the stream"
_BROKEN: Final = (httpcore.WriteError, httpcore.ReadError, httpcore.RemoteProtocolError)


class _Answered(Exception):
    """The target has ended the stream of a request that is not sent in full."""


class Connection(httpcore.AsyncHTTP2Connection):
    """What is overridden here has no public name; the tests of early answers hold it."""

    _h2_state: H2Connection

    def __init__(self, origin: httpcore.Origin, stream: httpcore.AsyncNetworkStream) -> None:
        super().__init__(origin, stream)
        self._wanting_room: dict[int, int] = {}  # streams, by the identity of their request

    @property
    def streams_max(self) -> int:
        return max(1, self._h2_state.remote_settings.max_concurrent_streams)

    async def _send_request_body(self, request: httpcore.Request, stream_id: int) -> None:
        try:
            await super()._send_request_body(request, stream_id)
        except (_Answered, ProtocolError):
            if not self._over(stream_id):
                raise
            with suppress(ProtocolError):  # the target has reset it
                self._h2_state.reset_stream(stream_id)
                await self._write_outgoing_data(request)

    async def _wait_for_outgoing_flow(self, request: httpcore.Request, stream_id: int) -> int:
        self._wanting_room[id(request)] = stream_id
        try:
            while True:
                if self._over(stream_id):
                    raise _Answered
                room = self._room(stream_id)
                if room > 0:
                    return room
                await self._receive_events(request)
        finally:
            del self._wanting_room[id(request)]

    async def _read_incoming_data(self, request: httpcore.Request) -> list[Event]:
        """What it waits for may have come with what another request has read, before it was its turn to read."""
        stream_id = self._wanting_room.get(id(request))
        if stream_id is not None and (self._over(stream_id) or self._room(stream_id) > 0):
            return []
        events: list[Event] = await super()._read_incoming_data(request)
        return events

    async def _receive_remote_settings_change(self, event: RemoteSettingsChanged) -> None:
        """httpcore waits for streams to end if the target allows fewer of them than before, and reads nothing meanwhile."""
        most = event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
        if most is not None and most.new_value > self._max_streams:
            await super()._receive_remote_settings_change(event)

    def _over(self, stream_id: int) -> bool:
        return any(isinstance(event, StreamEnded | StreamReset) for event in self._events[stream_id])

    def _room(self, stream_id: int) -> int:
        """How much may be sent on it now; below zero after the target has taken some back."""
        return min(self._h2_state.local_flow_control_window(stream_id), self._h2_state.max_outbound_frame_size)


class _Sent:
    """The number of a request's stream, and whether its head is `written`, as httpcore tells it to who traces the request;
    `scope` ends the wait."""

    def __init__(self, refused: Callable[[_Sent], bool]) -> None:
        self.stream = 0
        self.written = False
        self.scope = trio.CancelScope()
        self._refused = refused

    async def __call__(self, name: str, info: dict[str, Any]) -> None:
        if name == "http2.send_request_headers.started":
            self.stream = info["stream_id"]
            if self._refused(self):  # sent away since this connection was chosen, and nothing has been sent
                raise Again from httpcore.RemoteProtocolError(_REFUSED)
        elif name == "http2.send_request_headers.complete":
            self.written = True


def _reset_of(error: BaseException | None) -> StreamReset | None:
    """How the target has reset the stream of a request, if that is what went wrong."""
    event = error.args[0] if isinstance(error, httpcore.RemoteProtocolError) and error.args else None
    return event if isinstance(event, StreamReset) else None


class Http2(Connections):
    """One connection to one host and port, made by its first request, with its streams."""

    def __init__(self, reach: Reach, traffic: Traffic, origin: httpcore.Origin) -> None:
        self.under_way = 0
        self.retired = False
        self._origin = origin
        self._last_stream: int | None = None
        self._sent: set[_Sent] = set()  # requests that wait for the head of their response
        self._looking = trio.Lock()
        self._opening = trio.Lock()
        self._backend = Backend(reach, traffic, only="h2", on_goaway=self._goaway)
        self._connection: Connection | None = None

    def has_room(self, origin: httpcore.Origin) -> bool:
        most = STREAMS_PER_CONNECTION
        if self._connection is not None:
            most = min(most, self._connection.streams_max)
        return not self.retired and self.under_way < most and self._origin == origin

    def _goaway(self, last_stream: int) -> None:
        self.retired = True
        self._last_stream = last_stream if self._last_stream is None else min(last_stream, self._last_stream)
        for sent in self._sent:
            if self._refused(sent):
                sent.scope.cancel()

    def _refused(self, sent: _Sent) -> bool:
        return self._last_stream is not None and sent.stream > self._last_stream

    async def usable(self) -> bool:
        """httpcore does not see that a target has closed an idle connection of HTTP/2."""
        async with self._looking:
            if not self.under_way:
                for stream in list(self._backend.streams):
                    self.retired = not await stream.look() or self.retired
            if self.retired and not self.under_way:
                await self.aclose()
        return not self.retired

    async def _send(self, request: httpcore.Request) -> httpcore.Response:
        connection = await self._opened(request)
        sent = _Sent(self._refused)
        request.extensions = {**request.extensions, "trace": sent}
        whole = not any(name.lower() in _OF_BODIES for name, _ in request.headers)
        if whole:
            self._sent.add(sent)
        try:
            with sent.scope:
                return await connection.handle_async_request(request)
            raise Again from httpcore.RemoteProtocolError(_REFUSED)
        except httpcore.ConnectionNotAvailable as error:  # closed since it was chosen, or out of numbers
            self.retired = True
            raise Again from error
        except httpcore.LocalProtocolError as error:
            if any(isinstance(one, TooManyStreamsError) for one in error.args):  # fewer are allowed than a moment ago
                raise Again from error
            raise
        except ProtocolError as error:
            if not connection.is_closed():
                raise
            self.retired = True  # it was given up before it had begun, and this request waited for that
            raise Again from httpcore.RemoteProtocolError(str(error))
        except _BROKEN as error:
            reset = _reset_of(error)
            refused = self._refused(sent) or (reset is not None and reset.error_code == ErrorCodes.REFUSED_STREAM)
            self.retired = self.retired or refused or reset is None
            untaken = isinstance(error, httpcore.WriteError) and not sent.written  # it may be another request's error
            if whole and (refused or untaken):
                raise Again from error
            raise
        finally:
            self._sent.discard(sent)

    async def _opened(self, request: httpcore.Request) -> Connection:
        async with self._opening:
            if self._connection is None:
                host, port = self._origin.host.decode("ascii"), self._origin.port
                timeout = request.extensions.get("timeout", {}).get("connect")
                stream = await self._backend.connect_tcp(host, port, timeout)
                if self._origin.scheme == b"https":
                    stream = await stream.start_tls(client_tls("h2"), host, timeout)
                self._connection = Connection(self._origin, stream)
            return self._connection

    def give_up(self, error: BaseException | None) -> None:
        """A connection on which a request was given up or went wrong is not used for new ones, unless the target has reset
        its stream: what still comes for that nobody reads, and the window of all of them shrinks."""
        self.retired = self.retired or _reset_of(error) is None

    async def aclose(self) -> None:
        if self._connection is not None:
            with trio.CancelScope(shield=True):  # it only closes a socket
                await self._connection.aclose()
