"""Positions, ordinals and slots: everybody computes the same arrivals from the same data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.tasks.schedule import Holder, Revision, owned_below, planned, position_of, positions_before

A, B = Holder("a", "1"), Holder("b", "1")


@pytest.mark.parametrize(
    ("seconds", "rate", "count"),
    [(20.0, 500.0, 10_000), (0.1, 3.0, 1), (0.3, 10.0, 3), (1.0, 0.5, 1), (2.0, 0.5, 1), (2.1, 0.5, 2), (0.0, 9.0, 0)],
)
def test_positions_before_counts_the_arrivals_due_earlier(seconds: float, rate: float, count: int) -> None:
    assert positions_before(seconds, rate) == count


def test_there_is_nothing_before_the_beginning_or_at_rate_zero() -> None:
    assert positions_before(-1.0, 500.0) == 0
    assert positions_before(10.0, 0.0) == 0


slots = st.integers(1, 40).flatmap(
    lambda modulus: st.tuples(
        st.just(modulus), st.sets(st.integers(0, modulus - 1), min_size=1).map(lambda s: tuple(sorted(s)))
    )
)


@given(slots, st.integers(0, 500))
def test_ordinals_enumerate_exactly_the_owned_positions(shape: tuple[int, tuple[int, ...]], limit: int) -> None:
    modulus, mine = shape
    owned = [position for position in range(limit) if position % modulus in mine]
    assert owned_below(mine, modulus, limit) == len(owned)
    assert [position_of(mine, modulus, ordinal) for ordinal in range(len(owned))] == owned


def test_shares_add_up_to_the_revision() -> None:
    revision = Revision(number=1, at_s=0.0, rate=30.0, holders=(A, B), table=(0, 1, 0), limit=100)
    assert revision.slots_of(A) == (0, 2)
    assert revision.slots_of(Holder("a", "2")) == (), "a restarted process owns nothing"
    assert (planned(revision, A), planned(revision, B)) == (67, 33)
    assert revision.rate_of(A) + revision.rate_of(B) == pytest.approx(30.0)


def test_an_open_revision_has_no_planned_count() -> None:
    assert planned(Revision(number=1, at_s=0.0, rate=1.0, holders=(A,), table=(0,)), A) is None
