"""One engine process as its node sees it: what kind it is, and what it has not been told yet."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import trio

from ha_stress.engines import control
from ha_stress.tasks.protocols import is_plain_http
from ha_stress.tasks.schedule import TaskShare


class Kind(StrEnum):
    """Which engine a share is for."""

    FAST = "fast"  # HTTP/1.1 only, in one epoll
    EXCHANGE = "exchange"  # other protocols and scenarios, on trio


_MODULES: Final = {Kind.FAST: "ha_stress.engines.child", Kind.EXCHANGE: "ha_stress.engines.exchange.child"}


def kind_of(share: TaskShare) -> Kind:
    return Kind.FAST if is_plain_http(share) else Kind.EXCHANGE


class EngineProcess:
    """One engine process and what it has not been told yet: at most the newest desired state, the stored files that it
    names, a `go`, and that the node lives. An engine forgets the files that a state does not name, and so does this."""

    def __init__(self, kind: Kind, index: int, process: trio.Process, sock: trio.socket.SocketType) -> None:
        self.kind = kind
        self.index = index
        self.process = process
        self.sock = sock
        self.idle_after = 0
        self._has: frozenset[str] = frozenset()
        self._blobs: dict[str, bytes] = {}
        self._apply = b""
        self._go = False
        self._alive = False
        self._news = trio.Event()

    def tell_apply(self, packed: bytes, blobs: Mapping[str, bytes]) -> None:
        new = {digest: data for digest, data in blobs.items() if digest not in self._has}
        waiting = {digest: data for digest, data in self._blobs.items() if digest in blobs}
        self._blobs = waiting | new
        self._has = frozenset(blobs)
        self._apply = packed
        self._news.set()

    def tell_go(self) -> None:
        self._go = True
        self._news.set()

    def tell_alive(self) -> None:
        self._alive = True
        self._news.set()

    async def write(self) -> None:
        """Send what there is to tell: files, then the state that names them, then the go."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            blobs, self._blobs = self._blobs, {}
            apply, self._apply = self._apply, b""
            go, self._go = self._go, False
            alive, self._alive = self._alive, False
            try:
                for digest, data in blobs.items():
                    await self._send(control.frame({"t": "blob", "digest": digest, "data": data}))
                await self._send(apply)
                if go:
                    await self._send(control.frame({"t": "go"}))
                if alive:
                    await self._send(control.frame({"t": "alive"}))
            except OSError:
                return  # the engine has ended; its reader says so

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[await self.sock.send(view) :]

    async def receive(self) -> bytes:
        try:
            return await self.sock.recv(1 << 16)
        except OSError:
            return b""


async def start(kind: Kind, index: int, count: int, settings: Mapping[str, Any]) -> EngineProcess:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", _MODULES[kind], str(theirs.fileno()), str(index), str(count), json.dumps(settings)]
    try:
        process = await trio.lowlevel.open_process(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    return EngineProcess(kind, index, process, trio.socket.from_stdlib_socket(ours))
