"""An engine that stood still asks before it goes on, wherever in its loop it was stopped."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Any

import pytest

from ha_stress.engines import control
from ha_stress.engines.hold import STALL_S
from ha_stress.engines.loop import Loop, NodeGone
from ha_stress.tasks.schedule import Part

from .engine_support import part, share, target_process

USERS = part(0, None, users=3, modulus=3, slots=(0, 1, 2))


@pytest.mark.parametrize("what", [part(100, None), USERS], ids=["arrivals", "users"])
def test_a_stop_while_answers_are_read_is_found_before_anything_is_sent(what: Part) -> None:
    """Regression, found by chaos: stopped between its two looks at the clock, an engine sent all that had become due."""
    ours, theirs = socket.socketpair()
    stop, pull = os.pipe()
    loop = Loop(theirs, engine=0, engines=1)

    def standing_still(_mask: int) -> None:
        os.read(stop, 1)
        time.sleep(STALL_S + 0.5)

    def run() -> None:
        with contextlib.suppress(NodeGone):
            loop.run()

    loop._add(stop, standing_still)
    thread = threading.Thread(target=run)
    with target_process() as target, ours:
        thread.start()
        begun = share(target.url, what)
        ours.sendall(control.frame({"t": "apply", "n": 1, "shares": [control.share_to_plain(begun)]}))
        deadline = time.monotonic() + 10
        while target.counted() < 20:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.write(pull, b"x")
        assert "stalled" in kinds_until(ours, "stalled")
        held = target.counted()
        time.sleep(0.5)
        assert target.counted() == held
        ours.sendall(control.frame({"t": "go"}))
        while target.counted() < held + 100:
            assert time.monotonic() < deadline, "after `go` it makes up for what was due meanwhile"
            time.sleep(0.01)
    thread.join(5)
    assert not thread.is_alive()
    for descriptor in (stop, pull):
        os.close(descriptor)


class StoppedInItsReport(Loop):
    """Stands still once, as if it had been stopped, in the pass that cuts its first report."""

    stood = False

    def _tick(self) -> None:
        super()._tick()
        if not self.stood:
            self.stood = True
            time.sleep(STALL_S + 0.5)


def test_a_stop_in_the_middle_of_a_pass_is_found_before_anything_is_sent() -> None:
    """Regression: a second look at the clock after the work of a pass hid a stop during that work."""
    ours, theirs = socket.socketpair()
    loop = StoppedInItsReport(theirs, engine=0, engines=1)

    def run() -> None:
        with contextlib.suppress(NodeGone):
            loop.run()

    thread = threading.Thread(target=run)
    with target_process() as target, ours:
        thread.start()
        begun = share(target.url, part(100, None))
        ours.sendall(control.frame({"t": "apply", "n": 1, "shares": [control.share_to_plain(begun)]}))
        assert "report" in kinds_until(ours, "report")
        time.sleep(0.2)  # it stands still by now, and what it had sent has arrived
        held = target.counted()
        assert "stalled" in kinds_until(ours, "stalled")
        time.sleep(0.3)
        assert target.counted() == held
    thread.join(5)
    assert not thread.is_alive()


def test_an_engine_holds_while_its_node_is_silent_and_goes_on_when_told() -> None:
    """A node that was suspended alone: its share is given to others, of which neither it nor its engine can know."""
    ours, theirs = socket.socketpair()
    loop = Loop(theirs, engine=0, engines=1, silent_s=0.4)

    def run() -> None:
        with contextlib.suppress(NodeGone):
            loop.run()

    thread = threading.Thread(target=run)
    with target_process() as target, ours:
        thread.start()
        begun = share(target.url, part(100, None))
        ours.sendall(control.frame({"t": "apply", "n": 1, "shares": [control.share_to_plain(begun)]}))
        for _ in range(8):  # twice as long as it may be silent
            time.sleep(0.1)
            ours.sendall(control.frame({"t": "alive"}))
        assert "stalled" not in kinds_until(ours, "stalled", within_s=0.1)
        assert "stalled" in kinds_until(ours, "stalled")
        time.sleep(0.1)  # what was sent last has arrived
        held = target.counted()
        assert held
        time.sleep(0.5)
        assert target.counted() == held
        ours.sendall(control.frame({"t": "go"}))
        deadline = time.monotonic() + 10
        while target.counted() < held + 40:
            assert time.monotonic() < deadline, "after `go` it makes up for what was due meanwhile"
            time.sleep(0.01)
    thread.join(5)
    assert not thread.is_alive()


def kinds_until(sock: socket.socket, wanted: str, within_s: float = 5.0) -> list[str]:
    """The kinds of messages that an engine sends, up to the `wanted` one or the deadline."""
    deframer = control.Deframer()
    found: list[Any] = []
    sock.settimeout(0.1)
    deadline = time.monotonic() + within_s
    while wanted not in found and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            found += [message["t"] for message in deframer.feed(sock.recv(1 << 16))]
    return found
