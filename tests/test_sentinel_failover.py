"""From the elected leader to the accepted winner: award, announcement, acceptance, and each way in which they fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ha_stress.base.config import Timing
from ha_stress.cluster.members import Role
from ha_stress.wire.messages import PreVoteRequest
from sentinel import effects as fx
from sentinel.failover import AWARD_TIMEOUT_S, Phase
from tests.playbook import FIRST, NOBODY, WALL, Play, event, node, only, record, said, sent

SECOND = record(2, "n2")


def awarded(**settings: Any) -> Play:
    """s1 leads, the award of epoch 2 to n2 is in Redis, the winner has not been seen acting."""
    play = Play.watching(**settings)
    play.save(play.award(play.elected()))
    assert play.phase() is Phase.CONFIRMING
    return play


def accepts(play: Play, id: str, epoch: int) -> list[fx.Effect]:
    return play.pong(node(id, role=Role.MASTER, acting=True, epoch=epoch))


# --- award ---


def test_the_elected_leader_awards_the_best_candidate_under_its_campaigns_epoch() -> None:
    play = Play.watching()
    effects = play.elected()
    (award,) = only(effects, fx.Award)
    assert award.record == SECOND
    assert award.record.why == "failover: crash"
    assert said(effects) == ["+elected-leader", "+selected-node"]
    assert event(effects, "+elected-leader").detail == {"votes": ["s1", "s2"]}


def test_the_whole_way_from_crash_to_award_is_told_in_order() -> None:
    play = Play.watching()
    effects = play.master_falls()
    effects += play.save(play.pre_vote("s2", 2))
    effects += play.vote("s2", 2)
    wanted = ["+sdown", "+odown", "+try-failover", "+vote-for-leader", "+elected-leader", "+selected-node"]
    assert said(effects) == wanted


def test_there_is_one_award_per_leadership_however_many_votes_arrive() -> None:
    play = Play.watching()
    play.elected()
    assert not only(play.vote("s3", 2), fx.Award)
    assert not only(play.let(0.5), fx.Award)


def test_the_failover_record_keeps_votes_phases_and_every_candidate() -> None:
    play = Play.watching(nodes=(node("n2"), node("n3"), node("n4", draining=True)))
    (award,) = only(play.elected(), fx.Award)
    kept = award.failover
    assert kept["epoch"] == 2 and kept["kind"] == "failover" and kept["cause"] == "crash" and kept["leader"] == "s1"
    assert kept["old"] == {"node": "n1", "incarnation": "n1-a"}
    assert kept["winner"] == {"node": "n2", "incarnation": "n2-a"}
    assert kept["votes"] == {"s1": "granted", "s2": "granted"}
    assert kept["at"] == WALL
    assert {row["node"]: row["dropped"] for row in kept["candidates"]} == {
        "n1": "is the master that is replaced",
        "n2": "",
        "n3": "",
        "n4": "draining",
    }
    phases = kept["phases"]
    assert phases["last_pong_ms"] <= phases["sdown_ms"] == 0 <= phases["odown_ms"] <= phases["elected_ms"]
    assert phases["awarded_ms"] is None


def test_no_good_candidate_is_told_with_the_table_and_tried_again() -> None:
    play = Play.watching(nodes=(node("n2", priority=0), node("n3", draining=True)))
    effects = play.elected()
    rows = event(effects, "-failover-abort-no-good-node").detail["candidates"]
    assert {row["node"]: row["dropped"] for row in rows}["n3"] == "draining"
    (kept,) = only(effects, fx.SaveFailover)
    assert kept.data["outcome"] == "no-good-node"
    assert play.phase() is Phase.BACKOFF
    play.pong(node("n3"))
    play.peer_views("s2", down=("n1",))
    again = play.let(2.0 * play.timing.vote_timeout_s + play.timing.retry_min_s * 2)
    assert sent(again, PreVoteRequest)[0].epoch == 3


def test_an_award_that_was_won_is_announced_until_the_winner_is_seen_acting() -> None:
    play = awarded()
    announcements = only(play.let(0.55, answering=("n2", "n3")), fx.Announce)
    assert announcements == [fx.Announce(SECOND)] * 5
    ended = accepts(play, "n2", 2)
    assert "+failover-end" in said(ended)
    assert only(ended, fx.SaveFailover)[0].data["outcome"] == "accepted"
    assert only(ended, fx.SaveFailover)[0].data["phases"]["accepted_ms"] is not None
    assert only(play.let(2.0, answering=("n2", "n3")), fx.Announce) == []
    assert play.phase() is Phase.IDLE


def test_an_award_that_was_lost_to_a_higher_record_ends_the_campaign() -> None:
    play = Play.watching()
    play.elected()
    effects = play.tell(fx.AwardAnswered(2, record(3, "n3")))
    assert "-failover-abort-superseded" in said(effects)
    assert play.core.record == record(3, "n3")
    assert play.phase() is Phase.IDLE


def test_an_award_whose_outcome_is_unknown_is_a_failure_until_the_record_says_otherwise() -> None:
    play = Play.watching()
    play.elected()
    effects = play.tell(fx.AwardAnswered(2, None))
    assert "-failover-abort-bus" in said(effects)
    assert play.core.record == FIRST
    assert play.phase() is Phase.BACKOFF


def test_an_award_that_was_written_although_its_answer_was_lost_is_found_in_the_record() -> None:
    play = Play.watching()
    play.elected()
    play.tell(fx.AwardAnswered(2, None))
    play.save(play.tell(fx.RecordRead(SECOND)))
    accepts(play, "n2", 2)
    effects = play.let(5.0, answering=("n2", "n3"))
    assert not sent(effects, PreVoteRequest), "nobody is elected against a master that acts"
    assert play.core.record == SECOND


def test_an_award_that_is_never_answered_ends_in_time() -> None:
    play = Play.watching()
    play.elected()
    assert "-failover-abort-bus" in said(play.let(AWARD_TIMEOUT_S + 0.01))


def test_an_answer_to_an_older_award_does_not_confirm_this_one() -> None:
    play = Play.watching()
    play.elected()
    play.tell(fx.AwardAnswered(1, FIRST))
    assert play.phase() is Phase.AWARDING


def test_after_an_unknown_outcome_the_next_attempt_is_at_a_higher_epoch() -> None:
    play = Play.watching()
    play.elected()
    play.tell(fx.AwardAnswered(2, None))
    for _ in range(100):
        play.peer_views("s2", down=("n1",))
        asked = sent(play.let(0.01, answering=("n2", "n3")), PreVoteRequest)
        if asked:
            break
    assert asked[0].epoch == 3


def test_the_leader_that_reads_its_own_award_before_the_answer_comes_goes_on_with_its_campaign() -> None:
    play = Play.watching()
    play.elected()
    play.save(play.tell(fx.RecordRead(SECOND)))
    assert play.phase() is Phase.AWARDING
    play.tell(fx.AwardAnswered(2, SECOND))
    assert play.phase() is Phase.CONFIRMING


# --- the winner does not accept ---


def test_a_winner_that_does_not_act_in_time_is_passed_over_and_the_next_candidate_named_at_a_higher_epoch() -> None:
    play = awarded()
    effects = play.let(play.timing.accept_timeout_s + 0.001, answering=("n2", "n3"))
    assert event(effects, "-accept-timeout").subject == "n2"
    assert only(effects, fx.SaveFailover)[-1].data["outcome"] == "accept-timeout"
    play.peer_views("s2", down=("n2",))
    play.let(play.timing.ping_period_s + play.timing.desync_s + 0.01, answering=("n2", "n3"))
    assert play.phase() is Phase.PRE_VOTE
    assert play.core.campaign.epoch == 3
    play.save(play.pre_vote("s2", 3))
    (award,) = only(play.vote("s2", 3), fx.Award)
    assert award.record == record(3, "n3")
    assert award.record.why == "failover: not-accepted"
    reasons = {row.node: row.dropped for row in play.core.campaign.table}
    assert reasons["n2"] == "is the master that is replaced"


def test_whoever_was_passed_over_stays_so_until_a_master_acts() -> None:
    play = awarded()
    play.let(play.timing.accept_timeout_s + 0.001, answering=("n2", "n3"))
    play.save(play.tell(fx.RecordRead(record(3, "n3"))))
    assert play.core.watch.passed_over == {"n2": "n2-a"}
    accepts(play, "n3", 3)
    assert play.core.watch.passed_over == {}


def test_when_all_others_were_passed_over_they_are_tried_again_instead_of_nobody_ever() -> None:
    play = awarded()
    alive = ("n2", "n3")
    play.let(play.timing.accept_timeout_s + 0.001, answering=alive)
    play.peer_views("s2", down=("n2",))
    play.let(play.timing.ping_period_s + play.timing.desync_s + 0.01, answering=alive)
    play.save(play.pre_vote("s2", 3))
    play.save(play.award(play.vote("s2", 3)))
    assert play.core.record == record(3, "n3")
    play.let(play.timing.accept_timeout_s + 0.001, answering=alive)
    assert play.core.watch.passed_over == {"n2": "n2-a", "n3": "n3-a"}

    play.peer_views("s2", down=("n3",))
    play.let(play.timing.ping_period_s + play.timing.desync_s + 0.01, answering=alive)
    play.save(play.pre_vote("s2", 4))
    hopeless = play.vote("s2", 4)
    rows = event(hopeless, "-failover-abort-no-good-node").detail["candidates"]
    assert {row["node"]: row["dropped"] for row in rows}["n2"] == "was named in this failover and did not act"
    assert "n2" not in play.core.watch.passed_over, "nobody else is left: it must get another chance"

    play.peer_views("s2", down=("n3",))
    play.let(play.core.campaign.next_deadline() - play.now + 0.01, answering=alive)
    assert play.phase() is Phase.PRE_VOTE
    play.save(play.pre_vote("s2", 5))
    (award,) = only(play.vote("s2", 5), fx.Award)
    assert award.record == record(5, "n2")


def test_a_winner_that_crashes_before_it_accepts_is_not_waited_for() -> None:
    play = awarded()
    effects = play.crash("n2") + play.peer_views("s2", down=("n2",))
    assert event(effects, "-accept-timeout").subject == "n2"
    assert play.phase() is not Phase.CONFIRMING
    assert play.core.watch.passed_over == {"n2": "n2-a"}


def test_a_sentinel_that_is_not_the_leader_passes_over_who_did_not_accept_as_well() -> None:
    play = Play.watching()
    play.save(play.tell(fx.RecordRead(SECOND)))
    play.let(play.timing.accept_timeout_s + 0.1, answering=("n2", "n3"))
    assert play.cause("n2") == "not-accepted"
    assert play.core.watch.passed_over == {"n2": "n2-a"}


def test_a_worker_that_claims_to_act_under_an_old_epoch_is_not_taken_for_the_winner() -> None:
    play = awarded()
    assert "+failover-end" not in said(accepts(play, "n2", 1))
    assert "+failover-end" not in said(accepts(play, "n3", 2))
    assert "+failover-end" not in said(play.pong(node("n2", role=Role.MASTER, acting=False, epoch=2)))


# --- superseded, interrupted, switchover ---


def test_another_failover_that_was_faster_ends_this_campaign() -> None:
    play = Play.watching()
    play.master_falls()
    effects = play.tell(fx.RecordRead(record(2, "n3")))
    assert event(effects, "-failover-abort-superseded").subject == "n3"
    assert play.phase() is Phase.IDLE


def test_a_master_that_answers_again_before_the_vote_ends_the_campaign() -> None:
    play = Play.watching()
    play.master_falls()
    play.tell(fx.NodeConnected("n1"))
    play.pong(play.infos["n1"])
    assert play.phase() is Phase.IDLE
    assert not only(play.pre_vote("s2", 2), fx.SaveVote)


def test_a_master_that_answers_again_after_the_award_is_not_saved_by_it() -> None:
    play = Play.watching()
    effects = play.elected()
    play.tell(fx.NodeConnected("n1"))
    play.pong(play.infos["n1"])
    play.save(play.award(effects))
    assert play.core.record == SECOND


def test_a_master_that_leaves_is_a_switchover_and_not_a_failure() -> None:
    play = Play.watching()
    play.pong(replace(play.infos["n1"], leaving=True))
    play.peer_views("s2", down=("n1",))
    play.let(play.timing.desync_s + 0.001, answering=("n1", "n2", "n3"))
    play.save(play.pre_vote("s2", 2))
    (award,) = only(play.vote("s2", 2), fx.Award)
    assert award.record.why == "switchover: leaving"
    assert award.failover["kind"] == "switchover"


def test_a_sentinel_that_loses_redis_while_it_waits_to_retry_asks_for_nothing() -> None:
    play = Play.watching()
    play.elected()
    play.tell(fx.AwardAnswered(2, None))
    play.tell(fx.BusChanged(False))
    play.peer_views("s2", down=("n1",))
    assert not sent(play.let(1.0, answering=("n2", "n3")), PreVoteRequest)


def test_when_redis_comes_back_the_failover_goes_on() -> None:
    play = Play.watching()
    play.tell(fx.BusChanged(False))
    play.master_falls()
    play.tell(fx.BusChanged(True))
    play.peer_views("s2", down=("n1",))
    assert sent(play.let(play.timing.desync_s + 0.001, answering=("n2", "n3")), PreVoteRequest)


def test_a_record_that_redis_lost_in_the_middle_of_a_failover_is_repaired_and_the_failover_goes_on() -> None:
    play = awarded()
    effects = play.tell(fx.RecordRead(NOBODY))
    assert only(effects, fx.Repair) == [fx.Repair(SECOND)]
    assert play.phase() is Phase.CONFIRMING


@pytest.mark.parametrize("members", [("s1",), ("s1", "s2"), ("s1", "s2", "s3", "s4", "s5")])
def test_a_failover_takes_exactly_a_majority_of_the_configured_sentinels(members: tuple[str, ...]) -> None:
    play = Play.watching(members=members, dice=0.99)
    play.crash("n1")
    for peer in members[1 : play.config.majority]:
        play.peer_views(peer, down=("n1",))
    effects = play.let(play.timing.desync_s + 0.001)
    for peer in members[1 : play.config.majority]:
        assert not only(effects, fx.SaveVote)
        effects = play.pre_vote(peer, 2)
    effects = play.save(effects)
    for peer in members[1 : play.config.majority]:
        assert not only(effects, fx.Award)
        effects = play.vote(peer, 2)
    assert only(effects, fx.Award)


def test_a_failover_of_a_killed_master_takes_well_under_the_time_of_silence() -> None:
    play = Play.watching(timing=Timing(down_after_s=30.0))
    began = play.now
    play.save(play.award(play.elected()))
    assert play.now - began < 0.2


@pytest.mark.parametrize("stalled_s", [1.0, 1.5, 2.01])
def test_a_sentinel_that_wakes_up_in_tilt_is_not_elected_by_a_vote_that_waited_for_it(stalled_s: float) -> None:
    play = Play.watching()
    play.master_falls()
    play.save(play.pre_vote("s2", 2))
    play.now = play.core.deadline() + stalled_s
    effects = play.vote("s2", 2)
    assert "+tilt" in said(effects)
    assert "+elected-leader" not in said(effects) and not only(effects, fx.Award)
    assert play.core.campaign.phase is Phase.IDLE


def hopeless() -> Play:
    play = Play.watching(nodes=(node("n2", priority=0), node("n3", draining=True)))
    assert "-failover-abort-no-good-node" in said(play.elected())
    return play


def test_while_nobody_could_follow_the_master_no_further_epoch_is_taken_and_nothing_more_is_said() -> None:
    play = hopeless()
    for _ in range(60):
        play.peer_views("s2", down=("n1",))
        effects = play.let(1.0, answering=("n2", "n3"))
        assert not sent(effects, PreVoteRequest) and not said(effects)


def test_a_candidate_that_appears_later_is_voted_on_within_a_ping_period() -> None:
    play = hopeless()
    for _ in range(20):
        play.peer_views("s2", down=("n1",))
        play.let(1.0, answering=("n2", "n3"))
    play.pong(node("n3"))
    play.peer_views("s2", down=("n1",))
    effects = play.let(play.timing.ping_period_s + 0.01, answering=("n2", "n3"))
    assert sent(effects, PreVoteRequest)
    assert play.phase() is Phase.PRE_VOTE
