"""httpcore over our own connections: names, allow-list and byte counts as everywhere.

By GOAWAY an HTTP/2 server says that it takes no *new* streams on a connection (nginx does so every 1,000 requests), and goes
on answering the others. httpcore's protocol library takes it for the end of all of them, so that frame is taken out here.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final

import httpcore
import trio

from ha_stress.engines.exchange.arrival import CURRENT, SENDING
from ha_stress.engines.exchange.reach import Reach, Traffic, Wire, encrypt
from ha_stress.engines.exchange.reasons import Failed

#: What is read of an idle connection: pings and settings are a few dozen bytes.
_UNREAD_MAX: Final = 1 << 16
_LOOK_S: Final = 0.001

_HEADER_BYTES: Final = 9
_GOAWAY: Final = 7
_WINDOW_UPDATE: Final = b"\x08"
#: Nobody may send larger frames than the 16 KiB that were offered; what says so is not HTTP/2.
_FRAME_BYTES_MAX: Final = 1 << 20


class Frames:
    """The bytes of an HTTP/2 connection without its GOAWAY frames; `on_goaway` is told the last stream that the target will
    answer. Only whole frames come out; what is not HTTP/2 comes out as it is."""

    def __init__(self, on_goaway: Callable[[int], None]) -> None:
        self._on_goaway = on_goaway
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        buffer = self._buffer
        buffer += data
        out, at = bytearray(), 0
        while len(buffer) - at >= _HEADER_BYTES:
            length = int.from_bytes(buffer[at : at + 3])
            end = at + _HEADER_BYTES + length
            if length > _FRAME_BYTES_MAX:
                end = len(buffer)
            if end > len(buffer):
                break
            if buffer[at + 3] == _GOAWAY and length >= 8:
                self._on_goaway(int.from_bytes(buffer[at + 9 : at + 13]) & 0x7FFF_FFFF)
            else:
                out += buffer[at:end]
            at = end
        del buffer[:at]
        return bytes(out)


class NetworkStream(httpcore.AsyncNetworkStream):
    """One connection, as httpcore wants it. `frames` is for HTTP/2."""

    def __init__(self, wire: Wire, backend: Backend) -> None:
        self.wire = wire
        self._unread = b""
        self._frames = Frames(backend.on_goaway) if backend.on_goaway is not None else None
        self._backend = backend
        backend.streams.add(self)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if timeout is None:
            return await self._read(max_bytes)
        with trio.move_on_after(timeout):
            return await self._read(max_bytes)
        raise httpcore.ReadTimeout(f"nothing came for {timeout:g} s")

    async def _read(self, max_bytes: int) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        try:
            while True:
                data = await self.wire.receive_some(max_bytes)
                if self._frames is None or not data:
                    return data
                if data := self._frames.feed(data):
                    return data
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.ReadError(str(error)) from error

    async def look(self) -> bool:
        """While nothing is under way: read what has come. False if that was the end."""
        while self.wire.sock.is_readable() and len(self._unread) < _UNREAD_MAX:
            with trio.move_on_after(_LOOK_S) as scope:
                try:
                    data = await self.wire.receive_some()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return False
                if not data:
                    return False
                self._unread += self._frames.feed(data) if self._frames is not None else data
            if scope.cancelled_caught:  # there were bytes of TLS and none for us
                break
        return True

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        sending = SENDING.get() or CURRENT.get(None)
        if sending is not None:
            sending.begin()
        if not buffer:
            return
        if timeout is None:
            await self._write(buffer)
            return
        with trio.move_on_after(timeout):
            await self._write(buffer)
            return
        raise httpcore.WriteTimeout(f"nothing was taken for {timeout:g} s")

    async def _write(self, buffer: bytes) -> None:
        try:
            await self.wire.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            if self._frames is not None and buffer[3:4] == _WINDOW_UPDATE:
                return  # thanks for bytes that have come need not arrive; what else has come can still be read
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self._backend.streams.discard(self)
        self.wire.close()
        await trio.lowlevel.checkpoint()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            try:
                wire = await encrypt(self.wire, server_hostname or "", self._backend.only)
                self._backend.streams.discard(self)
                return NetworkStream(wire, self._backend)
            except Failed as error:
                raise httpcore.ConnectError(str(error)) from error
        raise httpcore.ConnectTimeout("the TLS handshake took too long")

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self.wire.stream, trio.SSLStream):
            return self.wire.stream._ssl_object  # httpcore asks it for the protocol
        if info == "is_readable":  # an idle connection on which something came is about to be closed
            return self.wire.sock.is_readable()
        if info == "server_addr":
            return self.wire.sock.getpeername()
        return None


class Backend(httpcore.AsyncNetworkBackend):
    """`only` is the protocol that TLS has to agree on, if there is one; `on_goaway` is for HTTP/2; `streams` are the open
    connections."""

    def __init__(self, reach: Reach, traffic: Traffic, *, only: str, on_goaway: Callable[[int], None] | None) -> None:
        self._reach = reach
        self._traffic = traffic
        self.only = only
        self.on_goaway = on_goaway
        self.streams: set[NetworkStream] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            try:
                return NetworkStream(await self._reach.connect(host, port, self._traffic), self)
            except Failed as error:
                raise httpcore.ConnectError(str(error)) from error
        raise httpcore.ConnectTimeout(f"no connection to {host}:{port} within {timeout:g} s")

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)
