"""Many dialled connections of one process, served by one task: what a sentinel keeps to a thousand nodes.

    Exchange.dial --> Link.send (never waits)                 one epoll of all sockets, read in batches
                      messages --> the function given to dial; the end of a link --> Link.ended

A `Connection` costs two tasks, a queue and several cancel scopes for each message. That is nothing between two sentinels;
with two pings a second to each of a thousand nodes it was most of a processor. The bytes on the wire are the same.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import trio
import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, RejectConnection, Request
from wsproto.events import Message as Fragment
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ha_stress import log
from ha_stress.base.addresses import endpoint
from ha_stress.base.errors import ProtocolError
from ha_stress.base.limits import MESH_BAD_MESSAGES_MAX, MESH_MESSAGE_BYTES_MAX
from ha_stress.mesh.client import dial_stream
from ha_stress.mesh.connection import PATH, refused_by
from ha_stress.wire.codec import decode_message
from ha_stress.wire.messages import Message

_log = log.get(__name__)

_READ_BYTES: Final = 65_536
#: Links read in one go before other tasks get their turn: a few milliseconds.
_BATCH_MAX: Final = 64
_NOT_UNDERSTOOD = (RemoteProtocolError, LocalProtocolError)


class Link:
    """One connection of an exchange. `ended` is set once it is over, by whomever; `heard_at` is trio's time of the newest
    message that was understood, at first that of the handshake."""

    def __init__(
        self,
        exchange: Exchange,
        sock: socket.socket,
        websocket: wsproto.WSConnection,
        peer: str,
        hear: Callable[[Message], object],
    ) -> None:
        self.peer = peer
        self.ended = trio.Event()
        self.heard_at = trio.current_time()
        self.sock = sock
        self._exchange = exchange
        self._websocket = websocket
        self._hear = hear
        self._parts = bytearray()
        self._bad_messages = 0  # in a row

    def send(self, message: bytes) -> None:
        """Send an encoded message. A peer that left no room for it has not read for hundreds of them: the link ends."""
        self._write(BytesMessage(data=message))

    def close(self) -> None:
        """Say goodbye if there is room for it, and end. May be called again."""
        if not self.ended.is_set():
            self._write(CloseConnection(code=1000))
            self.end()

    def end(self) -> None:
        if not self.ended.is_set():
            self._exchange.forget(self)
            self.sock.close()
            self.ended.set()

    def read(self) -> None:
        """Take what has arrived. Called by the exchange."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end()
            return
        with suppress(*_NOT_UNDERSTOOD):
            self._websocket.receive_data(data)
            self.take_events()
            return
        self.end()

    def take_events(self) -> None:
        """What wsproto has made of the bytes so far."""
        for event in self._websocket.events():
            if isinstance(event, Fragment):
                self._take_fragment(event)
            elif isinstance(event, Ping):
                self._write(event.response())
            elif isinstance(event, CloseConnection):
                if self._websocket.state is ConnectionState.REMOTE_CLOSING:
                    self._write(event.response())
                self.end()
            if self.ended.is_set():
                return

    def _take_fragment(self, event: Fragment[Any]) -> None:
        whole = event.message_finished and not self._parts
        try:
            if not isinstance(event, BytesMessage):
                raise ProtocolError(f"{self.peer} sent text, not a message")
            if len(self._parts) + len(event.data) > MESH_MESSAGE_BYTES_MAX:
                _log.warning("a mesh connection was dropped", peer=self.peer, problem="its message is over the limit")
                self.end()
                return
            if not whole:
                self._parts += event.data
                if not event.message_finished:
                    return
            data = bytes(event.data if whole else self._parts)
            self._parts.clear()
            message = decode_message(data)
        except ProtocolError as error:
            self._bad_messages += 1
            _log.warning("a mesh message was not understood", peer=self.peer, problem=str(error))
            if self._bad_messages > MESH_BAD_MESSAGES_MAX:
                self.end()
            return
        self._bad_messages = 0
        self.heard_at = trio.current_time()
        self._hear(message)

    def _write(self, event: Event) -> None:
        try:
            data = self._websocket.send(event)
            complete = self.sock.send(data) == len(data)
        except (OSError, LocalProtocolError):
            complete = False
        if not complete:
            self.end()


class Exchange:
    """All links of one process. `run` serves them until it is cancelled, and ends them all then."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._open = True

    async def run(self) -> None:
        try:
            while True:
                await trio.lowlevel.wait_readable(self._selector.fileno())
                for key, _ in self._selector.select(0)[:_BATCH_MAX]:
                    key.data.read()
        finally:
            self._open = False
            for key in list(self._selector.get_map().values()):
                key.data.close()
            self._selector.close()

    async def dial(
        self, host: str, port: int, secret: str, *, timeout_s: float, hear: Callable[[Message], object]
    ) -> Link:
        """Dial and prove that we know the secret; from then on `hear` gets each message. It must not wait, and an error of
        it ends the exchange. MeshUnavailable as `connect_mesh` raises it."""
        peer = endpoint(host, port)
        deadline = trio.current_time() + timeout_s
        stream = await dial_stream(host, port, peer, timeout_s)
        try:
            with trio.move_on_at(deadline) as patience:
                websocket = await _shake_hands(stream, peer, secret)
            if patience.cancelled_caught or not self._open:
                raise refused_by(peer, None)
            sock = socket.socket(fileno=stream.socket.detach())
        finally:
            await trio.aclose_forcefully(stream)
        sock.setblocking(False)
        link = Link(self, sock, websocket, peer, hear)
        self._selector.register(sock, selectors.EVENT_READ, link)
        with suppress(*_NOT_UNDERSTOOD):
            link.take_events()  # what came together with the handshake
            return link
        link.end()
        return link

    def forget(self, link: Link) -> None:
        self._selector.unregister(link.sock)


async def _shake_hands(stream: trio.SocketStream, peer: str, secret: str) -> wsproto.WSConnection:
    """Become a websocket. MeshUnavailable says why not."""
    websocket = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    headers = [(b"Authorization", f"Bearer {secret}".encode())] if secret else []
    try:
        await stream.send_all(websocket.send(Request(host=peer, target=PATH, extra_headers=headers)))
        while data := await stream.receive_some(_READ_BYTES):
            websocket.receive_data(data)
            for event in websocket.events():
                if isinstance(event, AcceptConnection):
                    return websocket
                if isinstance(event, RejectConnection):
                    raise refused_by(peer, event.status_code)
    except (trio.BrokenResourceError, *_NOT_UNDERSTOOD):
        pass  # said below
    raise refused_by(peer, None)
