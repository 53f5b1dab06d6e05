"""What came while the engine slept counts as come when the kernel had it, not when the engine looked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from ha_stress.engines import histogram, stamps
from ha_stress.engines.clock import now
from ha_stress.engines.stamps import Stamps
from tests.engine_support import part, raw_server, read_request, running_pool, share

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with closing(near), closing(far):
        stamps.enable(near)
        yield near, far


def test_what_is_read_late_has_come_when_the_kernel_had_it(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    one = Stamps()
    far.send(b"first")  # the kernel begins to stamp everything a moment after the first socket asks for it
    time.sleep(0.05)
    near.recv(100)
    began = now()
    far.send(b"answer")
    time.sleep(0.2)
    one.offset_s = time.time() - now()
    data, came_s = one.receive(near, 65_536)
    assert data == b"answer"
    assert began - 0.01 <= came_s < began + 0.15


def test_an_answer_is_never_from_the_future(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    one = Stamps()
    one.offset_s = time.time() - now() - 3_600  # the wall clock was set forward by an hour after the answer came
    far.send(b"answer")
    time.sleep(0.01)
    _, came_s = one.receive(near, 65_536)
    assert came_s <= now()


def test_after_anything_irregular_sockets_are_watched_for_a_while() -> None:
    one = Stamps()
    one.watch(10.0)
    assert 10.0 < one.blind_from_s < 11.0


async def test_a_slow_answer_is_as_slow_as_it_is_although_nobody_waits_for_it() -> None:
    def serve(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            threading.Event().wait(0.02)
            sock.sendall(ANSWER)

    with raw_server(serve) as server:
        async with running_pool() as rig:
            await rig.pool.apply([share(server.url, part(300, 300))])
            books = await rig.settled()
    assert books.completed == 300
    said = histogram.summary(histogram.merge(report.response_us for report in rig.reports), [10])
    assert said.min_us >= 19_000
    assert said.percentiles_us[10] < 60_000  # not the median: a machine that stood still makes half of them wait
