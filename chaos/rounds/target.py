"""A counting HTTP/1.1 server that knows who asked: `GET /__counts` answers {"<address>": N}, and does not count.

    python -m chaos.rounds.target HOST

A request counts when it has been read whole. Prints {"url": ...} when it listens; ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from typing import Final

from httptools import HttpParserError, HttpRequestParser

COUNTS_PATH: Final = b"/__counts"


class _Client(asyncio.Protocol):
    """One connection. Requests of one client wait for each other; pipelining works."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._parser = HttpRequestParser(self)
        self._path = b""
        self._transport: asyncio.Transport | None = None
        self._peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = str(transport.get_extra_info("peername")[0])

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            if self._transport is not None:
                self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_message_complete(self) -> None:
        path, self._path = self._path, b""
        body = b"ok"
        if path == COUNTS_PATH:
            body = json.dumps(self._counts).encode()
        else:
            self._counts[self._peer] += 1
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def _serve(host: str) -> None:
    counts: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(counts), host, 0)
    sys.stdout.write(json.dumps({"url": f"http://{host}:{server.sockets[0].getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    over = asyncio.Event()
    loop.add_reader(0, lambda: None if os.read(0, 4096) else over.set())
    await over.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
