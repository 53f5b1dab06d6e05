"""The node's core: the first lock, the lease, the epochs, and leaving, as conversations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.base.config import NodeConfig
from ha_stress.cluster.events import MEANING
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import Role
from ha_stress.node import core
from ha_stress.node.core import CLAIM_RETRY_S, NodeCore
from ha_stress.wire.messages import Ping

E = TypeVar("E")

ME, OTHER = ("n1", "n1-a"), ("n2", "n2-a")


def mine(epoch: int) -> Mastership:
    return Mastership(epoch=epoch, node=ME[0], incarnation=ME[1])


def another(epoch: int) -> Mastership:
    return Mastership(epoch=epoch, node=OTHER[0], incarnation=OTHER[1])


def only(effects: Iterable[core.Effect], kind: type[E]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def said(effects: Iterable[core.Effect]) -> list[str]:
    return [effect.name for effect in only(effects, core.Emit)]


class Play:
    """A node's core and a clock."""

    def __init__(self, *, registered: bool = True, **settings: Any) -> None:
        self.now = 1_000.0
        config = NodeConfig(id=ME[0], database_url="unused", **settings)
        self.timing = config.timing
        self.core = NodeCore(config, ME[1], random=lambda: 0.5, now=self.now)
        if registered:
            self.tell(core.Registered())

    @classmethod
    def mastering(cls, epoch: int = 1, **settings: Any) -> Play:
        play = cls(**settings)
        play.reads(mine(epoch))
        play.holds()
        return play

    def tell(self, happening: core.Happening) -> list[core.Effect]:
        effects = self.core.step(happening, self.now)
        assert all(name in MEANING for name in said(effects))
        return effects

    def reads(self, record: Mastership) -> list[core.Effect]:
        """Redis is read and has this record."""
        return self.tell(core.RecordSeen(record, from_bus=True))

    def pinged(self, sender: str, *, epoch: int = 0, record: Mastership = NOBODY) -> list[core.Effect]:
        return self.tell(
            core.SentinelPinged(Ping(sender=sender, number=1, record=record, voted_epoch=epoch, sentinels=3))
        )

    def holds(self, took_s: float = 0.0) -> list[core.Effect]:
        """Redis grants the lease that was asked for `took_s` ago."""
        return self.tell(core.LeaseAnswered(self.now - took_s, True, self.core.record))

    def let(self, seconds: float) -> list[core.Effect]:
        """Time passes; nobody answers anything."""
        effects: list[core.Effect] = []
        end = self.now + seconds
        while self.core.deadline(self.now) <= end:
            self.now = max(self.now, self.core.deadline(self.now))
            effects += self.tell(core.Ticked())
        self.now = end
        return effects

    @property
    def acts(self) -> bool:
        return self.core.may_act(self.now)


# --- the first lock ---


def test_the_first_lock_is_raced_for_only_after_a_majority_of_sentinels_knows_of_no_epoch_and_redis_has_no_record() -> (
    None
):
    play = Play()
    assert not only(play.reads(NOBODY), core.ClaimFirst)
    assert not only(play.pinged("s1"), core.ClaimFirst)
    assert only(play.pinged("s2"), core.ClaimFirst)


def test_one_sentinel_that_says_it_often_is_no_majority() -> None:
    play = Play()
    play.reads(NOBODY)
    for _ in range(5):
        assert not only(play.pinged("s1"), core.ClaimFirst)


def test_redis_must_have_been_read() -> None:
    play = Play()
    play.pinged("s1")
    play.pinged("s2")
    assert not only(play.pinged("s3"), core.ClaimFirst)
    assert only(play.reads(NOBODY), core.ClaimFirst)


def test_a_single_sentinel_that_remembers_an_epoch_forbids_the_race() -> None:
    play = Play()
    play.reads(NOBODY)
    play.pinged("s1", epoch=4)
    play.pinged("s2")
    assert not only(play.pinged("s3"), core.ClaimFirst)
    assert not only(play.let(10.0), core.ClaimFirst)


def test_a_sentinel_that_knows_a_record_tells_it_with_its_ping() -> None:
    play = Play()
    play.pinged("s1", record=another(3))
    assert play.core.record == another(3)
    assert only(play.reads(NOBODY), core.Repair) == [core.Repair(another(3))]


def test_priority_0_never_races() -> None:
    play = Play(priority=0)
    play.reads(NOBODY)
    for sentinel in ("s1", "s2", "s3"):
        assert not only(play.pinged(sentinel), core.ClaimFirst)
    assert not only(play.let(10.0), core.ClaimFirst)


def test_without_sentinels_the_race_begins_at_once() -> None:
    assert only(Play(sentinels=0).reads(NOBODY), core.ClaimFirst)


def test_a_node_that_is_not_registered_yet_does_not_race() -> None:
    play = Play(sentinels=0, registered=False)
    assert not only(play.reads(NOBODY), core.ClaimFirst)
    assert only(play.tell(core.Registered()), core.ClaimFirst)


def test_a_node_that_leaves_does_not_race() -> None:
    play = Play(sentinels=0)
    play.tell(core.StopAsked())
    assert not only(play.reads(NOBODY), core.ClaimFirst)


def test_one_claim_is_under_way_at_a_time_and_an_unanswered_one_is_tried_again_later() -> None:
    play = Play(sentinels=0)
    play.reads(NOBODY)
    assert not only(play.reads(NOBODY), core.ClaimFirst)
    assert not only(play.tell(core.ClaimAnswered(None)), core.ClaimFirst)
    assert not only(play.let(CLAIM_RETRY_S), core.ClaimFirst)
    assert len(only(play.let(CLAIM_RETRY_S), core.ClaimFirst)) == 1


def test_the_loser_of_the_race_is_a_worker_under_the_winners_record() -> None:
    play = Play(sentinels=0)
    play.reads(NOBODY)
    effects = play.tell(core.ClaimAnswered(another(1)))
    assert play.core.record == another(1) and play.core.role is Role.WORKER
    assert not only(effects, core.HoldLease)
    assert not only(play.let(10.0), core.ClaimFirst)


def test_the_winner_of_the_race_is_master_once_it_holds_the_lease() -> None:
    play = Play(sentinels=0)
    play.reads(NOBODY)
    assert only(play.tell(core.ClaimAnswered(mine(1))), core.HoldLease)
    assert play.core.role is Role.WORKER
    effects = play.holds()
    assert said(effects) == ["+first-master"]
    assert play.core.role is Role.MASTER and play.acts


# --- promotion and lease ---


def test_promotion_comes_only_after_the_lease_is_held() -> None:
    play = Play()
    effects = play.reads(mine(2))
    assert only(effects, core.HoldLease) == [core.HoldLease(mine(2))]
    assert not only(effects, core.BecomeMaster) and not play.acts
    assert only(play.holds(), core.BecomeMaster) == [core.BecomeMaster(mine(2))]
    assert play.acts


def test_a_lease_that_is_refused_promotes_nobody_and_is_asked_for_again() -> None:
    play = Play()
    play.reads(mine(2))
    effects = play.tell(core.LeaseAnswered(play.now, False, mine(2)))
    assert not only(effects, core.BecomeMaster) and play.core.role is Role.WORKER
    assert only(play.let(play.timing.lease_renew_s), core.HoldLease)


def test_a_lease_for_which_redis_did_not_answer_promotes_nobody() -> None:
    play = Play()
    play.reads(mine(2))
    play.tell(core.LeaseAnswered(play.now, False, None))
    assert play.core.role is Role.WORKER
    assert only(play.let(0.2), core.HoldLease)


def test_a_record_of_another_process_of_this_node_promotes_nobody() -> None:
    play = Play()
    effects = play.reads(Mastership(epoch=2, node=ME[0], incarnation="n1-older"))
    assert not only(effects, core.HoldLease)


def test_a_lease_counts_from_the_moment_at_which_it_was_asked_for() -> None:
    play = Play()
    play.reads(mine(2))
    asked_at = play.now
    play.now += 1.5
    play.holds(took_s=1.5)
    assert play.core.acting_until == asked_at + play.timing.lease_ttl_s - play.timing.lease_margin_s


def test_acting_ends_a_margin_before_the_lease_can_have_run_out() -> None:
    play = Play.mastering()
    lapses_at = play.now + play.timing.lease_ttl_s - play.timing.lease_margin_s
    play.let(lapses_at - play.now - 0.001)
    assert play.acts
    assert "+suspended" in said(play.let(0.002))
    assert not play.acts
    assert play.core.role is Role.MASTER, "the master driver runs on; it only may not act"


def test_a_lease_that_was_answered_too_late_lets_nobody_act() -> None:
    play = Play()
    play.reads(mine(2))
    play.now += play.timing.lease_ttl_s
    play.holds(took_s=play.timing.lease_ttl_s)
    assert not play.acts


def test_a_renewal_is_sent_every_renewal_period_and_one_at_a_time() -> None:
    play = Play.mastering()
    assert len(only(play.let(play.timing.lease_renew_s), core.HoldLease)) == 1
    assert only(play.let(1.0), core.HoldLease) == [], "the last one is not answered yet"
    play.holds()
    assert len(only(play.let(play.timing.lease_renew_s), core.HoldLease)) == 1


def test_a_master_whose_renewals_go_unanswered_is_suspended_and_resumes_under_the_same_epoch() -> None:
    play = Play.mastering()
    for _ in range(50):
        if only(play.let(0.1), core.HoldLease):
            play.tell(core.LeaseAnswered(play.now, False, None))
    assert not play.acts and play.core.suspended
    effects = play.holds()
    assert said(effects) == ["-suspended"]
    assert not only(effects, core.BecomeMaster), "it never stopped being master of this epoch"
    assert play.acts


def test_while_redis_is_away_a_master_acts_until_its_lease_ends() -> None:
    play = Play.mastering()
    play.let(play.timing.lease_renew_s)
    effects = play.tell(core.LeaseAnswered(play.now, False, None))
    assert play.acts and said(effects) == []


# --- epochs ---


@pytest.mark.parametrize("way", ["redis", "lease", "hint", "ping", "claim"])
def test_a_higher_epoch_makes_a_master_a_worker_however_it_arrives(way: str) -> None:
    play = Play.mastering()
    higher = another(2)
    happening: dict[str, core.Happening] = {
        "redis": core.RecordSeen(higher, from_bus=True),
        "lease": core.LeaseAnswered(play.now, False, higher),
        "hint": core.RecordSeen(higher),
        "ping": core.SentinelPinged(Ping(sender="s1", number=1, record=higher, voted_epoch=2, sentinels=3)),
        "claim": core.ClaimAnswered(higher),
    }
    effects = play.tell(happening[way])
    assert only(effects, core.BecomeWorker) == [core.BecomeWorker()]
    assert said(effects) == ["+superseded"]
    assert play.core.role is Role.WORKER and not play.acts


def test_a_lower_epoch_changes_nothing() -> None:
    play = Play.mastering(epoch=5)
    for lower in (NOBODY, another(4)):
        assert play.tell(core.RecordSeen(lower)) == []
    assert play.acts


def test_a_master_that_is_named_again_under_a_higher_epoch_is_a_worker_first_and_then_master_again() -> None:
    play = Play.mastering()
    effects = play.reads(mine(2))
    assert only(effects, core.BecomeWorker) and only(effects, core.HoldLease) == [core.HoldLease(mine(2))]
    assert not play.acts, "a new epoch is a new mastership, begun from the records"
    assert only(play.holds(), core.BecomeMaster) == [core.BecomeMaster(mine(2))]
    assert play.acts


def test_a_worker_that_was_master_can_become_master_again() -> None:
    play = Play.mastering()
    play.reads(another(2))
    play.reads(mine(3))
    assert only(play.holds(), core.BecomeMaster) == [core.BecomeMaster(mine(3))]


def test_a_late_answer_for_an_old_epoch_gives_no_lease_for_the_new_one() -> None:
    play = Play.mastering()
    play.let(play.timing.lease_renew_s)  # a renewal of epoch 1 is under way
    play.reads(mine(2))
    play.tell(core.LeaseAnswered(play.now, True, mine(1)))
    assert play.core.role is Role.WORKER and not play.acts


def test_a_late_answer_for_an_epoch_that_is_over_makes_nobody_master() -> None:
    play = Play()
    play.reads(mine(2))
    play.reads(another(3))
    assert not only(play.tell(core.LeaseAnswered(play.now, True, mine(2))), core.BecomeMaster)
    assert play.core.role is Role.WORKER


@pytest.mark.parametrize("stored", [NOBODY, another(1)], ids=["none", "lower"])
def test_a_lower_record_in_redis_is_repaired(stored: Mastership) -> None:
    play = Play.mastering(epoch=2)
    assert only(play.reads(stored), core.Repair) == [core.Repair(mine(2))]
    assert play.acts


def test_a_renewal_that_finds_a_lower_record_repairs_it_and_is_soon_tried_again() -> None:
    play = Play.mastering(epoch=2)
    play.let(play.timing.lease_renew_s)
    effects = play.tell(core.LeaseAnswered(play.now, False, NOBODY))
    assert only(effects, core.Repair) == [core.Repair(mine(2))]
    assert only(play.let(0.05), core.HoldLease)


def test_a_worker_repairs_a_lower_record_as_well() -> None:
    play = Play()
    play.reads(another(4))
    assert only(play.reads(NOBODY), core.Repair) == [core.Repair(another(4))]


# --- leaving ---


def test_a_node_that_leaves_takes_no_lease_even_if_it_is_named() -> None:
    play = Play()
    effects = play.tell(core.StopAsked())
    assert said(effects) == ["+leaving"] and play.core.role is Role.LEAVING
    assert not only(play.reads(mine(2)), core.HoldLease)
    assert not only(play.let(10.0), core.HoldLease)
    assert play.core.deadline(play.now) == float("inf"), "and it waits for nothing"


def test_a_worker_that_is_asked_to_stop_while_its_promotion_is_under_way_is_not_promoted() -> None:
    play = Play()
    play.reads(mine(2))
    play.tell(core.StopAsked())
    assert not only(play.holds(), core.BecomeMaster)
    assert not play.acts


def test_a_master_that_leaves_acts_until_somebody_else_is_named() -> None:
    play = Play.mastering()
    play.tell(core.StopAsked())
    assert play.acts and play.core.leaving
    assert only(play.let(play.timing.lease_renew_s), core.HoldLease)
    play.reads(another(2))
    assert play.core.role is Role.LEAVING and not play.acts


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
    play = Play(registered="starting" not in story, sentinels=0)
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
    play = Play(registered=False)
    assert play.core.role is Role.STARTING and not play.acts
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
    play = Play(registered=False)
    newest, master = 0, False
    for happening in story:
        if isinstance(happening, float):
            effects = play.let(happening)
        elif isinstance(happening, tuple):
            age_s, held, record = happening
            effects = play.tell(core.LeaseAnswered(play.now - age_s, held, record))
        else:
            effects = play.tell(happening)
        assert play.core.record.epoch >= newest
        newest = play.core.record.epoch
        if play.acts:
            assert play.core.role is Role.MASTER and play.core.record.held_by(*ME)
            assert play.core.acting_until - play.now <= play.timing.lease_ttl_s - play.timing.lease_margin_s
        for effect in effects:
            if isinstance(effect, core.BecomeMaster | core.BecomeWorker):
                assert isinstance(effect, core.BecomeMaster) is not master, "promotions and demotions alternate"
                master = not master
        assert master is (play.core.role is Role.MASTER)
