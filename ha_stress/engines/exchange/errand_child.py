"""The process of an errand (see `errand`): `python -m ha_stress.engines.exchange.errand_child FD SETTINGS_JSON`."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from inspect import signature
from typing import Any

import trio

from ha_stress.base.limits import COMPLAINT_CHARACTERS_MAX, SETUP_DATA_BYTES_MAX
from ha_stress.base.targets import DEFAULT, AllowedTargets
from ha_stress.engines import control
from ha_stress.engines.exchange.errand import Result
from ha_stress.engines.exchange.play import load
from ha_stress.engines.exchange.reach import Reach, Traffic
from ha_stress.engines.exchange.reasons import first_of, traceback_of, words_of
from ha_stress.engines.exchange.user import Guest, Session
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.spec import HttpRequest


def main(arguments: list[str]) -> int:
    sock = socket.socket(fileno=int(arguments[0]))
    settings = json.loads(arguments[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the node decides
    os.dup2(2, 1)  # what the author's code prints must not end up in the output of its node
    asked = _asked(sock)
    if asked is None:
        return 0
    sock.setblocking(False)
    trio.run(_serve, sock, asked, settings)
    return 0


def _asked(sock: socket.socket) -> dict[str, Any] | None:
    deframer = control.Deframer()
    while data := sock.recv(1 << 16):
        for message in deframer.feed(data):
            return message
    return None


async def _serve(sock: socket.socket, asked: dict[str, Any], settings: Mapping[str, Any]) -> None:
    async with trio.open_nursery() as nursery:
        control_sock = trio.socket.from_stdlib_socket(sock)
        nursery.start_soon(_watch, control_sock)
        packed = control.frame(await _answer(asked, settings, nursery))
        view = memoryview(packed)
        while view:
            view = view[await control_sock.send(view) :]
        os._exit(0)  # whatever the author's code has left running does not count


async def _watch(sock: trio.socket.SocketType) -> None:
    """The node is gone, or does not want it any more: end at once."""
    await sock.recv(1)
    os._exit(0)


async def _answer(asked: dict[str, Any], settings: Mapping[str, Any], nursery: trio.Nursery) -> Result:
    name, timeout_s = asked["name"], asked["timeout_s"]
    try:
        with trio.move_on_after(timeout_s):
            returned = await _call(asked, settings, nursery)
            return _result(name, returned)
        return {"problem": f"{name} took longer than {timeout_s:g} s"}
    except BaseException as error:  # noqa: BLE001  the author's code may raise anything
        first = first_of(error)
        text = traceback_of(error)[-COMPLAINT_CHARACTERS_MAX:]
        return {"problem": f"{name} raised {type(first).__name__}: {words_of(first)}"[:500], "text": text}


async def _call(asked: dict[str, Any], settings: Mapping[str, Any], nursery: trio.Nursery) -> Any:
    """The author's function; if it takes one argument more than it has to, that is a guest of the system under test."""
    scenario_name, source, data = asked["scenario"]
    url, headers, timeout_s, http2 = asked["request"]
    request = HttpRequest(url=url, headers=tuple(map(tuple, headers)), timeout_s=timeout_s, http2=http2)
    allowed = AllowedTargets.parse(settings.get("allow", DEFAULT))
    session = Session(request, Reach(allowed), Traffic(), nursery)
    function = load(Scenario(name=scenario_name, source=source))[asked["name"]]
    given: list[Any] = [] if asked["name"] == "setup" else [json.loads(data) if data else None]
    if len(signature(function).parameters) > len(given):
        given.append(Guest(session))
    returned = function(*given)
    return await returned if hasattr(returned, "__await__") else returned


def _result(name: str, returned: Any) -> Result:
    if name != "setup":
        return {"data": ""}
    try:
        text = json.dumps(returned, allow_nan=False)
    except (TypeError, ValueError) as error:
        return {"problem": f"setup returned what JSON cannot say: {error}"}
    if len(text) > SETUP_DATA_BYTES_MAX:
        return {"problem": f"setup returned {len(text)} bytes of JSON; {SETUP_DATA_BYTES_MAX} are allowed"}
    return {"data": text}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
