"""The node's core: the first lock, leaving, its rhythm, and whatever may happen, as conversations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import Role
from ha_stress.node import core
from ha_stress.node.core import CLAIM_RETRY_S
from ha_stress.wire.messages import Ping
from tests.playbook import NodePlay, only, record, said

ME, OTHER = ("n1", "n1-a"), ("n2", "n2-a")


def mine(epoch: int) -> Mastership:
    return record(epoch, "n1")


def another(epoch: int) -> Mastership:
    return record(epoch, "n2")


# --- the first lock ---


def test_the_first_lock_is_raced_for_only_after_a_majority_of_sentinels_knows_of_no_epoch_and_redis_has_no_record() -> (
    None
):
    play = NodePlay()
    assert not only(play.reads(NOBODY), core.ClaimFirst)
    assert not only(play.pinged("s1"), core.ClaimFirst)
    assert only(play.pinged("s2"), core.ClaimFirst)


def test_one_sentinel_that_says_it_often_is_no_majority() -> None:
    play = NodePlay()
    play.reads(NOBODY)
    for _ in range(5):
        assert not only(play.pinged("s1"), core.ClaimFirst)


def test_redis_must_have_been_read() -> None:
    play = NodePlay()
    play.pinged("s1")
    play.pinged("s2")
    assert not only(play.pinged("s3"), core.ClaimFirst)
    assert only(play.reads(NOBODY), core.ClaimFirst)


def test_a_single_sentinel_that_remembers_an_epoch_forbids_the_race() -> None:
    play = NodePlay()
    play.reads(NOBODY)
    play.pinged("s1", epoch=4)
    assert not only(play.pinged("s2"), core.ClaimFirst)
    assert not only(play.pinged("s3"), core.ClaimFirst)
    assert not only(play.let(10.0), core.ClaimFirst)


def test_a_sentinel_that_knows_a_record_tells_it_with_its_ping() -> None:
    play = NodePlay()
    play.pinged("s1", known=another(3))
    assert play.core.record == another(3)
    assert only(play.reads(NOBODY), core.Repair) == [core.Repair(another(3))]


def test_priority_0_never_races() -> None:
    play = NodePlay(priority=0)
    play.reads(NOBODY)
    for sentinel in ("s1", "s2", "s3"):
        assert not only(play.pinged(sentinel), core.ClaimFirst)
    assert not only(play.let(10.0), core.ClaimFirst)


def test_without_sentinels_the_race_begins_at_once() -> None:
    assert only(NodePlay(sentinels=0).reads(NOBODY), core.ClaimFirst)


def test_a_node_that_is_not_registered_yet_does_not_race() -> None:
    play = NodePlay(sentinels=0, registered=False)
    assert not only(play.reads(NOBODY), core.ClaimFirst)
    assert only(play.tell(core.Registered()), core.ClaimFirst)


def test_a_node_that_leaves_does_not_race() -> None:
    play = NodePlay(sentinels=0)
    play.tell(core.StopAsked())
    assert not only(play.reads(NOBODY), core.ClaimFirst)


def test_one_claim_is_under_way_at_a_time_and_an_unanswered_one_is_tried_again_later() -> None:
    play = NodePlay(sentinels=0)
    play.reads(NOBODY)
    assert not only(play.reads(NOBODY), core.ClaimFirst)
    assert not only(play.tell(core.ClaimAnswered(None)), core.ClaimFirst)
    assert not only(play.let(CLAIM_RETRY_S), core.ClaimFirst)
    assert len(only(play.let(CLAIM_RETRY_S), core.ClaimFirst)) == 1


def test_the_loser_of_the_race_is_a_worker_under_the_winners_record() -> None:
    play = NodePlay(sentinels=0)
    play.reads(NOBODY)
    effects = play.tell(core.ClaimAnswered(another(1)))
    assert play.core.record == another(1) and play.role() is Role.WORKER
    assert not only(effects, core.HoldLease)
    assert not only(play.let(10.0), core.ClaimFirst)


def test_the_winner_of_the_race_is_master_once_it_holds_the_lease() -> None:
    play = NodePlay(sentinels=0)
    play.reads(NOBODY)
    assert only(play.tell(core.ClaimAnswered(mine(1))), core.HoldLease)
    assert play.role() is Role.WORKER
    effects = play.holds()
    assert said(effects) == ["+first-master"]
    assert play.role() is Role.MASTER and play.acts()


# --- without sentinels ---


def test_without_sentinels_a_node_tries_to_follow_a_master_whose_process_is_another_one() -> None:
    """Regression: the only node of a cluster was killed and restarted, and nobody was master for ever."""
    play = NodePlay(sentinels=0)
    assert only(play.reads(record(4, "n1", "n1-before")), core.Succeed) == [core.Succeed(record(4, "n1", "n1-before"))]
    assert not only(play.reads(record(4, "n1", "n1-before")), core.Succeed), "one at a time"
    assert not only(play.tell(core.ClaimAnswered(record(4, "n1", "n1-before"))), core.Succeed), "not in a tight loop"
    assert len(only(play.let(1.0), core.Succeed)) == 1
    assert only(play.tell(core.ClaimAnswered(mine(5))), core.HoldLease)


def test_with_sentinels_or_priority_0_or_the_own_name_in_the_record_nobody_follows_by_itself() -> None:
    assert not only(NodePlay().reads(another(4)), core.Succeed)
    assert not only(NodePlay(sentinels=0, priority=0).reads(another(4)), core.Succeed)
    assert not only(NodePlay(sentinels=0).reads(mine(4)), core.Succeed)
    unread = NodePlay(sentinels=0)
    assert not only(unread.tell(core.RecordSeen(another(4))), core.Succeed), "Redis must have been read"


# --- leaving ---


def test_a_node_that_leaves_takes_no_lease_even_if_it_is_named() -> None:
    play = NodePlay()
    effects = play.tell(core.StopAsked())
    assert said(effects) == ["+leaving"] and play.role() is Role.LEAVING
    assert not only(play.reads(mine(2)), core.HoldLease)
    assert not only(play.let(10.0), core.HoldLease)
    assert play.core.deadline(play.now) == float("inf"), "and it waits for nothing"


def test_a_worker_that_is_asked_to_stop_while_its_promotion_is_under_way_is_not_promoted() -> None:
    play = NodePlay()
    play.reads(mine(2))
    play.tell(core.StopAsked())
    assert not only(play.holds(), core.BecomeMaster)
    assert not play.acts()


def test_a_master_that_leaves_acts_until_somebody_else_is_named() -> None:
    play = NodePlay.mastering()
    play.tell(core.StopAsked())
    assert play.acts() and play.core.leaving
    assert only(play.let(play.timing.lease_renew_s), core.HoldLease)
    play.reads(another(2))
    assert play.role() is Role.LEAVING and not play.acts()


# --- the rhythm ---


@pytest.mark.parametrize(
    "story",
    [
        "starting",
        "starting, named",
        "worker",
        "racing",
        "named",
        "master",
        "suspended",
        "leaving",
        "leaving, named",
        "leaving master",
    ],
)
def test_ticks_at_each_deadline_advance_time_so_the_loop_is_never_busy(story: str) -> None:
    play = NodePlay(registered="starting" not in story, sentinels=0)
    if "racing" in story:
        play.reads(NOBODY)
    if "leaving" in story and "master" not in story:
        play.tell(core.StopAsked())
    if "named" in story or "master" in story or "suspended" in story:
        play.reads(mine(1))
    if "master" in story or "suspended" in story:
        play.holds()
    if story == "leaving master":
        play.tell(core.StopAsked())
    began, ticks = play.now, 0
    while ticks < 1_000 and play.core.deadline(play.now) != float("inf"):
        play.now = max(play.now, play.core.deadline(play.now))
        ticks += 1
        for effect in play.tell(core.Ticked()):
            if isinstance(effect, core.HoldLease):
                held = story != "suspended"
                play.tell(core.LeaseAnswered(play.now, held, play.core.record if held else None))
            elif isinstance(effect, core.ClaimFirst):
                play.tell(core.ClaimAnswered(None))
    assert play.now - began >= 0.05 * ticks


def test_a_new_node_knows_nothing_and_may_do_nothing() -> None:
    play = NodePlay(registered=False)
    assert play.role() is Role.STARTING and not play.acts()
    assert play.core.deadline(play.now) == float("inf")


epochs = st.integers(0, 5)
seen = st.builds(
    lambda epoch, who: NOBODY if epoch == 0 else Mastership(epoch=epoch, node=who[0], incarnation=who[1]),
    epochs,
    st.sampled_from((ME, OTHER, ("n1", "n1-older"))),
)
happenings = st.one_of(
    st.builds(core.RecordSeen, seen, st.booleans()),
    st.builds(lambda age_s, held, newest: (age_s, held, newest), st.floats(0, 5), st.booleans(), st.none() | seen),
    st.builds(core.ClaimAnswered, st.none() | seen),
    st.builds(
        lambda sender, record, epoch: core.SentinelPinged(
            Ping(sender=sender, number=1, record=record, voted_epoch=epoch, sentinels=3)
        ),
        st.sampled_from(("s1", "s2")),
        seen,
        epochs,
    ),
    st.just(core.Registered()),
    st.just(core.StopAsked()),
    st.floats(0, 4),
)


@settings(max_examples=400)
@given(st.lists(happenings, max_size=50))
def test_random_events_never_raise_and_no_epoch_ever_falls(story: list[Any]) -> None:
    play = NodePlay(registered=False)
    newest, master = 0, False
    for happening in story:
        if isinstance(happening, float):
            effects = play.let(happening)
        elif isinstance(happening, tuple):
            age_s, held, newest_read = happening
            effects = play.tell(core.LeaseAnswered(play.now - age_s, held, newest_read))
        else:
            effects = play.tell(happening)
        assert play.core.record.epoch >= newest
        newest = play.core.record.epoch
        if play.acts():
            assert play.role() is Role.MASTER and play.core.record.held_by(*ME)
            assert play.core.acting_until - play.now <= play.timing.lease_ttl_s - play.timing.lease_margin_s
        for effect in effects:
            if isinstance(effect, core.BecomeMaster | core.BecomeWorker):
                assert isinstance(effect, core.BecomeMaster) is not master, "promotions and demotions alternate"
                master = not master
        assert master is (play.role() is Role.MASTER)
