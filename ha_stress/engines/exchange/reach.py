"""From a host's name to an open connection: resolved addresses, the allow-list, TLS, and the bytes counted.

Everything that an exchange engine connects to goes through here; what a scenario opens by itself with Python's sockets
does not.
"""

from __future__ import annotations

import socket
import ssl
from collections import OrderedDict
from functools import cache
from typing import Final

import trio

from ha_stress.base.limits import ENGINE_NAMES_MAX
from ha_stress.base.targets import AllowedTargets
from ha_stress.engines import failures
from ha_stress.engines.clock import now
from ha_stress.engines.exchange.race import Race
from ha_stress.engines.exchange.reasons import Failed
from ha_stress.engines.resolve import Address

#: As in the fast engine: addresses may change while a task runs, and a name server must not be hammered after a failure.
ADDRESSES_FRESH_S: Final = 30.0
LOOKUP_RETRY_S: Final = 1.0
RECEIVE_BYTES: Final = 65_536


class Traffic:
    """What went over the connections of a lane since its last report."""

    __slots__ = ("bytes_in", "bytes_out", "connected", "retried")

    def __init__(self) -> None:
        self.bytes_in = self.bytes_out = self.connected = self.retried = 0


class Wire(trio.abc.Stream):
    """A connection whose bytes (before encryption) are counted."""

    def __init__(self, stream: trio.abc.Stream, sock: trio.socket.SocketType, traffic: Traffic) -> None:
        self.stream = stream
        self.sock = sock
        self.traffic = traffic

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)
        self.traffic.bytes_out += len(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self.stream.receive_some(max_bytes or RECEIVE_BYTES))
        self.traffic.bytes_in += len(data)
        return data

    async def aclose(self) -> None:
        await self.stream.aclose()

    @property
    def closed(self) -> bool:
        return self.sock.fileno() < 0

    def close(self) -> None:
        """At once and without a word: TLS says no goodbye."""
        self.sock.close()

    def pending(self) -> bytes | None:
        """What the other side has sent unasked, without waiting; None once it has closed. Plain connections only."""
        try:
            return _raw(self.sock).recv(RECEIVE_BYTES, socket.MSG_DONTWAIT) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def ended(self) -> bool:
        """Whether the other side has closed and nothing is left to read."""
        try:
            return not _raw(self.sock).recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True


def _raw(sock: trio.socket.SocketType) -> socket.socket:
    inner: socket.socket = sock._sock  # type: ignore[attr-defined]  # trio has no call that must not wait
    return inner


class Reach:
    """Opens connections to targets that may be loaded."""

    def __init__(self, allowed: AllowedTargets) -> None:
        self._allowed = allowed
        self._names: OrderedDict[tuple[str, int], tuple[float, list[Address]]] = OrderedDict()
        self._looking: dict[tuple[str, int], trio.Event] = {}

    async def connect(self, host: str, port: int, traffic: Traffic) -> Wire:
        """A connection to the first address that answers; `Failed` with the kind of the last problem otherwise."""
        race = Race(f"{host}:{port}")
        try:
            await race.run(await self._addresses(host, port))
        finally:
            self._demote(host, port, race.behind)
        if race.sock is None:
            raise race.problem
        traffic.connected += 1
        return Wire(trio.SocketStream(race.sock), race.sock, traffic)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """Those of the name that may be loaded; Failed if there are none."""
        found = await self._resolved(host, port)
        if not found:
            raise Failed(failures.DNS, f"{host} has no address")
        permitted = [one for one in found if self._allowed.permits(str(one[1][0]))]
        if not permitted:
            addresses = ", ".join(str(address[0]) for _, address in found)
            raise Failed(failures.NOT_ALLOWED, f"{host} ({addresses}) is not among the targets that may be loaded")
        return permitted

    async def _resolved(self, host: str, port: int) -> list[Address]:
        key = host, port
        while key in self._looking:
            await self._looking[key].wait()
        known = self._names.get(key)
        if known is not None and now() - known[0] < (ADDRESSES_FRESH_S if known[1] else LOOKUP_RETRY_S):
            return list(known[1])
        self._looking[key] = trio.Event()
        try:
            found = await _look_up(host, port)
        finally:
            self._looking.pop(key).set()
        if not found and known is not None:
            found = known[1]  # a name server that is away for a moment does not end a test
        self._names[key] = now(), found
        while len(self._names) > ENGINE_NAMES_MAX:
            self._names.popitem(last=False)
        return list(found)

    def _demote(self, host: str, port: int, behind: list[Address]) -> None:
        """Others are tried first from now on: these refuse, or are slower."""
        known = self._names.get((host, port))
        if known is not None and behind:
            known[1].sort(key=lambda address: address in behind)


async def _look_up(host: str, port: int) -> list[Address]:
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []  # the caller counts it as `dns`
    return [(int(family), tuple(address)) for family, _, _, _, address in found]


@cache
def client_tls(protocol: str = "") -> ssl.SSLContext:
    """The context of every TLS connection of this process that offers `protocol` (ALPN); made once, it takes 10 ms."""
    context = ssl.create_default_context()
    if protocol:
        context.set_alpn_protocols([protocol])
    return context


async def encrypt(wire: Wire, host: str, protocol: str = "") -> Wire:
    """The same connection in TLS; Failed if the handshake fails, or the target speaks another protocol."""
    stream = trio.SSLStream(wire.stream, client_tls(protocol), server_hostname=host, https_compatible=True)
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, OSError) as error:
        wire.close()
        raise Failed(failures.TLS, f"{host}: {error.__cause__ or error}") from error
    except BaseException:
        wire.close()
        raise
    if protocol and stream.selected_alpn_protocol() != protocol:
        wire.close()
        raise Failed(failures.PROTOCOL, f"{host} does not speak {protocol}")
    return Wire(stream, wire.sock, wire.traffic)
