"""What an operator may ask for: each function gives the next record, or says why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ha_stress.base.errors import Conflict
from ha_stress.base.limits import SENTINELS_MAX, TAGGED_NODES_MAX
from ha_stress.cluster.controls import (
    NO_CONTROLS,
    Controls,
    Membership,
    Tags,
    add_sentinel,
    ask_switchover,
    newer_controls,
    pause,
    remove_sentinel,
    resume,
    tag,
    withdraw_switchover,
)
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import SentinelInfo

RECORD = Mastership(epoch=3, node="n1", incarnation="i1")
THREE = ("s1", "s2", "s3")


def info(name: str, members: tuple[str, ...] = THREE, version: int = 0, voted: int = 0) -> SentinelInfo:
    return SentinelInfo(
        id=name,
        incarnation="i",
        mesh_host="h",
        mesh_port=1,
        epoch=3,
        members=members,
        members_version=version,
        voted_epoch=voted,
    )


def with_members(*members: str, version: int = 1) -> Controls:
    return Controls(revision=5, membership=Membership(version=version, members=members))


def test_the_higher_revision_is_the_truth_wherever_it_came_from() -> None:
    paused = pause(NO_CONTROLS, "why")
    assert newer_controls(NO_CONTROLS, paused) is newer_controls(paused, NO_CONTROLS) is paused
    other = pause(NO_CONTROLS, "another")
    assert newer_controls(paused, other) is other, "of equals the one that Redis has, so that all follow the same"


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_wish_made_to_a_redis_that_lost_a_change_of_members_does_not_take_it_back(lost: int) -> None:
    """Regression, found by the simulation (seed 502,431): pause and resume, asked of a Redis that had lost two changes, got
    the revision that the sentinels knew; {s1, s2} of the one membership and {s3, s4} of the other need no common voter."""
    before = replace(with_members("s1", "s3", "s4", version=12), revision=38)
    known = replace(with_members("s1", "s2", "s4", version=14), revision=40)
    stored = before
    for _ in range(lost):
        stored = pause(stored, "why")
    newest = newer_controls(known, stored)
    assert newest.membership == known.membership
    assert newest.paused is (stored.revision >= known.revision)
    assert newest.revision >= known.revision and (newest is known or newest.revision > stored.revision)
    assert newer_controls(known, newest) == newer_controls(newest, stored) == newest, "and there it ends"


def test_every_change_is_a_revision_of_its_own() -> None:
    controls = NO_CONTROLS
    changes: tuple[Callable[[Controls], Controls], ...] = (
        lambda c: pause(c, "why"),
        resume,
        lambda c: ask_switchover(c, RECORD, "n2"),
        withdraw_switchover,
        lambda c: tag(c, "n1", Tags(draining=True)),
    )
    for number, change in enumerate(changes, start=1):
        controls = change(controls)
        assert controls.revision == number


def test_a_pause_keeps_its_reason_until_it_is_over() -> None:
    paused = pause(NO_CONTROLS, "the switch is replaced")
    assert (paused.paused, paused.pause_why) == (True, "the switch is replaced")
    assert (resume(paused).paused, resume(paused).pause_why) == (False, "")


def test_a_wish_is_void_as_soon_as_the_epoch_is_another_one() -> None:
    asked = ask_switchover(NO_CONTROLS, RECORD, "n2")
    wish = asked.switchover_at(3)
    assert wish is not None and (wish.to, wish.asked) == ("n2", asked.revision)
    assert asked.switchover_at(4) is None and asked.switchover_at(2) is None
    assert withdraw_switchover(asked).switchover_at(3) is None


def test_two_wishes_are_never_the_same() -> None:
    first = ask_switchover(NO_CONTROLS, RECORD, "n2")
    again = ask_switchover(withdraw_switchover(first), RECORD, "n2")
    assert first.switchover != again.switchover


def test_there_must_be_a_master_and_another_target() -> None:
    with pytest.raises(Conflict, match="no master yet"):
        ask_switchover(NO_CONTROLS, NOBODY, "")
    with pytest.raises(Conflict, match="n1 is the master already"):
        ask_switchover(NO_CONTROLS, RECORD, "n1")


def test_tags_that_say_nothing_are_removed() -> None:
    tagged = tag(NO_CONTROLS, "n2", Tags(priority=0))
    assert tagged.tags == {"n2": Tags(priority=0)}
    assert tag(tagged, "n2", Tags()).tags == {}
    assert tag(tagged, "n3", Tags()).tags == tagged.tags


def test_tags_have_a_bound() -> None:
    full = replace(NO_CONTROLS, tags={f"n{number}": Tags(draining=True) for number in range(TAGGED_NODES_MAX)})
    with pytest.raises(Conflict, match=str(TAGGED_NODES_MAX)):
        tag(full, "another", Tags(draining=True))
    assert tag(full, "n7", Tags(priority=1)).tags["n7"] == Tags(priority=1)


def test_a_sentinel_is_added_above_the_votes_of_the_present_members() -> None:
    living = [info("s1", voted=4), info("s2", voted=7), info("s3", voted=2), info("s4", (*THREE, "s4"), voted=90)]
    added = add_sentinel(NO_CONTROLS, living, "s4").membership
    assert added == Membership(version=1, members=("s1", "s2", "s3", "s4"), floor=7), "s4 never voted in the old one"


def test_a_sentinel_that_does_not_run_is_not_added() -> None:
    with pytest.raises(Conflict, match="s4 does not run"):
        add_sentinel(NO_CONTROLS, [info("s1"), info("s2"), info("s3")], "s4")


def test_a_member_is_not_added_twice_and_a_stranger_not_removed() -> None:
    living = [info(name) for name in THREE]
    with pytest.raises(Conflict, match="already"):
        add_sentinel(NO_CONTROLS, living, "s2")
    with pytest.raises(Conflict, match="s9 is no member; members are s1, s2, s3"):
        remove_sentinel(NO_CONTROLS, living, "s9")


def test_the_next_change_waits_until_a_majority_has_the_last_one_on_disk() -> None:
    four = (*THREE, "s4")
    controls = with_members(*four)
    behind = [info("s1", four, 1), info("s2", four, 1), info("s3"), info("s4")]
    with pytest.raises(Conflict, match=r"version 1 on disk \(2 of 4\)"):
        remove_sentinel(controls, behind, "s4")
    reached = [info("s1", four, 1, voted=9), info("s2", four, 1), info("s3", four, 1), info("s4")]
    removed = remove_sentinel(controls, reached, "s4").membership
    assert removed == Membership(version=2, members=THREE, floor=9)


def test_sentinels_that_were_configured_differently_change_nothing() -> None:
    odd = [info("s1", ("s1", "s2", "s3")), info("s2", ("s2", "s3", "s4")), info("s3", ("s1", "s3", "s5"))]
    with pytest.raises(Conflict, match="doctor"):
        remove_sentinel(NO_CONTROLS, odd, "s1")


def test_without_a_majority_of_living_members_nothing_is_changed() -> None:
    with pytest.raises(Conflict, match="no majority"):
        remove_sentinel(NO_CONTROLS, [info("s1")], "s2")
    with pytest.raises(Conflict, match="no majority"):
        add_sentinel(NO_CONTROLS, [], "s4")


def test_a_dead_member_can_be_removed_by_the_living_majority() -> None:
    four = (*THREE, "s4")
    living = [info(name, four, 1) for name in THREE]
    assert remove_sentinel(with_members(*four), living, "s4").membership.members == THREE


def test_three_sentinels_are_the_least() -> None:
    with pytest.raises(Conflict, match="add another before"):
        remove_sentinel(NO_CONTROLS, [info(name) for name in THREE], "s3")


def test_there_is_a_bound_on_sentinels() -> None:
    many = tuple(f"s{number:03d}" for number in range(SENTINELS_MAX))
    living = [info(name, many, 1) for name in many] + [info("t1")]
    with pytest.raises(Conflict, match=str(SENTINELS_MAX)):
        add_sentinel(with_members(*many), living, "t1")


def test_two_memberships_in_a_row_share_a_voter_in_any_two_majorities() -> None:
    """What the change of one at a time is for."""
    for size in range(3, 12):
        old = tuple(f"s{number:02d}" for number in range(size))
        living = [info(name, old, 1) for name in old] + [info("t1")]
        controls = with_members(*old)
        for new in (
            add_sentinel(controls, living, "t1"),
            *([remove_sentinel(controls, living, "s00")] if size > 3 else []),
        ):
            everybody = set(old) | set(new.membership.members)
            majorities = (len(old) // 2 + 1) + (len(new.membership.members) // 2 + 1)
            assert majorities > len(everybody)
