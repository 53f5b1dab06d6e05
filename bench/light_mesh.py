"""The mesh side of light nodes: one listening port a node, real websocket frames, real messages, no event loop of their own.

A real node spends a task and a cancel scope on each of these steps; a light one answers from one `epoll`, so that a
thousand of them leave the processor to the sentinels that are measured.
"""

from __future__ import annotations

import os
import secrets
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import wsproto
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, RejectConnection, Request
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ha_stress import __version__
from ha_stress.base.errors import ProtocolError
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.wire.codec import decode_message, encode
from ha_stress.wire.messages import Message, Ping, Pong

_READ_BYTES: Final = 65_536
#: Sentinels that dial at the same moment.
_BACKLOG: Final = 64


class LightNode:
    """One simulated worker. It is never elected (priority 0) and carries out every assignment at once."""

    def __init__(self, node_id: str) -> None:
        self.id = node_id
        self.incarnation = secrets.token_hex(8)
        self.sequence = 0
        self.record: Mastership = NOBODY
        self.applied = (0, 0)
        self.tasks: frozenset[str] = frozenset()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]

    def learn(self, record: Mastership) -> None:
        if record.epoch > self.record.epoch:
            self.record = record

    def info(self) -> NodeInfo:
        return NodeInfo(
            id=self.id,
            incarnation=self.incarnation,
            sequence=self.sequence,
            priority=0,
            mesh_host="127.0.0.1",
            mesh_port=self.port,
            api_url="http://127.0.0.1:1",
            role=Role.WORKER,
            epoch=self.record.epoch,
            cpu_percent=12.5,
            memory_percent=25.0,
            memory_total_bytes=1 << 33,
            applied=self.applied,
            loop_lag_s=0.001,
            pid=os.getpid(),
            version=__version__,
            sent_at=time.time(),
        )

    def answer(self, message: Message) -> Message | None:
        if not isinstance(message, Ping):
            return None
        self.learn(message.record)
        return Pong(number=message.number, info=self.info(), record=self.record)


class Peer:
    """One accepted connection. `read` returns False once it is over."""

    def __init__(self, sock: socket.socket, secret: str, answer: Callable[[Message], Message | None]) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._expected = f"Bearer {secret}".encode() if secret else b""
        self._answer = answer
        self._websocket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)

    def read(self) -> bool:
        try:
            data = self.sock.recv(_READ_BYTES)
            if not data:
                return False
            self._websocket.receive_data(data)
            out = b"".join(self._replies())
            # A sentinel that does not read is no business of this benchmark: a full buffer ends the connection.
            return not out or self.sock.send(out) == len(out)
        except BlockingIOError:
            return True
        except (OSError, ProtocolError, LocalProtocolError, RemoteProtocolError):
            return False

    def _replies(self) -> list[bytes]:
        out = []
        for event in self._websocket.events():
            match event:
                case Request():
                    out.append(self._websocket.send(self._welcome(event)))
                case BytesMessage(data=data):
                    if (reply := self._answer(decode_message(bytes(data)))) is not None:
                        out.append(self._websocket.send(BytesMessage(data=encode(reply))))
                case CloseConnection():
                    raise ConnectionResetError
        return out

    def _welcome(self, request: Request) -> AcceptConnection | RejectConnection:
        given = [value for name, value in request.extra_headers if name.lower() == b"authorization"]
        return (
            AcceptConnection() if not self._expected or given == [self._expected] else RejectConnection(status_code=401)
        )


class Readable(Protocol):
    """A socket or a file."""

    def fileno(self) -> int: ...


class LightMesh:
    """All listeners and connections of the nodes of this process."""

    def __init__(self, nodes: list[LightNode], secret: str) -> None:
        self._secret = secret
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}
        self.connections = 0
        for node in nodes:
            self.follow(node.listener, partial(self._accept, node))

    def follow(self, sock: Readable, reader: Callable[[], object]) -> None:
        """Call `reader` whenever there is something to read."""
        self._readers[sock.fileno()] = reader
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def serve(self, timeout_s: float) -> None:
        """Whatever comes, until `timeout_s` have passed without anything."""
        for number, _ in self._epoll.poll(timeout_s):
            if (reader := self._readers.get(number)) is not None:
                reader()

    def _accept(self, node: LightNode) -> None:
        with suppress(BlockingIOError):
            sock, _ = node.listener.accept()
            peer = Peer(sock, self._secret, node.answer)
            self.connections += 1
            self.follow(sock, partial(self._read, peer))

    def _read(self, peer: Peer) -> None:
        if peer.read():
            return
        self.connections -= 1
        del self._readers[peer.sock.fileno()]
        self._epoll.unregister(peer.sock.fileno())
        peer.sock.close()
