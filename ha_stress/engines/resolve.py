"""Names to addresses without stopping the loop: a literal address at once, a name in a thread."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

#: (address family, what `connect` takes)
Address = tuple[int, tuple[object, ...]]

#: How long an address may take before the next one is tried too: what RFC 8305 recommends.
NEXT_ADDRESS_S: Final = 0.25
#: With a short timeout this part of it, so that the other addresses still get theirs.
NEXT_ADDRESS_SHARE: Final = 0.25


def literal(host: str, port: int) -> list[Address] | None:
    """The address that `host` spells out, or None if it is a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]
    return None


class Resolver:
    """Looks names up in threads, one per lookup; the answers are delivered by `deliver` in the loop, which is called
    when `descriptor` is readable. The caller has at most one lookup per lane under way."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._answers: deque[tuple[Callable[[list[Address]], None], list[Address]]] = deque()

    def look_up(self, host: str, port: int, answered: Callable[[list[Address]], None]) -> None:
        """Call `answered` from the loop later: with all addresses of the name, or with none if it has none."""
        threading.Thread(target=self._look_up, args=(host, port, answered), daemon=True, name="resolve").start()

    def _look_up(self, host: str, port: int, answered: Callable[[list[Address]], None]) -> None:
        found: list[Address] = []
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append((int(family), tuple(address)))
        except (OSError, UnicodeError):
            found = []  # the lane counts its arrivals as failed by `dns`
        self._answers.append((answered, found))
        os.eventfd_write(self.descriptor, 1)

    def deliver(self, _mask: int) -> None:
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return
        while self._answers:
            answered, found = self._answers.popleft()
            answered(found)

    def close(self) -> None:
        os.close(self.descriptor)
