"""A lane driven by hand, where the order of events decides; and the framing of the control protocol."""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from httptools import HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.base.targets import AllowedTargets
from ha_stress.engines import control
from ha_stress.engines.account import Account
from ha_stress.engines.answer import Answer
from ha_stress.engines.clock import now
from ha_stress.engines.connection import Connection
from ha_stress.engines.dial import Dial
from ha_stress.engines.http1 import HeadersOnly
from ha_stress.engines.lane import Lane
from ha_stress.engines.resolve import Resolver
from ha_stress.engines.stamps import Stamps
from ha_stress.tasks.checks import Check, Operator, Subject
from ha_stress.tasks.profile import Profile, Stage
from ha_stress.tasks.scenario import Feeder, Scenario
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.spec import HttpRequest
from tests.engine_support import part, raw_server, read_request, share

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Bench:
    """One lane and what the loop would give it."""

    def __init__(self, url: str, count: int, *, allow: Sequence[str] = ("loopback",), **more: object) -> None:
        self.epoll = select.epoll()
        self.handlers: dict[int, Callable[[int], None]] = {}
        self.lane = Lane(
            share(url, part(1000.0, count), **more),  # type: ignore[arg-type]
            engine=0,
            engines=1,
            started_s=0.0,
            parked={},
            epoll=self.epoll,
            handlers=self.handlers,
            resolver=Resolver(),
            stamps=Stamps(),
            allowed=AllowedTargets.parse(allow),
        )
        self.lane.update((part(1000.0, count),))

    @property
    def account(self) -> Account:
        return self.lane.accounts[1]

    @property
    def connections(self) -> list[Connection]:
        return [one for one in self.lane.connections if isinstance(one, Connection)]

    def fire(self, arrivals: int) -> None:
        """Send the arrivals with these many; they are due at 0, 1, 2, ... ms."""
        self.lane.fire(self.account, self.account.cursor.due_s + (arrivals - 0.5) / 1000)

    def poll_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline
            for descriptor, mask in self.epoll.poll(0.05):
                self.handlers[descriptor](mask)


def test_an_idle_connection_that_was_reset_is_replaced_and_the_request_goes_out_once() -> None:
    requests = []

    def serve(sock: socket.socket, number: int) -> None:
        while read_request(sock):
            requests.append(number)
            sock.sendall(OK)
            if number == 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return

    with raw_server(serve) as server:
        bench = Bench(server.url, 3)
        bench.fire(1)
        bench.poll_until(lambda: bench.account.completed == 1)
        stale = [connection.sock for connection in bench.connections]
        for sock in stale:  # the reset has arrived, and the loop has not looked yet
            watch = select.poll()
            watch.register(sock, select.POLLRDHUP)
            assert watch.poll(5000)
        bench.fire(2)
        bench.poll_until(lambda: bench.account.settled)
        assert (bench.account.started, bench.account.completed, dict(bench.account.failed)) == (3, 3, {})
        assert len(requests) == 3
        assert bench.account.retried == len(stale)
        assert set(requests[1:]) == set(range(2, server.connections + 1))


def test_an_idle_connection_that_the_target_closes_is_forgotten() -> None:
    def serve(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(OK)

    with raw_server(serve) as server:
        bench = Bench(server.url, 1)
        bench.fire(1)
        bench.poll_until(lambda: bench.account.settled and not bench.lane.connections)
        assert bench.lane.busy == 0
        assert bench.handlers == {}
        assert not bench.account.failed


def test_an_arrival_that_waits_for_its_connection_is_not_yet_in_the_books() -> None:
    with raw_server(lambda _sock, _number: None) as server:
        bench = Bench(server.url, 2)
        bench.fire(2)
        assert (bench.account.started, bench.account.waiting) == (0, 2)
        assert not bench.account.settled
        assert not bench.account.changed
        bench.lane.sweep(now() + 60)
        assert (bench.account.started, bench.account.waiting) == (2, 0)
        assert dict(bench.account.failed) == {"connect_timeout": 2}
        assert bench.account.settled


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """The engine's collector of garbage is off, so what refers to itself is never freed."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        kinds = Connection | Dial | Answer | HeadersOnly | HttpResponseParser | socket.socket | OSError
        assert [one for one in gc.garbage if isinstance(one, kinds)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


LONG = OK.replace(b": 0", b": 99999") + b"." * 99999
LEAVING: dict[str, tuple[bytes, str]] = {
    "kept": (OK, "GET"),
    "closed": (OK.replace(b"OK", b"OK\r\nConnection: close"), "GET"),
    "rubbish": (b"rubbish", "GET"),
    "nothing": (b"", "GET"),
    "in several pieces": (LONG, "GET"),
    "to a HEAD": (OK.replace(b": 0", b": 9"), "HEAD"),
    "the beginning of one to a HEAD": (b"HTTP/1.1 200 OK\r\n", "HEAD"),
    "informational only": (b"HTTP/1.1 103 Early Hints\r\n\r\n", "GET"),
}


@pytest.mark.parametrize("name", LEAVING)
def test_a_connection_that_is_closed_leaves_no_cycle_because_nobody_collects_them(name: str) -> None:
    answer, method = LEAVING[name]

    def serve(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            sock.sendall(answer)
            if name not in ("kept", "in several pieces"):
                return

    with raw_server(serve) as server, nothing_left():
        bench = Bench(server.url, 5, method=method)
        bench.fire(5)
        bench.poll_until(lambda: bench.account.settled)
        bench.lane.cancel()


def test_what_cannot_even_begin_to_connect_leaves_no_cycle_either() -> None:
    """Regression: an exception that was kept while the next address was tried referred to itself. 2 kB a request."""
    with nothing_left():
        bench = Bench("http://255.255.255.255/", 5, allow=("any",))
        bench.fire(5)
        assert bench.account.settled
        assert dict(bench.account.failed) == {"connect_unreachable": 5}


@pytest.mark.parametrize("lateness_s", [0.0, 0.5])
def test_a_request_sent_long_after_its_time_is_late_and_slow_in_response_but_not_in_service(lateness_s: float) -> None:
    def serve(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            sock.sendall(OK)

    with raw_server(serve) as server:
        bench = Bench(server.url, 2)
        bench.fire(1)  # due at 0 on a clock that shows the machine's uptime: as late as can be
        bench.poll_until(lambda: bench.account.completed == 1)
        (connection,) = bench.connections
        assert bench.account.late == 1
        bench.fire(1)
        connection.due_s = connection.sent_s - lateness_s
        bench.poll_until(lambda: bench.account.completed == 2)
        assert sum(bench.account.service.counts) == 2
        slow = sum(count for index, count in enumerate(bench.account.response.counts) if index > 10_000)
        assert slow >= (2 if lateness_s else 1)


messages = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(0, 9), st.binary(max_size=200)), max_size=3)


@given(sent=st.lists(messages, max_size=6), cut=st.integers(1, 50))
def test_control_messages_survive_any_fragmentation(sent: list[dict[str, object]], cut: int) -> None:
    data = b"".join(control.frame(message) for message in sent)
    deframer = control.Deframer()
    got = [message for at in range(0, len(data), cut) for message in deframer.feed(data[at : at + cut])]
    assert got == sent


def test_a_share_survives_the_control_protocol_with_every_field_set() -> None:
    request = HttpRequest(url="http://h/", headers=(("a", "b"),), body=b"\xff", body_blob="d", expect="e", weight=3)
    before = TaskShare(
        task="t",
        request=request,
        in_flight_max=7,
        started_at=1.5,
        parts=(part(1.5, None, slots=(0, 3), modulus=4), part(2, 7, profile=PROFILE, users=3, until_s=9.0)),
        mix=(HttpRequest(url="ws://h/", http2=True, method="PUT", timeout_s=3.0),),
        scenario=Scenario(name="s", source="pass", feeders=(Feeder(name="f", blob="d", rows=3, again=False),)),
        think_time_s=0.5,
        warm_up_s=2.0,
        checks=(
            Check(text="size < 9", subject=Subject.SIZE, operator=Operator.BELOW, value=9.0),
            Check(text="header a == b", subject=Subject.HEADER, argument="a", value="b"),
        ),
    )
    after = control.share_from_plain(next(control.Deframer().feed(control.frame(control.share_to_plain(before)))))
    assert after == before
    assert isinstance(after.checks[0].subject, Subject)
    hash(after)  # tuples all the way down


def test_a_plain_share_survives_the_control_protocol() -> None:
    before = share("http://h/", part(1.5, None))
    assert control.share_from_plain(control.share_to_plain(before)) == before


PROFILE = Profile(stages=(Stage(duration_s=1.0, begin=2.0, end=3.0),), sine_amplitude=1.0, poisson_seed=4)
