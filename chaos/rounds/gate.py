"""A TCP proxy in front of Redis for the sentinels. Told to, it holds the next award back, and delivers it late.

    python -m chaos.rounds.gate HOST PORT CLUSTER        (of Redis; it listens on the same host)

standard input     hold       the next award that passes is kept here, and so is the rest of its connection
                   deliver    what is kept goes on its way, even if its sender is dead by now
standard output    {"url"}    when it listens
                   {"epoch", "leader"}    an award is kept: under which epoch, and who sent it
                   {"answer"}             what Redis said to the one that came late

Ends with its standard input. Everything else passes unread.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
from dataclasses import dataclass
from typing import Any, Final

from ha_stress.wire.keys import Keys

#: Among the arguments of the award script: where the epoch and the name of its sender are.
EPOCH_ARGUMENT, SOURCE_ARGUMENT = 0, 4
_CHUNK: Final = 65_536
_CONNECT_S_MAX: Final = 1.0


def words_of(data: bytes) -> list[bytes]:
    """The words of a Redis command, as far as they have arrived."""
    count, _, rest = data.partition(b"\r\n")
    words: list[bytes] = []
    while count.startswith(b"*") and rest.startswith(b"$") and len(words) < int(count[1:]):
        size, whole, rest = rest.partition(b"\r\n")
        if not whole or len(rest) < int(size[1:]) + 2:
            break
        length = int(size[1:])
        words.append(rest[:length])
        rest = rest[length + 2 :]
    return words


def arguments_of(words: list[bytes]) -> list[bytes]:
    """What follows the keys in EVALSHA digest count key... argument..."""
    return words[3 + int(words[2]) :] if len(words) > 2 else []


@dataclass(eq=False, slots=True)
class _Pair:
    """A client's connection and ours to Redis."""

    client: socket.socket
    server: socket.socket
    held: bytearray | None = None
    said: bool = False
    late: bool = False


class Gate:
    def __init__(self, host: str, port: int, cluster: str) -> None:
        keys = Keys(cluster)
        self._award = (keys.mastership.encode(), keys.failovers.encode())  # only the award names both
        self._redis = (host, port)
        self._selector = selectors.DefaultSelector()
        self._armed = False
        self._pairs: set[_Pair] = set()
        self._listener = socket.create_server((host, 0))
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(0, selectors.EVENT_READ, None)
        self.url = f"redis://{host}:{self._listener.getsockname()[1]}/0"

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    line = os.read(0, _CHUNK)
                    if not line:
                        return
                    self._obey(line)
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._pass_on(key.data, key.fileobj)

    def _obey(self, line: bytes) -> None:
        self._armed = b"hold" in line
        for pair in [pair for pair in self._pairs if pair.held is not None]:
            held, pair.held, pair.late = bytes(pair.held or b""), None, True
            self._send(pair, pair.server, held)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._redis, _CONNECT_S_MAX)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = _Pair(client, server)
        self._pairs.add(pair)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(one, selectors.EVENT_READ, pair)

    def _pass_on(self, pair: _Pair, source: Any) -> None:
        if pair not in self._pairs:
            return
        try:
            data = source.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            if source is pair.client and pair.held is not None:
                self._selector.unregister(pair.client)  # dead; what it sent is still under way
            else:
                self._end(pair)
        elif source is pair.client:
            self._from_client(pair, data)
        elif pair.late:
            say({"answer": data[:80].decode(errors="replace")})
            self._end(pair)
        else:
            self._send(pair, pair.client, data)

    def _from_client(self, pair: _Pair, data: bytes) -> None:
        if pair.held is None and self._armed and all(word in data for word in self._award):
            self._armed = False
            pair.held = bytearray()
        if pair.held is None:
            self._send(pair, pair.server, data)
            return
        pair.held += data
        arguments = arguments_of(words_of(bytes(pair.held)))
        if len(arguments) > SOURCE_ARGUMENT and not pair.said:
            pair.said = True
            say({"epoch": int(arguments[EPOCH_ARGUMENT]), "leader": arguments[SOURCE_ARGUMENT].decode()})

    def _send(self, pair: _Pair, to: socket.socket, data: bytes) -> None:
        try:
            to.sendall(data)
        except OSError:
            self._end(pair)

    def _end(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        for one in (pair.client, pair.server):
            if one.fileno() >= 0 and one.fileno() in self._selector.get_map():
                self._selector.unregister(one)
            one.close()


def say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    gate = Gate(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    say({"url": gate.url})
    gate.run()
