"""Votes and pre-votes: one vote per epoch, on disk before anybody hears of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ha_stress.cluster.controls import NO_CONTROLS, Membership
from ha_stress.wire.messages import PreVoteReply, PreVoteRequest, VoteReply, VoteRequest
from sentinel import effects as fx
from sentinel.failover import Phase
from tests.playbook import FIRST, Play, event, only, record, said, sent


def seeing_the_master_down(**settings: Any) -> Play:
    """s1 holds n1 to be down and nobody else has said so yet."""
    play = Play.watching(**settings)
    play.crash("n1")
    return play


def granted(effects: list[fx.Effect]) -> VoteReply:
    (reply,) = sent(effects, VoteReply)
    return reply


# --- the pre-vote ---


def test_a_pre_vote_is_granted_by_a_sentinel_that_itself_sees_the_master_down() -> None:
    assert seeing_the_master_down().ask_pre_vote("s2", 2).granted


def test_a_pre_vote_changes_nothing_on_the_voter() -> None:
    play = seeing_the_master_down()
    before = play.core.voter.state
    for epoch in (2, 3, 50):
        assert play.ask_pre_vote("s2", epoch).granted
    assert play.core.voter.state == before
    assert play.core.voter.choice is None
    assert play.ask_pre_vote("s3", 2).granted, "granting it to one takes it from nobody"


def test_a_pre_vote_is_refused_while_the_master_is_seen_up() -> None:
    reply = Play.watching().ask_pre_vote("s2", 2)
    assert (reply.granted, reply.reason) == (False, "I see the master up")


def test_a_pre_vote_of_another_membership_is_refused() -> None:
    reply = seeing_the_master_down().ask_pre_vote("s2", 2, members=("s1", "s2"))
    assert (reply.granted, reply.reason) == (False, "another membership")


def test_a_pre_vote_for_an_epoch_that_is_voted_for_already_is_refused() -> None:
    play = seeing_the_master_down(state=fx.VoteState(voted_epoch=7, voted_for="s3"))
    assert not play.ask_pre_vote("s2", 7).granted
    assert play.ask_pre_vote("s2", 8).granted


def test_a_pre_vote_of_a_sentinel_that_does_not_know_the_newest_record_is_refused() -> None:
    play = Play.watching()
    play.save(play.tell(fx.RecordRead(record(2, "n2"))))
    play.let(play.timing.down_after_s + 0.1)
    request = PreVoteRequest(sender="s2", epoch=3, record=FIRST, members=play.config.members)
    (reply,) = sent(play.hear(request), PreVoteReply)
    assert "your record is of epoch 1" in reply.reason


def test_a_pre_vote_is_refused_while_a_leader_is_alive_that_this_sentinel_voted_for() -> None:
    play = seeing_the_master_down()
    play.save(play.ask_vote("s3", 2))
    assert play.ask_pre_vote("s2", 3).reason == "s3 leads"
    play.let(2 * play.timing.vote_timeout_s + 0.01)
    assert play.ask_pre_vote("s2", 3).granted, "a leader that does nothing for so long is not alive"


def test_a_request_of_somebody_who_is_not_configured_gets_no_answer() -> None:
    play = seeing_the_master_down()
    members = play.config.members
    for kind in (PreVoteRequest, VoteRequest):
        assert play.hear(kind(sender="stranger", epoch=2, record=FIRST, members=members)) == []


# --- the vote ---


def test_a_vote_is_written_before_anybody_hears_of_it() -> None:
    play = seeing_the_master_down()
    asked = play.ask_vote("s2", 2)
    (write,) = only(asked, fx.SaveVote)
    assert write.state == fx.VoteState(voted_epoch=2, voted_for="s2", record=FIRST)
    assert not sent(asked, VoteReply)
    saved = play.tell(fx.VoteSaved(write.state))
    assert granted(saved).granted and granted(saved).epoch == 2
    assert event(saved, "+vote-for-leader").subject == "s2"


def test_there_is_one_vote_per_epoch() -> None:
    play = seeing_the_master_down()
    play.save(play.ask_vote("s2", 2))
    reply = granted(play.ask_vote("s3", 2))
    assert not reply.granted and reply.voted_epoch == 2


def test_there_is_one_vote_per_epoch_while_the_first_is_still_being_written() -> None:
    play = seeing_the_master_down()
    writing = play.ask_vote("s2", 2)
    assert granted(play.ask_vote("s3", 2)).reason == "busy writing a vote for s2"
    assert granted(play.save(writing)).granted


def test_a_repeated_request_is_answered_again_without_another_write() -> None:
    play = seeing_the_master_down()
    play.save(play.ask_vote("s2", 2))
    again = play.ask_vote("s2", 2)
    assert granted(again).granted and not only(again, fx.SaveVote)


def test_a_repeated_request_is_answered_again_after_a_restart_and_another_one_refused() -> None:
    play = Play.watching(state=fx.VoteState(voted_epoch=2, voted_for="s2", record=FIRST))
    play.crash("n1")
    assert granted(play.ask_vote("s2", 2)).granted
    assert not granted(play.ask_vote("s3", 2)).granted


def test_a_vote_for_a_lower_epoch_than_the_last_one_is_refused() -> None:
    play = seeing_the_master_down(state=fx.VoteState(voted_epoch=5, voted_for="s3", record=FIRST))
    assert not granted(play.ask_vote("s2", 4)).granted


def test_a_vote_for_an_epoch_that_has_a_record_is_refused() -> None:
    play = Play.watching()
    play.save(play.tell(fx.RecordRead(record(4, "n2"))))
    play.let(play.timing.down_after_s + 0.1)
    assert "not above" in granted(play.ask_vote("s2", 4)).reason


def test_a_vote_is_refused_while_this_sentinel_sees_the_master_up() -> None:
    assert granted(Play.watching().ask_vote("s2", 2)).reason == "I see the master up"


def test_a_vote_that_cannot_be_written_is_refused_and_counts_for_nobody() -> None:
    play = seeing_the_master_down()
    (write,) = only(play.ask_vote("s2", 2), fx.SaveVote)
    failed = play.tell(fx.VoteNotSaved(write.state, "no space left on device"))
    assert granted(failed).reason == "the vote could not be written: no space left on device"
    assert "+vote-file-error" in said(failed) and "+vote-for-leader" not in said(failed)
    assert play.core.voter.state.voted_epoch == 0


def test_who_cannot_write_supports_nobody_until_a_write_that_is_tried_again_with_each_reading_succeeds() -> None:
    play = seeing_the_master_down()
    (write,) = only(play.ask_vote("s2", 2), fx.SaveVote)
    play.tell(fx.VoteNotSaved(write.state, "disk full"))
    assert play.ask_pre_vote("s2", 2).reason == "the vote file cannot be written: disk full"
    assert granted(play.ask_vote("s3", 2)).reason == "the vote file cannot be written: disk full"
    play.peer_views("s2", down=("n1",))
    assert not sent(play.let(3.0), PreVoteRequest), "nor does it campaign"
    (again,) = only(play.tell(fx.ControlsRead(NO_CONTROLS)), fx.SaveVote)
    failed_again = play.tell(fx.VoteNotSaved(again.state, "disk full"))
    assert "+vote-file-error" not in said(failed_again), "the same problem is told once"
    play.save(play.tell(fx.ControlsRead(NO_CONTROLS)))
    assert granted(play.save(play.ask_vote("s3", 2))).granted, "the vote that could not be written is free"


# --- writes that are not votes ---


def test_a_record_only_write_that_is_under_way_does_not_lose_the_vote_that_waits_for_it() -> None:
    play = seeing_the_master_down()
    (record_write,) = only(play.tell(fx.RecordRead(record(2, "n1"))), fx.SaveVote)
    play.let(play.timing.down_after_s + 0.1)
    assert play.ask_vote("s2", 3) == [], "the disk is busy; nothing is said yet"
    (vote_write,) = only(play.tell(fx.VoteSaved(record_write.state)), fx.SaveVote)
    assert vote_write.state == fx.VoteState(voted_epoch=3, voted_for="s2", record=record(2, "n1"))
    assert granted(play.tell(fx.VoteSaved(vote_write.state))).granted


def test_a_record_that_is_learnt_while_a_vote_is_written_never_lowers_it() -> None:
    play = seeing_the_master_down()
    (vote_write,) = only(play.ask_vote("s2", 5), fx.SaveVote)
    assert only(play.tell(fx.RecordRead(record(2, "n2"))), fx.SaveVote) == [], "one write at a time"
    after = play.tell(fx.VoteSaved(vote_write.state))
    assert granted(after).granted
    (record_write,) = only(after, fx.SaveVote)
    assert record_write.state == fx.VoteState(voted_epoch=5, voted_for="s2", record=record(2, "n2"))


def test_a_record_that_could_not_be_written_is_written_when_it_is_read_again() -> None:
    play = Play.watching()
    (write,) = only(play.tell(fx.RecordRead(record(2, "n2"))), fx.SaveVote)
    assert not sent(play.tell(fx.VoteNotSaved(write.state, "disk")), VoteReply)
    (again,) = only(play.tell(fx.RecordRead(record(2, "n2"))) + play.tell(fx.ControlsRead(NO_CONTROLS)), fx.SaveVote)
    assert again.state.record == record(2, "n2")


def test_a_vote_that_was_decided_under_an_older_membership_is_lost_when_the_newer_one_is_on_disk() -> None:
    play = seeing_the_master_down()
    four = replace(NO_CONTROLS, revision=1, membership=Membership(version=1, members=("s1", "s2", "s3", "s4")))
    (write,) = only(play.tell(fx.ControlsRead(four)), fx.SaveVote)
    assert play.ask_vote("s2", 2) == [], "the disk is busy"
    after = play.tell(fx.VoteSaved(write.state))
    assert granted(after).reason == "another membership"
    assert not only(after, fx.SaveVote) and play.core.voter.state.voted_epoch == 0


# --- campaigning ---


def test_a_campaign_begins_with_a_pre_vote_at_the_next_epoch_after_a_random_wait() -> None:
    play = seeing_the_master_down()
    early = play.peer_views("s2", down=("n1",))
    assert not sent(early, PreVoteRequest), "sentinels that notice at the same instant do not ask at the same instant"
    later = play.let(play.timing.desync_s)
    requests = sent(later, PreVoteRequest)
    assert [request.epoch for request in requests] == [2, 2]
    assert not only(later, fx.SaveVote), "nothing is voted for in a pre-vote"


def test_a_master_that_comes_back_within_the_random_wait_is_not_campaigned_against() -> None:
    play = seeing_the_master_down(dice=0.9)
    play.peer_views("s2", down=("n1",))
    play.pong(play.infos["n1"])
    play.tell(fx.NodeConnected("n1"))
    assert not sent(play.let(1.0, answering=("n1",)), PreVoteRequest)
    assert play.phase() is Phase.IDLE


def test_the_own_vote_is_on_disk_before_votes_are_asked_for() -> None:
    play = Play.watching()
    play.master_falls()
    pre_voted = play.pre_vote("s2", 2)
    (write,) = only(pre_voted, fx.SaveVote)
    assert (write.state.voted_epoch, write.state.voted_for) == (2, "s1")
    assert not sent(pre_voted, VoteRequest)
    assert len(sent(play.tell(fx.VoteSaved(write.state)), VoteRequest)) == 2


def test_a_candidate_that_cannot_write_its_own_vote_backs_off() -> None:
    play = Play.watching()
    play.master_falls()
    (write,) = only(play.pre_vote("s2", 2), fx.SaveVote)
    assert not sent(play.tell(fx.VoteNotSaved(write.state, "disk")), VoteRequest)
    assert play.phase() is Phase.BACKOFF


def test_pre_votes_without_a_majority_lead_to_no_vote() -> None:
    play = Play.watching(members=("s1", "s2", "s3", "s4", "s5"), quorum=2)
    play.master_falls()
    play.pre_vote("s2", 2)
    play.pre_vote("s3", 2, False, "I see the master up")
    assert not only(play.let(play.timing.vote_timeout_s + 0.01), fx.SaveVote)


@pytest.mark.parametrize("epoch", [1, 3])
def test_replies_of_another_epoch_do_not_count(epoch: int) -> None:
    play = Play.watching()
    play.master_falls()
    assert not only(play.pre_vote("s2", epoch), fx.SaveVote)
    play.save(play.pre_vote("s2", 2))
    assert not only(play.vote("s3", epoch), fx.Award)
    assert play.phase() is Phase.VOTING


def test_replies_of_ids_that_are_not_configured_do_not_count() -> None:
    play = Play.watching()
    play.master_falls()
    assert not only(play.pre_vote("stranger", 2), fx.SaveVote)
    play.save(play.pre_vote("s2", 2))
    assert not only(play.vote("stranger", 2), fx.Award)


def test_a_reply_that_arrives_twice_counts_once() -> None:
    play = Play.watching(members=("s1", "s2", "s3", "s4", "s5"), quorum=2)
    play.master_falls()
    for _ in range(3):
        play.pre_vote("s2", 2)
    assert play.phase() is Phase.PRE_VOTE


def test_a_late_pre_vote_reply_is_not_taken_for_a_vote() -> None:
    play = Play.watching()
    play.master_falls()
    play.save(play.pre_vote("s2", 2))
    assert not only(play.pre_vote("s3", 2), fx.Award)
    assert play.phase() is Phase.VOTING


def test_a_campaign_asks_above_every_epoch_that_anybody_is_known_to_have_voted_for() -> None:
    play = Play.watching()
    play.peer_views("s3", voted_epoch=6)
    play.master_falls()
    assert play.core.campaign.epoch == 7


def test_a_split_vote_is_told_and_backs_off_with_a_doubling_random_wait() -> None:
    play = Play.watching()
    play.master_falls()
    waits = []
    for _ in range(7):
        epoch = play.core.campaign.epoch
        play.peer_views("s2", down=("n1",))
        play.save(play.pre_vote("s2", epoch))
        play.vote("s2", epoch, False, "voted for s3")
        lost = play.vote("s3", epoch, False, "voted for itself")
        assert event(lost, "-failover-abort-not-elected").detail["answers"] == {
            "s1": "granted",
            "s2": "voted for s3",
            "s3": "voted for itself",
        }
        assert play.phase() is Phase.BACKOFF
        began = play.now
        while play.phase() is Phase.BACKOFF:
            play.peer_views("s2", down=("n1",))
            play.let(0.01)
        waits.append(play.now - began)
        assert play.core.campaign.epoch == epoch + 1, "it is tried again at a higher epoch"
    base = play.timing.retry_min_s * 1.5  # the dice show 0.5
    assert waits[:4] == pytest.approx([base, 2 * base, 4 * base, 8 * base], abs=0.02)
    assert waits[-1] == pytest.approx(play.timing.retry_max_s * 1.5, abs=0.02)


def test_the_random_wait_is_random() -> None:
    phases = []
    for dice in (0.0, 0.9):
        play = Play.watching(dice=dice)
        play.master_falls()
        play.let(play.timing.vote_timeout_s + 0.001)
        phases.append(play.core.campaign.next_deadline() - play.now)
    assert phases[1] - phases[0] > 0.1


def test_votes_that_never_come_end_the_round_in_time() -> None:
    play = Play.watching()
    play.master_falls()
    play.save(play.pre_vote("s2", 2))
    assert "-failover-abort-not-elected" in said(play.let(play.timing.vote_timeout_s + 0.001))


def test_no_campaign_without_redis_because_the_award_could_not_be_written() -> None:
    play = Play.watching()
    play.tell(fx.BusChanged(False))
    play.master_falls()
    assert play.phase() is Phase.IDLE


def test_no_campaign_while_a_fresh_peer_leads_one() -> None:
    play = Play.watching()
    play.crash("n1")
    play.peer_views("s2", down=("n1",), leading_epoch=2)
    play.let(play.timing.desync_s + 0.001)
    assert play.phase() is Phase.IDLE


# --- two that ask at once ---


def test_of_two_simultaneous_pre_votes_the_lower_id_goes_on() -> None:
    low, high = Play.watching(me="s1"), Play.watching(me="s2")
    low.master_falls()
    high.crash("n1")
    high.peer_views("s1", down=("n1",))
    high.let(high.timing.desync_s + 0.001)
    assert low.phase() is high.phase() is Phase.PRE_VOTE
    refused = low.ask_pre_vote("s2", 2)
    assert not refused.granted and "my id is lower" in refused.reason
    assert low.phase() is Phase.PRE_VOTE
    assert high.ask_pre_vote("s1", 2).granted
    assert high.phase() is Phase.BACKOFF


def test_a_wish_that_came_too_early_is_answered_when_this_sentinel_sees_it_too() -> None:
    play = Play.watching()
    assert not play.ask_pre_vote("s2", 2).granted
    (late,) = sent(play.crash("n1"), PreVoteReply, "s2")
    assert late.granted and late.epoch == 2


def test_a_wish_that_is_older_than_the_round_it_was_for_is_forgotten() -> None:
    play = Play.watching()
    play.ask_pre_vote("s2", 2)
    play.let(play.timing.vote_timeout_s + 0.01, answering=("n1", "n2", "n3"))
    assert sent(play.crash("n1"), PreVoteReply, "s2") == []


def test_a_sentinel_that_granted_a_pre_vote_lets_the_other_go_first() -> None:
    play = Play.watching(dice=0.9)
    play.crash("n1")
    play.peer_views("s2", down=("n1",))
    assert play.phase() is Phase.DESYNC
    assert play.ask_pre_vote("s2", 2).granted
    assert play.phase() is Phase.BACKOFF
