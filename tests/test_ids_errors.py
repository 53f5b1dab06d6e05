"""Identifiers and the tree of errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.base import errors
from ha_stress.base.config import NodeConfig, SentinelConfig
from ha_stress.base.errors import ConfigError, Fenced, HaStressError, Unavailable, UserError
from ha_stress.base.ids import check_name, new_incarnation, new_node_id, new_task_id

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def test_node_ids_do_not_collide() -> None:
    """The original's bug "node ids collided": it drew them from a small range, so two nodes took one key."""
    drawn = [new_node_id() for _ in range(2_000)]
    assert len(set(drawn)) == len(drawn)


def test_incarnations_do_not_repeat() -> None:
    drawn = [new_incarnation() for _ in range(2_000)]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("new", [new_node_id, new_task_id, new_incarnation])
def test_a_drawn_identifier_is_a_valid_name(new) -> None:  # type: ignore[no-untyped-def]
    assert all(check_name("id", identifier) == identifier for identifier in (new() for _ in range(100)))


@given(st.text(ALPHABET, min_size=1, max_size=1), st.text(ALPHABET + "._-", max_size=63))
def test_a_name_is_letters_digits_dots_underscores_and_dashes(first: str, rest: str) -> None:
    assert check_name("node", first + rest) == first + rest


@pytest.mark.parametrize("bad", ["", "-a", ".a", "a b", "a/b", "a:b", "a{b}", "a\n", "ä", "a" * 65, "a\0"])
def test_a_name_that_would_break_a_key_or_an_address_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="is not a valid name: use 1 to 64 letters"):
        check_name("node", bad)


@given(st.text(max_size=70))
def test_configuration_and_check_name_agree_on_what_a_name_is(name: str) -> None:
    try:
        check_name("node", name)
        valid = True
    except ConfigError:
        valid = False
    for model, rest in (
        (NodeConfig, {"database_url": "sqlite://"}),
        (SentinelConfig, {"members": (name,), "data_dir": "d"}),
    ):
        try:
            model.model_validate({"id": name, **rest})
            accepted = True
        except ValueError:
            accepted = False
        assert accepted == valid


def test_every_error_is_in_one_tree_and_says_when_it_is_raised() -> None:
    own = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, Exception)]
    assert len(own) >= 11
    assert all(issubclass(cls, HaStressError) and cls.__doc__ for cls in own)


def test_blame_is_told_by_the_branch() -> None:
    assert issubclass(errors.NotFound, UserError) and issubclass(errors.Conflict, UserError)
    for cls in (errors.BusUnavailable, errors.StoreUnavailable, errors.MeshUnavailable):
        assert issubclass(cls, Unavailable) and not issubclass(cls, UserError)


def test_fenced_names_both_epochs() -> None:
    error = Fenced(3, 5, "assignment")
    assert (error.mine, error.newest) == (3, 5)
    assert str(error) == "assignment under epoch 3 was refused: epoch 5 has begun"
