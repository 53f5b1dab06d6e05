"""The node's core: promotion, the lease, and epochs, as conversations."""

from __future__ import annotations

import pytest

from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import Role
from ha_stress.node import core
from ha_stress.wire.messages import Ping
from tests.playbook import NodePlay, only, record, said


def mine(epoch: int) -> Mastership:
    return record(epoch, "n1")


def another(epoch: int) -> Mastership:
    return record(epoch, "n2")


# --- promotion and lease ---


def test_promotion_comes_only_after_the_lease_is_held() -> None:
    play = NodePlay()
    effects = play.reads(mine(2))
    assert only(effects, core.HoldLease) == [core.HoldLease(mine(2))]
    assert not only(effects, core.BecomeMaster) and not play.acts()
    assert only(play.holds(), core.BecomeMaster) == [core.BecomeMaster(mine(2))]
    assert play.acts()


def test_a_lease_that_is_refused_promotes_nobody_and_is_asked_for_again() -> None:
    play = NodePlay()
    play.reads(mine(2))
    effects = play.tell(core.LeaseAnswered(play.now, False, mine(2)))
    assert not only(effects, core.BecomeMaster) and play.role() is Role.WORKER
    assert only(play.let(play.timing.lease_renew_s), core.HoldLease)


def test_a_lease_for_which_redis_did_not_answer_promotes_nobody() -> None:
    play = NodePlay()
    play.reads(mine(2))
    play.tell(core.LeaseAnswered(play.now, False, None))
    assert play.role() is Role.WORKER
    assert only(play.let(0.2), core.HoldLease)


def test_a_record_of_another_process_of_this_node_promotes_nobody() -> None:
    play = NodePlay()
    effects = play.reads(Mastership(epoch=2, node="n1", incarnation="n1-older"))
    assert not only(effects, core.HoldLease)


def test_a_lease_counts_from_the_moment_at_which_it_was_asked_for() -> None:
    play = NodePlay()
    play.reads(mine(2))
    asked_at = play.now
    play.now += 1.5
    play.holds(took_s=1.5)
    assert play.core.acting_until == asked_at + play.timing.lease_ttl_s - play.timing.lease_margin_s


def test_acting_ends_a_margin_before_the_lease_can_have_run_out() -> None:
    play = NodePlay.mastering()
    lapses_at = play.now + play.timing.lease_ttl_s - play.timing.lease_margin_s
    play.let(lapses_at - play.now - 0.001)
    assert play.acts()
    assert "+suspended" in said(play.let(0.002))
    assert not play.acts()
    assert play.role() is Role.MASTER, "the master driver runs on; it only may not act"


def test_a_lease_that_was_answered_too_late_lets_nobody_act() -> None:
    play = NodePlay()
    play.reads(mine(2))
    play.now += play.timing.lease_ttl_s
    play.holds(took_s=play.timing.lease_ttl_s)
    assert not play.acts()


def test_a_renewal_is_sent_every_renewal_period_and_one_at_a_time() -> None:
    play = NodePlay.mastering()
    assert len(only(play.let(play.timing.lease_renew_s), core.HoldLease)) == 1
    assert only(play.let(1.0), core.HoldLease) == [], "the last one is not answered yet"
    play.holds()
    assert len(only(play.let(play.timing.lease_renew_s), core.HoldLease)) == 1


def test_a_master_whose_renewals_go_unanswered_is_suspended_and_resumes_under_the_same_epoch() -> None:
    play = NodePlay.mastering()
    for _ in range(50):
        if only(play.let(0.1), core.HoldLease):
            play.tell(core.LeaseAnswered(play.now, False, None))
    assert not play.acts() and play.core.suspended
    effects = play.holds()
    assert said(effects) == ["-suspended"]
    assert not only(effects, core.BecomeMaster), "it never stopped being master of this epoch"
    assert play.acts()


def test_while_redis_is_away_a_master_acts_until_its_lease_ends() -> None:
    play = NodePlay.mastering()
    play.let(play.timing.lease_renew_s)
    effects = play.tell(core.LeaseAnswered(play.now, False, None))
    assert play.acts() and said(effects) == []


# --- epochs ---


@pytest.mark.parametrize("way", ["redis", "lease", "hint", "ping", "claim"])
def test_a_higher_epoch_makes_a_master_a_worker_however_it_arrives(way: str) -> None:
    play = NodePlay.mastering()
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
    assert play.role() is Role.WORKER and not play.acts()


def test_a_lower_epoch_changes_nothing() -> None:
    play = NodePlay.mastering(epoch=5)
    for lower in (NOBODY, another(4)):
        assert play.tell(core.RecordSeen(lower)) == []
    assert play.acts()


def test_a_master_that_is_named_again_under_a_higher_epoch_is_a_worker_first_and_then_master_again() -> None:
    play = NodePlay.mastering()
    effects = play.reads(mine(2))
    assert only(effects, core.BecomeWorker) and only(effects, core.HoldLease) == [core.HoldLease(mine(2))]
    assert not play.acts(), "a new epoch is a new mastership, begun from the records"
    assert only(play.holds(), core.BecomeMaster) == [core.BecomeMaster(mine(2))]
    assert play.acts()


def test_a_worker_that_was_master_can_become_master_again() -> None:
    play = NodePlay.mastering()
    play.reads(another(2))
    play.reads(mine(3))
    assert only(play.holds(), core.BecomeMaster) == [core.BecomeMaster(mine(3))]


def test_a_late_answer_for_an_old_epoch_gives_no_lease_for_the_new_one() -> None:
    play = NodePlay.mastering()
    play.let(play.timing.lease_renew_s)  # a renewal of epoch 1 is under way
    play.reads(mine(2))
    play.tell(core.LeaseAnswered(play.now, True, mine(1)))
    assert play.role() is Role.WORKER and not play.acts()


def test_a_late_answer_for_an_epoch_that_is_over_makes_nobody_master() -> None:
    play = NodePlay()
    play.reads(mine(2))
    play.reads(another(3))
    assert not only(play.tell(core.LeaseAnswered(play.now, True, mine(2))), core.BecomeMaster)
    assert play.role() is Role.WORKER


@pytest.mark.parametrize("stored", [NOBODY, another(1)], ids=["none", "lower"])
def test_a_lower_record_in_redis_is_repaired(stored: Mastership) -> None:
    play = NodePlay.mastering(epoch=2)
    assert only(play.reads(stored), core.Repair) == [core.Repair(mine(2))]
    assert play.acts()


def test_a_renewal_that_finds_a_lower_record_repairs_it_and_is_soon_tried_again() -> None:
    play = NodePlay.mastering(epoch=2)
    play.let(play.timing.lease_renew_s)
    effects = play.tell(core.LeaseAnswered(play.now, False, NOBODY))
    assert only(effects, core.Repair) == [core.Repair(mine(2))]
    assert only(play.let(0.05), core.HoldLease)


def test_a_worker_repairs_a_lower_record_as_well() -> None:
    play = NodePlay()
    play.reads(another(4))
    assert only(play.reads(NOBODY), core.Repair) == [core.Repair(another(4))]
