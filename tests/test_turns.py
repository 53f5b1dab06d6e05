"""Whose turn it is: mixes keep their proportions, and no row of a file is used twice."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ha_stress.tasks.scenario import Feeder
from ha_stress.tasks.turns import number_of_user, row_of, turns


def test_requests_take_turns_in_proportion_to_their_weights() -> None:
    assert turns([1]) == [0]
    assert turns([50, 50]) == [0, 1]
    assert turns([10, 20, 50]) == [2, 1, 2, 0, 2, 2, 1, 2]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_in_one_round_everybody_has_his_weight(weights: list[int]) -> None:
    table = turns(weights)
    counts = Counter(table)
    assert all(counts[i] * sum(weights) == weight * len(table) for i, weight in enumerate(weights))


def test_rows_begin_again_or_run_out() -> None:
    again, once = (Feeder(name="f", blob="b", rows=3, again=again) for again in (True, False))
    assert [row_of(again, number) for number in range(5)] == [0, 1, 2, 0, 1]
    assert [row_of(once, number) for number in range(5)] == [0, 1, 2, None, None]
    assert row_of(Feeder(name="f", blob="b", rows=0), 0) is None


@given(st.integers(1, 20), st.integers(1, 20))
def test_no_two_users_ever_use_the_same_row(users: int, iterations: int) -> None:
    numbers = [number_of_user(user, users, turn) for user in range(users) for turn in range(iterations)]
    assert sorted(numbers) == list(range(users * iterations))
