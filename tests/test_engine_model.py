"""What a share can ask of an engine beyond one request on a schedule: mixes, users, checks, warm-up, stored bodies."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from ha_stress.base.limits import CHECKED_BODY_BYTES_MAX
from ha_stress.engines import failures
from ha_stress.engines.checking import plain
from ha_stress.engines.users import UNCONNECTED_PAUSE_S, User, Users
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.ledger import Counters
from ha_stress.tasks.schedule import Part, TaskShare
from ha_stress.tasks.spec import HttpRequest
from tests.engine_support import raw_server, unused_port
from tests.engine_thread import EngineThread, arrivals, engine_thread, users

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineThread]:
    with engine_thread() as thread:
        yield thread


class Site:
    """Answers by path, and remembers what was asked; `busy_max` is the most that were asked at the same time."""

    def __init__(self, answer: Callable[[str, int], bytes] | bytes = OK + b"Content-Length: 2\r\n\r\nok") -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.heads: list[str] = []
        self.busy = self.busy_max = 0
        self.delay_s = 0.0

    def __call__(self, sock: socket.socket, _number: int) -> None:
        with sock.makefile("rb") as lines:
            while first := lines.readline().decode():
                headers = [first]
                while (line := lines.readline().decode()) not in ("\r\n", ""):
                    headers.append(line)
                length = next((int(h.split(":")[1]) for h in headers if h.lower().startswith("content-length")), 0)
                body = lines.read(length).decode()
                path = first.split()[1]
                with self._lock:
                    self.asked[path] += 1
                    number = sum(self.asked.values())
                    self.heads.append("".join(headers) + body)
                    self.busy += 1
                    self.busy_max = max(self.busy_max, self.busy)
                threading.Event().wait(self.delay_s)
                with self._lock:
                    self.busy -= 1
                sock.sendall(self._answer(path, number) if callable(self._answer) else self._answer)


def mixed(share: TaskShare, *urls: str, weights: tuple[int, ...]) -> TaskShare:
    requests = [HttpRequest(url=url, weight=weight) for url, weight in zip(urls, weights, strict=True)]
    return replace(share, request=requests[0], mix=tuple(requests[1:]))


# Several requests


def test_arrivals_send_the_requests_of_a_mix_in_proportion_each_to_its_own_origin(engine: EngineThread) -> None:
    one, two = Site(), Site()
    with raw_server(one) as first, raw_server(two) as second:
        share = mixed(
            arrivals(first.url, 60, rate=100), first.url + "a", second.url + "b", second.url + "c", weights=(1, 2, 3)
        )
        books = engine.run(share)
        assert (books.completed, books.failed) == (60, {})
        assert (one.asked, two.asked) == ({"/a": 10}, {"/b": 20, "/c": 30})
        assert books.connected == first.connections + second.connections < 60


def test_the_number_of_an_arrival_decides_whatever_part_of_the_task_it_is_in(engine: EngineThread) -> None:
    site = Site()
    with raw_server(site) as server:
        share = mixed(arrivals(server.url, 1), server.url + "0", server.url + "1", server.url + "2", weights=(1, 1, 1))
        odd = replace(share.parts[0], base=4, modulus=3, slots=(1,), limit=12)  # numbers 5, 8, 11, 14
        engine.run(replace(share, parts=(odd,)))
        assert site.asked == {"/2": 4}


def test_the_in_flight_limit_is_one_for_all_requests_of_a_task(engine: EngineThread) -> None:
    one, two = Site(), Site()
    one.delay_s = two.delay_s = 0.3
    with raw_server(one) as first, raw_server(two) as second:
        share = mixed(arrivals(first.url, 20, rate=1000), first.url, second.url, weights=(1, 1))
        books = engine.run(replace(share, in_flight_max=6))
        assert (books.started, books.dropped) == (6, 14)
        assert one.busy_max + two.busy_max == 6


def test_an_idle_connection_makes_room_for_one_to_another_origin(engine: EngineThread) -> None:
    one, two = Site(), Site()
    with raw_server(one) as first, raw_server(two) as second:
        share = mixed(arrivals(first.url, 20, rate=20), first.url, second.url, weights=(1, 1))
        books = engine.run(replace(share, in_flight_max=1))
        assert books.completed + books.dropped == 20
        assert books.completed >= 5  # on a machine that has time, 20
        assert max(one.busy_max, two.busy_max) == 1


# Users


def run_until(engine: EngineThread, share: TaskShare, enough: Callable[[], bool], within_s: float = 15.0) -> Counters:
    """The books of users who go on until there is enough, however long a slow machine takes for that."""
    engine.reports.clear()
    engine.apply(share)
    deadline = time.monotonic() + within_s
    while not enough():
        assert time.monotonic() < deadline, engine.books()
        engine.read()
    ended = replace(share.parts[0], limit=0, until_s=time.time() - share.started_at)
    engine.until_idle(engine.apply(replace(share, parts=(ended,))), within_s)
    return engine.books()


def test_each_user_asks_again_after_its_answer_until_the_end_and_is_then_counted_as_closed(
    engine: EngineThread,
) -> None:
    site = Site()
    site.delay_s = 0.002
    with raw_server(site) as server:
        books = run_until(engine, users(server.url, 3, None), lambda: sum(site.asked.values()) > 30)
        assert (books.closed, books.connected, books.dropped, books.late) == (3, 3, 0, 0)
        assert books.completed == books.started == sum(site.asked.values()) > 30
        assert site.busy_max == 3
        assert engine.recorded("response_us") == engine.recorded("service_us") == books.completed


def test_users_think_between_an_answer_and_the_next_request(engine: EngineThread) -> None:
    moments: list[float] = []

    def answer(_path: str, _number: int) -> bytes:
        moments.append(time.monotonic())
        return OK + b"Content-Length: 0\r\n\r\n"

    with raw_server(Site(answer)) as server:
        books = run_until(engine, users(server.url, 1, None, share={"think_time_s": 0.2}), lambda: len(moments) >= 3)
        assert (books.closed, books.completed, books.connected) == (1, len(moments), 1)
    assert all(after - before > 0.19 for before, after in pairwise(moments))


def test_users_are_stopped_by_a_later_word_and_those_who_think_stop_at_once(engine: EngineThread) -> None:
    with raw_server(Site()) as server:
        share = users(server.url, 5, None, share={"think_time_s": 60.0})
        engine.reports.clear()
        engine.apply(share)
        while server.connections < 5:
            engine.read()
        ended = replace(share.parts[0], limit=0, until_s=time.time() - share.started_at)
        engine.until_idle(engine.apply(replace(share, parts=(ended,))), 5)
        books = engine.books()
        assert (books.completed, books.closed) == (5, 5)


def test_users_who_are_taken_away_go_on_when_they_come_back_and_close_once(engine: EngineThread) -> None:
    site = Site()
    with raw_server(site) as server:
        share = users(server.url, 2, 1.0)
        engine.reports.clear()
        engine.apply(share)
        while sum(site.asked.values()) < 10:
            engine.read()
        engine.until_idle(engine.apply())
        assert engine.books().closed == 0
        asked = sum(site.asked.values())
        engine.until_idle(engine.apply(share))
        books = engine.books()
        assert books.closed == 2
        assert books.under_way == 0
        assert set(books.failed) <= {failures.CANCELLED}
        assert sum(site.asked.values()) > asked + 10


def test_users_that_cannot_connect_do_not_ask_as_fast_as_they_can(engine: EngineThread) -> None:
    books = engine.run(users(f"http://127.0.0.1:{unused_port()}/", 2, 1.2))
    assert books.closed == 2
    assert 2 <= books.failed[failures.CONNECT_REFUSED] <= 2 * (1.2 / UNCONNECTED_PAUSE_S + 1)


def test_the_users_of_a_node_are_divided_among_its_engines_and_take_turns_by_their_numbers() -> None:
    site = Site()
    with engine_thread(engine=1, engines=2) as second, raw_server(site) as server:
        share = users(server.url, 5, 1.2, share={"think_time_s": 60.0})
        share = mixed(share, *(f"{server.url}{n}" for n in range(5)), weights=(1,) * 5)
        books = second.run(share)
        assert (books.closed, site.asked) == (2, {"/1": 1, "/3": 1})


def test_a_user_goes_through_the_mix_in_turn(engine: EngineThread) -> None:
    site = Site()
    with raw_server(site) as server:
        share = mixed(users(server.url, 1, None), server.url + "a", server.url + "b", weights=(1, 1))
        run_until(engine, share, lambda: site.asked["/b"] > 3)
        assert abs(site.asked["/a"] - site.asked["/b"]) <= 1
        assert site.asked["/b"] > 3


def test_a_user_whose_connection_is_closed_after_each_answer_goes_on(engine: EngineThread) -> None:
    with raw_server(Site(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")) as server:
        books = run_until(engine, users(server.url, 2, None), lambda: server.connections > 7)
        assert books.closed == 2
        assert books.completed == books.connected > 5


def part_of(count: int, until_s: float | None = None) -> Part:
    slots = tuple(range(count))
    return Part(revision=1, at_s=1, rate=0, modulus=count, slots=slots, limit=None, users=count, until_s=until_s)


def test_users_begin_at_their_time_and_are_exhausted_only_when_all_have_stopped() -> None:
    some = Users(part_of(3), engine=0, engines=1, started_s=10.0, think_s=2.0)
    assert some.due_s == 11.0
    assert some.take(10.9, 9) == []
    first: list[User] = some.take(11.0, 2)
    assert [user.number for user in first] == [0, 1]
    some.answered(first[0], 12.0)
    assert (some.due_s, [user.number for user in some.take(12.0, 9)]) == (11.0, [2])
    assert some.due_s == 14.0
    some.stop_at(13.0)
    assert some.due_s == 13.0
    assert (some.take(13.0, 9), some.exhausted) == ([], False)
    some.answered(first[1], 13.5)
    some.stop_at(99.0)  # what was said stays said
    assert not some.exhausted
    some.close_here()
    assert (some.due_s, some.exhausted) == (float("inf"), False)


def test_no_user_goes_on_by_itself_beyond_the_horizon() -> None:
    some = Users(part_of(1), engine=0, engines=1, started_s=10.0, think_s=0.0)
    some.go_on_until(20.0)
    assert some.horizon_s == 20.0
    some.stop_at(15.0)
    assert some.horizon_s == 15.0
    some.go_on_until(20.0)
    assert some.horizon_s == 15.0
    thinking = Users(part_of(1), engine=0, engines=1, started_s=10.0, think_s=1.0)
    thinking.go_on_until(20.0)
    assert thinking.horizon_s < 0


# Checks and statistics


def test_without_a_check_of_the_status_an_error_status_is_wrong(engine: EngineThread) -> None:
    statuses = [b"200 OK", b"301 Moved", b"404 Not Found", b"503 Unavailable"]
    site = Site(lambda _, number: b"HTTP/1.1 " + statuses[number % 4] + b"\r\nContent-Length: 0\r\n\r\n")
    with raw_server(site) as server:
        books = engine.run(arrivals(server.url, 8, rate=100))
        assert (books.completed, books.wrong, books.checks) == (8, 4, {"status<400": 4})
        share = replace(arrivals(server.url, 8, rate=100), checks=(parse_check("status in 404,503"),))
        books = engine.run(share)
        assert (books.completed, books.wrong, books.checks) == (8, 4, {"status in 404,503": 4})


@pytest.mark.parametrize("chunked", [False, True])
def test_checks_look_at_headers_and_body_of_every_answer(engine: EngineThread, chunked: bool) -> None:
    def answer(_path: str, number: int) -> bytes:
        body = b'{"n": %d}' % (number % 5)
        head = OK + b"X-Even: %s\r\n" % (b"no" if number % 2 else b"yes")
        if chunked:
            return b"HTTP/1.1 100 C\r\nX-Even: yes\r\n\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
                head,
                len(body),
                body,
            )
        return b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)

    texts = ["header x-even == yes", "json $.n != 4", "body matches n.*[0-3]", "size == 8", "latency < 60s"]
    with raw_server(Site(answer)) as server:
        share = replace(arrivals(server.url, 20, rate=100), checks=tuple(parse_check(text) for text in texts))
        books = engine.run(share)
        assert books.completed == 20
        assert books.checks == {"header x-even == yes": 10, "json $.n != 4": 4, "body matches n.*[0-3]": 4}
        assert books.wrong == 12  # 10 odd ones, and of the 4 others 2 are even


def test_an_answer_that_was_right_before_is_right_again_and_another_one_is_looked_at(engine: EngineThread) -> None:
    good, bad = OK + b"Content-Length: 2\r\n\r\nok", OK + b"Content-Length: 2\r\n\r\nko"
    site = Site(lambda _, number: bad if number % 3 == 0 else good)
    with raw_server(site) as server:
        share = replace(arrivals(server.url, 30, rate=200), checks=(parse_check("body contains ok"),))
        books = engine.run(share)
        assert (books.wrong, books.checks) == (10, {"body contains ok": 10})


def test_of_a_long_body_the_beginning_is_looked_at_and_all_of_it_is_counted(engine: EngineThread) -> None:
    size = CHECKED_BODY_BYTES_MAX + 500_000
    body = b"begin" + b"." * (size - 8) + b"end"
    with raw_server(Site(OK + b"Content-Length: %d\r\n\r\n" % size + body)) as server:
        texts = [f"size == {size}", "body contains begin", "body contains end"]
        share = replace(arrivals(server.url, 2, rate=20), checks=tuple(parse_check(text) for text in texts))
        books = engine.run(share)
        assert (books.wrong, books.checks) == (2, {"body contains end": 2})
        assert books.bytes_in > 2 * size


@pytest.mark.parametrize(
    ("coding", "code"),
    [("gzip", gzip.compress), ("Deflate", zlib.compress), ("deflate", lambda data: zlib.compress(data)[2:-4])],
)
def test_checks_see_a_body_without_its_coding_and_its_size_as_it_was_transferred(
    engine: EngineThread, coding: str, code: Callable[[bytes], bytes]
) -> None:
    body = code(b'{"said": "' + b"hello " * 100 + b'"}')
    head = OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    texts = ["body contains hello hello", "json $.said exists", f"size == {len(body)}", "body contains goodbye"]
    with raw_server(Site(head + body)) as server:
        books = engine.run(replace(arrivals(server.url, 3), checks=tuple(parse_check(text) for text in texts)))
        assert (books.completed, books.checks) == (3, {"body contains goodbye": 3})


def test_an_answer_of_nothing_that_is_compressed_ends_no_engine(engine: EngineThread) -> None:
    body = gzip.compress(b"")
    with raw_server(Site(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)) as server:
        books = engine.run(replace(arrivals(server.url, 3), checks=(parse_check("json $.ok exists"),)))
        assert (books.completed, books.checks) == (3, {"json $.ok exists": 3})


def test_a_body_is_looked_at_as_it_is_if_its_coding_is_broken_and_no_further_than_is_kept() -> None:
    said = [(b"Content-Encoding", b"gzip")]
    assert plain(said, b"rubbish") == b"rubbish"
    assert plain([(b"content-encoding", b"br")], b"xyz") == b"xyz"
    bomb = gzip.compress(bytes(20 * CHECKED_BODY_BYTES_MAX))
    assert len(bytes(plain(said, bomb))) == CHECKED_BODY_BYTES_MAX


def test_checks_of_an_answer_to_a_head_see_its_headers(engine: EngineThread) -> None:
    with raw_server(Site(OK + b"ETag: x\r\nContent-Length: 9\r\n\r\n")) as server:
        checks = (parse_check("header etag == x"), parse_check("header x exists"))
        books = engine.run(replace(arrivals(server.url, 3, method="HEAD"), checks=checks))
        assert (books.completed, books.checks) == (3, {"header x exists": 3})


def test_what_is_due_in_the_warm_up_is_in_the_books_but_not_in_the_histograms(engine: EngineThread) -> None:
    with raw_server(Site()) as server:
        books = engine.run(replace(arrivals(server.url, 40, rate=100), warm_up_s=0.1995))
        assert books.completed == 40
        assert engine.recorded("response_us") == engine.recorded("service_us") == 20


def test_every_request_names_its_task_whatever_headers_it_brings(engine: EngineThread) -> None:
    site = Site()
    with raw_server(site) as server:
        mine = (("User-Agent", "mine"), ("x-ha-stress-task", "another"))
        share = arrivals(server.url, 1, headers=mine, method="POST", body=b"abc")
        books = engine.run(share)
        assert f"\r\nX-HA-Stress-Task: {share.task}\r\n" in site.heads[0]
        assert "another" not in site.heads[0]
        assert "User-Agent: mine\r\n" in site.heads[0]
        assert site.heads[0].count("User-Agent") == 1
        assert site.heads[0].endswith("abc")
        assert books.bytes_out == len(site.heads[0]) + 2  # the empty line
        assert books.cpu_us > 0


def test_a_stored_body_is_sent_and_one_that_is_not_there_is_no_data(engine: EngineThread) -> None:
    site = Site()
    with raw_server(site) as server:
        there = arrivals(server.url, 2, method="POST", body_blob="d1")
        engine.reports.clear()
        engine.until_idle(engine.apply(there, blobs={"d1": b"stored"}))
        assert engine.books().completed == 2
        assert site.heads[0].endswith("Content-Length: 6\r\nstored")
        assert engine.run(arrivals(server.url, 2, method="POST", body_blob="d2")).failed == {failures.NO_DATA: 2}
