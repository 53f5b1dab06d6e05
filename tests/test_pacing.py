"""Arrivals: every one has one owner and one time, whatever is done to the limits."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.engines.pacing import Cursor
from ha_stress.tasks.arrivals import arrivals_of
from ha_stress.tasks.profile import Profile
from ha_stress.tasks.profile_text import parse_profile
from ha_stress.tasks.schedule import Part, due_before, owned_below, position_of


def parts(limit: int | None = None) -> st.SearchStrategy[Part]:
    return st.integers(1, 24).flatmap(
        lambda modulus: st.builds(
            Part,
            revision=st.just(1),
            at_s=st.sampled_from([0.0, 8.25]),
            rate=st.sampled_from([0.5, 3.0, 500.0, 12_345.6]),
            modulus=st.just(modulus),
            slots=st.sets(st.integers(0, modulus - 1), min_size=1).map(lambda s: tuple(sorted(s))),
            limit=st.just(limit),
        )
    )


def positions(part: Part, cursor: Cursor, started_s: float, now_s: float = inf) -> list[int]:
    taken = []
    while due := cursor.take(min(now_s, 1e12), 7):
        taken += [round((one - started_s - part.at_s) * part.rate) for one in due]
    return taken


@given(part=parts(limit=200), engines=st.integers(1, 5), started_s=st.sampled_from([0.0, 1000.0]))
def test_the_engines_of_a_holder_share_its_arrivals_without_gap_or_overlap(
    part: Part, engines: int, started_s: float
) -> None:
    count = owned_below(part.slots, part.modulus, 200)
    every: list[int] = []
    for engine in range(engines):
        cursor = Cursor(part, engine=engine, engines=engines, started_s=started_s)
        mine = positions(part, cursor, started_s)
        assert mine == [position_of(part.slots, part.modulus, o) for o in range(engine, count, engines)]
        assert cursor.exhausted
        every += mine
    assert sorted(every) == [position_of(part.slots, part.modulus, o) for o in range(count)]


@given(part=parts(), first=st.integers(0, 50), limits=st.lists(st.one_of(st.none(), st.integers(0, 120)), max_size=5))
def test_a_limit_only_falls_and_the_cursor_never_goes_back(part: Part, first: int, limits: list[int | None]) -> None:
    cursor = Cursor(part, engine=0, engines=1, started_s=0.0)
    taken = len(cursor.take(1e12, first))
    assert taken == first
    for limit in limits:
        cursor.close_at(limit)
    known = [limit for limit in limits if limit is not None]
    if not known:
        assert not cursor.exhausted
        return
    rest = positions(part, cursor, 0.0)
    assert taken + len(rest) == max(first, owned_below(part.slots, part.modulus, min(known)))
    assert cursor.exhausted


def test_the_first_arrival_is_due_at_the_start_and_not_one_period_later() -> None:
    cursor = Cursor(
        Part(revision=1, at_s=2, rate=10, modulus=1, slots=(0,), limit=3), engine=0, engines=1, started_s=100
    )
    assert cursor.due_s == 102
    assert cursor.take(101.9, 9) == []
    assert cursor.take(102.15, 9) == [102.0, 102.1]
    assert cursor.take(200, 9) == [102.2]
    assert cursor.due_s == inf


@pytest.mark.parametrize("more", [{"rate": 0.0, "slots": (0,)}, {"rate": 10.0, "slots": ()}])
def test_a_part_without_rate_or_slots_has_no_arrivals_and_is_exhausted_once_closed(more: dict[str, object]) -> None:
    part = Part(revision=1, at_s=0, modulus=4, limit=None, **more)  # type: ignore[arg-type]
    cursor = Cursor(part, engine=0, engines=1, started_s=0)
    assert cursor.take(1e12, 10) == []
    assert not cursor.exhausted
    cursor.close_at(100)
    assert cursor.exhausted


def test_a_revision_that_disappears_ends_where_it_is() -> None:
    cursor = Cursor(
        Part(revision=1, at_s=0, rate=10, modulus=1, slots=(0,), limit=None), engine=0, engines=1, started_s=0
    )
    assert len(cursor.take(0.55, 99)) == 6
    cursor.close_here()
    assert cursor.exhausted
    assert cursor.take(1e12, 99) == []


# --- under a profile ---

SHAPES = [
    parse_profile("stages 40@5s,0@2s,0@4s,80@4s,3@10s"),
    parse_profile("sine 0..70 every 7s"),
    Profile(poisson_seed=4),
    replace(parse_profile("ramp 60..0 in 20s"), poisson_seed=5),
]


def shaped(limit: int | None = None, base: int = 0) -> st.SearchStrategy[Part]:
    return st.builds(
        replace,
        parts(limit),
        profile=st.sampled_from(SHAPES),
        rate=st.just(30.0),
        origin_s=st.sampled_from([0.0, 3.5]),
        base=st.just(base),
    )


@given(
    part=shaped(limit=300, base=17),
    engines=st.integers(1, 4),
    most=st.sampled_from([1, 7, 500]),
    looks=st.lists(st.floats(0, 40), max_size=6).map(sorted),
)
def test_under_a_profile_each_arrival_of_a_holder_is_taken_once_and_when_it_is_due(
    part: Part, engines: int, most: int, looks: list[float]
) -> None:
    arrivals = arrivals_of(part.profile, part.rate)
    reached = min(300, due_before(part, 1e9))
    every: list[tuple[float, int]] = []
    for engine in range(engines):
        cursor = Cursor(part, engine=engine, engines=engines, started_s=100.0)
        for now_s in (*looks, 1e9):
            while some := cursor.take_numbered(now_s, most):
                assert all(due_s <= now_s for due_s, _ in some)
                assert len(some) <= most
                every += some
            assert cursor.due_s > now_s
        assert cursor.exhausted
    owned = [position for position in range(reached) if position % part.modulus in part.slots]
    assert sorted(number for _, number in every) == [17 + position for position in owned]
    for due_s, number in every:
        assert due_s == pytest.approx(100.0 + part.origin_s + arrivals.due_s(number))


@given(part=shaped(), first=st.integers(0, 300), limits=st.lists(st.integers(0, 400), min_size=1, max_size=4))
def test_under_a_profile_a_limit_only_falls_too(part: Part, first: int, limits: list[int]) -> None:
    cursor = Cursor(part, engine=0, engines=1, started_s=0.0)
    taken = len(cursor.take(1e9, first))
    for limit in limits:
        cursor.close_at(limit)
    rest = len(cursor.take(1e9, 10**6))
    assert taken + rest == max(taken, owned_below(part.slots, part.modulus, min(*limits, due_before(part, 1e9))))
    assert cursor.exhausted


def test_numbers_go_on_from_one_revision_to_the_next_at_a_constant_rate_too() -> None:
    part = Part(revision=2, at_s=5, rate=10, modulus=2, slots=(1,), limit=6, base=50)
    cursor = Cursor(part, engine=0, engines=1, started_s=0)
    assert cursor.take_numbered(5.35, 9) == [(5.1, 51), (5.3, 53)]
    assert cursor.take_numbered(9, 9) == [(5.5, 55)]
