"""The counting server of the books benchmark: who sent which arrival how often, and how many came in each moment.

    python -m bench.books_target

Requests are `GET /<cell>` without a body. A connection belongs to the process that its first request names in
`X-HA-Stress-Node`. `GET /__books` answers {"counts": {sender: {cell: N}}, "moments": {index: N}} and does not count; moment
`index` begins at Unix time index * MOMENT_S. Prints {"url": ...} when it listens; ends with its standard input.

Lean, because it shares the machine with what it measures: no HTTP parser, one look at the sender per connection.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter, defaultdict
from typing import Final

MOMENT_S: Final = 0.05
BOOKS: Final = b"__books"
SENDER: Final = b"\r\nx-ha-stress-node:"
END: Final = b"\r\n\r\n"
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: An unfinished request; ours are a fiftieth of it.
REQUEST_BYTES_MAX: Final = 16_384


class BooksTarget:
    """Listens from construction on."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, Counter[bytes]] = defaultdict(Counter)
        self.moments: Counter[int] = Counter()
        self.moment = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._clients: dict[int, _Client] = {}

    def serve(self, until: int) -> None:
        """Until descriptor `until` has something to read, or has ended."""
        clients, listener = self._clients, self._listener.fileno()
        with select.epoll() as epoll:
            epoll.register(listener, select.EPOLLIN)
            epoll.register(until, select.EPOLLIN)
            while True:
                ready = epoll.poll()
                self.moment = int(time.time() / MOMENT_S)
                for descriptor, _ in ready:
                    client = clients.get(descriptor)
                    if client is not None:
                        if not client.read():
                            del clients[descriptor]
                            client.sock.close()
                    elif descriptor == listener:
                        self._accept(epoll)
                    else:
                        return

    def _accept(self, epoll: select.epoll) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients[sock.fileno()] = _Client(self, sock)
                epoll.register(sock.fileno(), select.EPOLLIN)
        except BlockingIOError:
            return
        except OSError:
            return  # the client has gone again

    def books(self) -> bytes:
        counts = {who: {cell.decode("ascii"): n for cell, n in cells.items()} for who, cells in self.counts.items()}
        return json.dumps({"counts": counts, "moments": self.moments}).encode()


class _Client:
    """One connection. `_cells` are the counts of its sender once that is known."""

    __slots__ = ("_cells", "_rest", "_server", "sock")

    def __init__(self, server: BooksTarget, sock: socket.socket) -> None:
        self.sock = sock
        self._server = server
        self._rest = b""
        self._cells: Counter[bytes] | None = None

    def read(self) -> bool:
        """Take what has come; whether the connection goes on."""
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        *whole, self._rest = (self._rest + data).split(END)
        try:
            return all(map(self._take, whole)) and len(self._rest) < REQUEST_BYTES_MAX
        except OSError:
            return False  # it does not read its answers, or is gone

    def _take(self, request: bytes) -> bool:
        cell = request[5 : request.find(b" ", 5)]
        if cell == BOOKS:
            body = self._server.books()
            self.sock.setblocking(True)
            self.sock.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
            )
            return False
        if self._cells is None:
            self._cells = self._server.counts[_sender(request)]
        self._cells[cell] += 1
        self._server.moments[self._server.moment] += 1
        self.sock.send(ANSWER)
        return True


def _sender(request: bytes) -> str:
    """Empty if the request does not say it."""
    at = request.lower().find(SENDER)
    value = b"" if at < 0 else request[at + len(SENDER) :].partition(b"\r\n")[0]
    return value.strip().decode("latin-1")


def main() -> int:
    server = BooksTarget()
    sys.stdout.write(json.dumps({"url": server.url}) + "\n")
    sys.stdout.flush()
    server.serve(sys.stdin.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
