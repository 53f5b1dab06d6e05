"""When bytes came, as the kernel saw it: an engine need not wake up for each answer to know how long it took.

While requests are sent on a schedule of more than a few a second, the engine sleeps until the next is due and reads the
answers then, each with the time at which the kernel received it (SO_TIMESTAMPNS): one wake-up a request instead of two,
which is most of what a request costs at such rates; and the wait for our own wake-up is no part of the target's latency.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from math import inf
from typing import Any, Final

from ha_stress.engines.clock import now

#: The longest sleep in which sockets are not watched; also how much later than otherwise the node is heard.
BLIND_S: Final = 0.005
#: After anything that may need the engine before its next arrival (a connection is made, an answer comes in parts, a send
#: is not taken whole) sockets are watched for so long.
WATCH_S: Final = 0.1
#: <asm-generic/socket.h>; Python does not name it.
_SO_TIMESTAMPNS: Final = 35
_TIMESPEC: Final = struct.Struct("qq")
_ANCILLARY_BYTES: Final = 64


class Stamps:
    """`offset_s` is the wall clock minus the engine's while answers that came during a blind sleep are read, else 0."""

    __slots__ = ("blind_from_s", "offset_s")

    def __init__(self) -> None:
        self.offset_s = 0.0
        self.blind_from_s = -inf

    def watch(self, moment: float) -> None:
        """No blind sleep for a while."""
        self.blind_from_s = moment + WATCH_S

    def receive(self, sock: Any, size: int) -> tuple[bytes, float]:
        """What there is to read, and when the last of it came. OSError as of `recv`."""
        data, stamps, _, _ = sock.recvmsg(size, _ANCILLARY_BYTES)
        moment = now()
        if stamps:
            seconds, nanoseconds = _TIMESPEC.unpack(stamps[0][2])
            came_s = seconds - self.offset_s + nanoseconds * 1e-9
            if came_s < moment:
                moment = came_s
        return data, moment


def enable(sock: socket.socket) -> None:
    """Have the kernel stamp what comes. Where it cannot, answers count as come when they are read."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
