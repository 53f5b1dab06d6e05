"""Setup and teardown of a scenario: one function of its file, run once, in a process of its own.

It is the author's code and may do anything, so it never runs in the process of a node. This is the node's side, the other
one is `errand_child`: nothing that only the author's code needs is loaded here.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

import trio

from ha_stress.base.limits import ERRAND_S_MAX
from ha_stress.engines import control
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.spec import HttpRequest

#: What the process may take beyond the author's time, to start and to answer.
_MARGIN_S: Final = 10.0
_CHILD: Final = "ha_stress.engines.exchange.errand_child"

Result = dict[str, str]


async def run_errand(
    scenario: Scenario,
    request: HttpRequest,
    name: str,
    *,
    settings: Mapping[str, Any],
    timeout_s: float = ERRAND_S_MAX,
) -> Result:
    """Run `setup` or `teardown` (`name`): {"data": what it returned, as JSON}, or {"problem": one sentence, "text": the
    traceback, if there is one}. `scenario.data` is what `teardown` is given. When this is cancelled the process ends."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    command = [sys.executable, "-m", _CHILD, str(theirs.fileno()), json.dumps(dict(settings))]
    asked = {
        "name": name,
        "timeout_s": timeout_s,
        "scenario": [scenario.name, scenario.source, scenario.data],
        "request": [request.url, list(request.headers), request.timeout_s, request.http2],
    }
    with trio.socket.from_stdlib_socket(ours) as sock:
        try:
            process = await trio.lowlevel.open_process(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        finally:
            theirs.close()
        try:
            with trio.move_on_after(timeout_s + _MARGIN_S):
                return await _converse(sock, control.frame(asked), name)
            return {"problem": f"{name} took longer than {timeout_s:g} s"}
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()


async def _converse(sock: trio.socket.SocketType, asked: bytes, name: str) -> Result:
    deframer = control.Deframer()
    try:
        view = memoryview(asked)
        while view:
            view = view[await sock.send(view) :]
        while data := await sock.recv(1 << 16):
            for message in deframer.feed(data):
                return {str(key): str(value) for key, value in message.items()}
    except OSError:
        pass  # it ended before it was done
    return {"problem": f"the process of {name} ended without an answer"}
