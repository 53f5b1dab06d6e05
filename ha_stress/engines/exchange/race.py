"""Several addresses of one name, tried as in the fast engine: the next one gets its chance as soon as one refuses, or after
a moment, while those before it may still answer (RFC 8305); whichever connects first is taken.
"""

from __future__ import annotations

import socket

import trio

from ha_stress.engines import failures
from ha_stress.engines.exchange.reasons import Failed
from ha_stress.engines.resolve import NEXT_ADDRESS_S, NEXT_ADDRESS_SHARE, Address


class Race:
    """`sock` is the first connection, `behind` are the addresses that did not become it, `problem` is the latest one."""

    def __init__(self, name: str) -> None:
        self.sock: trio.socket.SocketType | None = None
        self.behind: list[Address] = []
        self.problem = Failed(failures.DNS, f"{name} has no address")
        self._name = name

    async def run(self, addresses: list[Address]) -> None:
        """Until one has connected, or all have refused. When this is cancelled nothing is left open."""
        try:
            if len(addresses) == 1:
                await self._attempt(addresses[0])
            else:
                await self._all(addresses)
        except BaseException:
            if self.sock is not None:
                self.sock.close()
            raise

    async def _all(self, addresses: list[Address]) -> None:
        left_s = max(0.0, trio.current_effective_deadline() - trio.current_time())
        async with trio.open_nursery() as nursery:
            for address in addresses:
                over = trio.Event()
                nursery.start_soon(self._contend, address, over, nursery.cancel_scope)
                with trio.move_on_after(min(NEXT_ADDRESS_S, NEXT_ADDRESS_SHARE * left_s)):
                    await over.wait()

    async def _contend(self, address: Address, over: trio.Event, race: trio.CancelScope) -> None:
        await self._attempt(address)
        over.set()
        if self.sock is not None:
            race.cancel()

    async def _attempt(self, address: Address) -> None:
        family, where = address
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await sock.connect(where)
        except OSError as error:
            self.problem = Failed(failures.kind_of(error, connected=False), f"{self._name}: {error}")
        else:
            if self.sock is None:
                self.sock = sock
                return
        finally:
            if self.sock is not sock:
                sock.close()
                self.behind.append(address)
