"""What belongs to the warm-up is decided by when it was due, whatever becomes of it and whenever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.engines.account import Account
from ha_stress.engines.pacing import Cursor
from ha_stress.engines.users import Users
from ha_stress.engines.warm_up import WarmUp
from ha_stress.tasks.ledger import Counters, add
from ha_stress.tasks.schedule import Part
from tests.engine_support import raw_server, read_request
from tests.engine_thread import EngineThread, arrivals, engine_thread, users

STARTED_S = 50.0


def cursor(rate: float, limit: int | None) -> Cursor:
    part = Part(revision=1, at_s=0.0, rate=rate, modulus=1, slots=(0,), limit=limit)
    return Cursor(part, engine=0, engines=1, started_s=STARTED_S)


@given(
    rate=st.floats(0.5, 500.0),
    warm_up_s=st.floats(0.01, 3.0),
    looks=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=30),
    most=st.integers(1, 50),
)
def test_each_arrival_is_counted_where_it_was_due_however_late_it_is_taken(
    rate: float, warm_up_s: float, looks: list[float], most: int
) -> None:
    source = cursor(rate, None)
    warm_up = WarmUp(STARTED_S + warm_up_s)
    accounts = {1: Account("t", 1, source, measured=warm_up.over_for(source, STARTED_S))}
    taken: dict[bool, list[float]] = {False: [], True: []}
    moment = STARTED_S
    for pause_s in looks:
        moment += pause_s
        for _ in range(200):
            if moment >= warm_up.until_s:
                warm_up.end(accounts, moment)
            account = accounts[1]
            due = list(source.take(warm_up.due_by(account, moment), most))
            taken[account.measured] += due
            if not due:
                break
    assert all(due_s < warm_up.until_s for due_s in taken[False])
    assert all(due_s >= warm_up.until_s for due_s in taken[True])
    fresh = cursor(rate, None)
    assert taken[False] + taken[True] == list(fresh.take(source.due_s - 1e-9, 1_000_000))


def test_an_account_of_the_warm_up_stays_until_all_of_it_is_answered() -> None:
    source = cursor(10.0, 20)
    warm_up = WarmUp(STARTED_S + 1.0)
    before = Account("t", 1, source, measured=False, names=("a", "b"))
    accounts = {1: before}
    assert warm_up.ends_s(accounts) == STARTED_S + 1.0
    before.tallies[1].started += 1
    list(source.take(STARTED_S + 0.95, 100))
    assert warm_up.end(accounts, STARTED_S + 1.0)
    assert not warm_up.end(accounts, STARTED_S + 1.0)
    assert accounts[1].measured and accounts[1] is not before
    assert warm_up.ends_s(accounts) == inf
    assert (before.cut(0, 1)["warm_up"], accounts[1].cut(0, 1)["warm_up"]) == (True, False)
    assert warm_up.settled() == []
    before.tallies[1].failed["timeout"] += 1
    assert warm_up.settled() == [before]
    assert warm_up.ending == []


def test_users_are_behind_the_warm_up_as_soon_as_the_time_is() -> None:
    part = Part(revision=1, at_s=0.0, rate=0.0, modulus=3, slots=(0, 1, 2), limit=None, users=3)
    source = Users(part, engine=0, engines=1, started_s=STARTED_S, think_s=9.0)
    warm_up = WarmUp(STARTED_S + 1.0)
    source.account = before = Account("t", 1, source, measured=False, closed_model=True)
    accounts = {1: before}
    assert not warm_up.end(accounts, STARTED_S + 0.99)
    assert warm_up.end(accounts, STARTED_S + 1.0)
    assert source.account is accounts[1] is not before


def answering_once_open(opened: threading.Event) -> Callable[[socket.socket, int], None]:
    """A server that stands still until then."""

    def serve(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            opened.wait(5)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    return serve


def parted(engine: EngineThread) -> tuple[Counters, Counters]:
    """What was due in the warm-up, and what behind it."""
    parts: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for report in engine.reports:
        parts[report["warm_up"]].append(report["counters"])
    warm_up, rest = (add(Counters(**counters) for counters in parts[key]) for key in (True, False))
    return warm_up, rest


@pytest.mark.parametrize("mixed", [False, True])
def test_what_fails_after_the_warm_up_and_was_due_in_it_is_of_the_warm_up(*, mixed: bool) -> None:
    opened, mute = threading.Event(), threading.Event()
    opened.set()

    def mute_at_first(sock: socket.socket, number: int) -> None:
        answering_once_open(mute if number <= 5 else opened)(sock, number)

    with raw_server(mute_at_first) as server, engine_thread() as engine:
        share = replace(arrivals(server.url, 40, rate=100.0, timeout_s=0.2), warm_up_s=0.1995)
        if mixed:
            share = replace(share, mix=(replace(share.request, method="HEAD"),))
        books = engine.run(share)
        mute.set()
        warm_up, rest = parted(engine)
        assert (warm_up.started, rest.started, books.started) == (20, 20, 40)
        assert warm_up.under_way == rest.under_way == 0
        assert warm_up.failed["timeout"] >= 1 and books.completed >= 1


def test_users_change_over_at_the_end_of_the_warm_up_without_a_pause() -> None:
    opened = threading.Event()
    opened.set()
    with raw_server(answering_once_open(opened)) as server, engine_thread() as engine:
        engine.run(replace(users(server.url, 3, 2.0), warm_up_s=1.0))
        warm_up, rest = parted(engine)
        assert warm_up.closed == 0 and rest.closed == 3
        assert warm_up.under_way == rest.under_way == 0
        assert warm_up.completed > 10 and rest.completed > 10
        assert engine.recorded("service_us") == rest.completed


def test_a_task_taken_away_in_its_warm_up_has_all_of_its_arrivals_in_the_books() -> None:
    opened = threading.Event()
    with raw_server(answering_once_open(opened)) as server, engine_thread() as engine:
        engine.apply(replace(arrivals(server.url, 30, rate=100.0, timeout_s=5.0), warm_up_s=0.1))
        while engine.books().started < 15:
            engine.read()
        engine.until_idle(engine.apply())
        opened.set()
        warm_up, rest = parted(engine)
        assert warm_up.failed == {"cancelled": 10}
        assert warm_up.under_way == rest.under_way == 0
