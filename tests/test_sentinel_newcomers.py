"""A process that was started again is watched from its first words on, not from the sentinel's next look around."""

from __future__ import annotations

import socket

import trio
import trio.testing

from ha_stress.base.config import Timing
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.server import serve_mesh
from ha_stress.wire.messages import Ping
from sentinel import effects as fx
from sentinel.probe import Lines, NodeProbe
from tests.playbook import FIRST


async def test_a_node_that_says_where_it_is_now_is_dialled_there_at_once() -> None:
    timing = Timing(ping_period_s=50.0, down_after_s=60.0, view_fresh_s=60.0)
    heard: list[fx.Happening] = []
    refused, connected = trio.Event(), trio.Event()

    async def take_in(connection: Connection) -> None:
        while True:
            await connection.receive()

    def feed(happening: fx.Happening) -> None:
        heard.append(happening)
        match happening:
            case fx.DialFailed():
                refused.set()
            case fx.NodeConnected():
                connected.set()

    def ping(number: int) -> Ping:
        return Ping(sender="s1", number=number, record=FIRST, voted_epoch=1, sentinels=3)

    with socket.socket() as taken:  # bound and not listening: who dials it is refused
        taken.bind(("127.0.0.1", 0))
        async with trio.open_nursery() as nursery:
            lines = Lines(timing, ping)
            nursery.start_soon(lines.run)
            probe = NodeProbe("n1", taken.getsockname(), secret="secret", timing=timing, lines=lines, feed=feed)
            nursery.start_soon(probe.run)
            port = await nursery.start(serve_mesh, "127.0.0.1", 0, "secret", take_in)
            with trio.fail_after(10):  # a fifth of the pause between two dials
                await refused.wait()
                await trio.testing.wait_all_tasks_blocked()
                probe.move_to(("127.0.0.1", port))
                await connected.wait()
            nursery.cancel_scope.cancel()
    assert heard[:2] == [fx.DialFailed("n1", True), fx.NodeConnected("n1")]
