"""Objectively down, tilt, and the record: what this sentinel makes of its own view and of those of its peers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.wire.messages import PreVoteReply, PreVoteRequest, Views, VoteReply, VoteRequest
from sentinel import effects as fx
from sentinel.failover import Phase
from sentinel.health import judge
from sentinel.watch import GATHER_S, Changes
from tests.playbook import FIRST, NOBODY, Play, event, node, only, record, said, sent
from tests.test_sentinel_random import World, happenings

FIVE = ("s1", "s2", "s3", "s4", "s5")


def objectively_down(play: Play, id: str = "n1") -> bool:
    return play.view(id).objectively_down


# --- quorum and majority ---


def test_one_view_alone_is_no_quorum() -> None:
    play = Play.watching()
    play.crash("n1")
    play.let(1.0, answering=("n2", "n3"))
    assert not objectively_down(play)


def test_the_own_view_and_that_of_a_peer_make_a_quorum_of_two() -> None:
    play = Play.watching()
    play.crash("n1")
    effects = play.peer_views("s2", down=("n1",))
    assert event(effects, "+odown").detail["views"] == ["s1", "s2"]


def test_views_of_peers_without_the_own_one_are_no_quorum() -> None:
    play = Play.watching(members=FIVE, quorum=2)
    for peer in FIVE[1:]:
        play.peer_views(peer, down=("n1",))
    assert not objectively_down(play)


def test_quorum_and_majority_are_two_numbers_quorum_declares_down_but_a_majority_authorises() -> None:
    play = Play.watching(members=FIVE, quorum=2)
    play.crash("n1")
    play.peer_views("s2", down=("n1",))
    assert objectively_down(play), "two of five are the quorum"
    play.let(play.timing.desync_s + 0.001)
    assert play.phase() is Phase.PRE_VOTE
    play.pre_vote("s2", 2)
    assert play.phase() is Phase.PRE_VOTE, "two of five authorise nothing"
    play.save(play.pre_vote("s3", 2))
    assert play.phase() is Phase.VOTING
    play.vote("s2", 2)
    assert play.phase() is Phase.VOTING
    assert only(play.vote("s3", 2), fx.Award), "three of five do"


def test_a_quorum_above_the_majority_is_waited_for() -> None:
    play = Play.watching(quorum=3)
    play.crash("n1")
    play.peer_views("s2", down=("n1",))
    assert not objectively_down(play)
    play.peer_views("s3", down=("n1",))
    assert objectively_down(play)


def test_a_quorum_of_one_declares_down_alone_and_still_needs_a_majority_of_votes() -> None:
    play = Play.watching(quorum=1)
    effects = play.crash("n1") + play.let(play.timing.desync_s)
    assert "+odown" in said(effects)
    assert sent(effects, PreVoteRequest)
    assert not only(effects, fx.SaveVote)


# --- whose views count ---


def test_a_view_of_another_incarnation_does_not_count() -> None:
    play = Play.watching()
    play.crash("n1")
    play.peer_views("s2", down=("n1",), incarnation="n1-older")
    assert not objectively_down(play)


def test_a_stale_view_does_not_count() -> None:
    play = Play.watching()
    play.peer_views("s2", down=("n1",))
    play.let(play.timing.view_fresh_s + 0.01, answering=("n1", "n2", "n3"))
    play.crash("n1")
    assert not objectively_down(play)


def test_a_view_that_becomes_stale_ends_the_objective_state() -> None:
    play = Play.watching()
    play.crash("n1")
    play.peer_views("s2", down=("n1",))
    effects = play.let(play.timing.view_fresh_s + play.timing.ping_period_s, answering=("n2", "n3"))
    assert "-odown" in said(effects)


def test_a_view_of_a_sentinel_in_tilt_does_not_count() -> None:
    play = Play.watching()
    play.crash("n1")
    play.peer_views("s2", down=("n1",), tilt=True)
    assert not objectively_down(play)


def test_a_view_of_somebody_who_is_not_configured_does_not_count() -> None:
    play = Play.watching()
    play.crash("n1")
    assert play.peer_views("stranger", down=("n1",)) == []
    assert not objectively_down(play)


def test_a_peer_that_sees_it_again_takes_its_view_back() -> None:
    play = Play.watching()
    play.crash("n1")
    play.peer_views("s2", down=("n1",))
    assert "-odown" in said(play.peer_views("s2"))


def test_workers_are_declared_down_the_same_way_but_start_no_campaign() -> None:
    play = Play.watching()
    play.crash("n2")
    effects = play.peer_views("s3", down=("n2",)) + play.let(1.0, answering=("n1", "n3"))
    assert event(effects, "+odown").subject == "n2"
    assert event(effects, "+odown").detail["master"] is False
    assert play.phase() is Phase.IDLE


def test_a_changed_view_is_pushed_to_all_peers_at_once_and_asks_for_theirs() -> None:
    play = Play.watching()
    views = sent(play.crash("n1"), Views)
    assert {message.views[0].node for message in views if message.ask} == {"n1"}
    assert len([message for message in views if message.ask]) == 2


def test_views_are_sent_every_ping_period() -> None:
    play = Play.watching()
    effects = play.let(10 * play.timing.ping_period_s, answering=("n1", "n2", "n3"))
    assert 9 <= len(sent(effects, Views, "s2")) <= 11


def test_who_asks_is_answered_with_views_at_once() -> None:
    play = Play.watching()
    assert len(sent(play.peer_views("s2", ask=True), Views, "s2")) == 1
    assert sent(play.peer_views("s2"), Views) == []


# --- tilt ---


def in_tilt() -> Play:
    play = Play.watching()
    effects = play.stall(play.timing.tilt_stall_s + 0.1)
    assert event(effects, "+tilt").cause.startswith("stalled for 1.1 s")
    return play


def test_a_stalled_sentinel_is_in_tilt_and_says_so_in_its_views() -> None:
    play = in_tilt()
    assert all(message.tilt for message in sent(play.let(1.0), Views))


def test_in_tilt_it_observes_and_judges_nobody() -> None:
    play = in_tilt()
    play.let(play.timing.tilt_s - 0.1)
    assert play.cause("n1") == ""
    assert play.view("n1").info is not None


def test_in_tilt_it_neither_votes_nor_grants_pre_votes() -> None:
    play = Play.watching()
    play.crash("n1")
    play.stall(play.timing.tilt_stall_s + 0.1)
    assert play.ask_pre_vote("s2", 2).reason == "in tilt"
    (reply,) = sent(play.ask_vote("s2", 2), VoteReply)
    assert (reply.granted, reply.reason) == (False, "in tilt")


def test_a_campaign_that_asks_for_votes_ends_in_tilt_and_none_begins() -> None:
    play = Play.watching()
    play.master_falls()
    assert play.phase() is Phase.PRE_VOTE
    play.stall(play.timing.tilt_stall_s + 0.1)
    assert play.phase() is Phase.IDLE
    play.peer_views("s2", down=("n1",))
    assert not sent(play.let(play.timing.tilt_s - 0.1), PreVoteRequest)


def test_tilt_ends_by_itself_and_who_was_silent_meanwhile_gets_a_new_chance() -> None:
    play = in_tilt()
    assert "-tilt" in said(play.let(play.timing.tilt_s + 0.001))
    assert play.cause("n1") == "", "silence during the own absence is no evidence"
    play.let(play.timing.down_after_s)
    assert play.cause("n1") == "silence"


def test_a_further_stall_in_tilt_lengthens_it_without_a_second_event() -> None:
    play = in_tilt()
    play.let(play.timing.tilt_s - 0.5)
    assert "+tilt" not in said(play.stall(play.timing.tilt_stall_s + 0.1))
    play.let(play.timing.tilt_s - 0.1)
    assert play.core.watch.tilt


# --- the record ---


def test_a_higher_record_is_learnt_from_wherever_it_comes() -> None:
    second = record(2, "n2")
    by_redis, by_peer, by_pong, by_request = (Play.watching() for _ in range(4))
    by_redis.tell(fx.RecordRead(second))
    by_peer.peer_views("s2", known=second)
    by_pong.pong(node("n2"), known=second)
    by_request.hear(PreVoteRequest(sender="s2", epoch=3, record=second, members=("s1", "s2", "s3")))
    for play in (by_redis, by_peer, by_pong, by_request):
        assert play.core.record == second


def test_a_learnt_record_is_written_to_disk_with_the_vote_unchanged() -> None:
    play = Play.watching(state=fx.VoteState(voted_epoch=1, voted_for="s3"))
    effects = play.tell(fx.RecordRead(record(2, "n2")))
    assert event(effects, "+new-epoch").epoch == 2
    (write,) = only(effects, fx.SaveVote)
    assert write.state == fx.VoteState(voted_epoch=1, voted_for="s3", record=record(2, "n2"))


@pytest.mark.parametrize("stored", [NOBODY, FIRST], ids=["none", "lower"])
def test_a_lower_record_in_redis_is_repaired(stored: object) -> None:
    play = Play.watching()
    play.tell(fx.RecordRead(record(3, "n3")))
    assert stored in (NOBODY, FIRST)
    effects = play.tell(fx.RecordRead(NOBODY if stored == NOBODY else FIRST))
    assert only(effects, fx.Repair) == [fx.Repair(record(3, "n3"))]
    assert play.core.record == record(3, "n3")


def test_a_peer_with_a_lower_record_is_sent_ours() -> None:
    play = Play.watching()
    play.tell(fx.RecordRead(record(3, "n3")))
    (answer,) = sent(play.peer_views("s2", known=FIRST), Views, "s2")
    assert answer.record == record(3, "n3")


def test_a_node_with_a_lower_record_changes_nothing() -> None:
    play = Play.watching()
    play.tell(fx.RecordRead(record(3, "n3")))
    assert only(play.pong(node("n2"), known=FIRST), fx.Repair) == []
    assert play.core.record.epoch == 3


def test_the_record_on_disk_is_known_after_a_restart_without_redis_or_peers() -> None:
    play = Play(state=fx.VoteState(voted_epoch=4, voted_for="s2", record=record(4, "n2")))
    assert play.core.record == record(4, "n2")
    assert only(play.tell(fx.RecordRead(NOBODY)), fx.Repair) == [fx.Repair(record(4, "n2"))]


def test_a_calm_cluster_asks_for_nothing_and_says_nothing() -> None:
    play = Play.watching()
    effects = play.let(60.0, answering=("n1", "n2", "n3"))
    assert said(effects) == []
    assert not sent(effects, PreVoteRequest) and not sent(effects, VoteRequest) and not sent(effects, PreVoteReply)
    assert not only(effects, fx.SaveVote)


def test_ticks_at_each_deadline_advance_time_so_the_loop_is_never_busy() -> None:
    play = Play.watching()
    play.crash("n1")
    play.peer_views("s2", down=("n1",))
    began = play.now
    for _ in range(1_000):
        deadline = play.core.deadline()
        play.now = max(play.now, deadline)
        play.tell(fx.Ticked())
    assert play.now - began > 1_000 * 0.01


# --- a step judges only what can have changed ---


def judged_by_looking_at_everybody(play: Play) -> None:
    """After each step nothing is left that judging all nodes would change, and the deadline misses nothing."""
    watch, now = play.core.watch, play.core._now
    fresh = watch.fresh(now)
    for view in watch.nodes.values():
        if not watch.tilt:
            assert view.down_cause == judge(
                view,
                record=watch.record,
                accepted=watch.accepted,
                bus_up_since=watch.bus_up_since,
                timing=watch.timing,
                stretch=watch.stretch,
                now=now,
                handover=watch.handover,
            )
        about = (view.id, watch.incarnation(view))
        agree = [
            sender for sender, said in fresh.items() if about in [(v.node, v.incarnation) for v in said.views if v.down]
        ]
        down = view.down_since is not None
        assert view.objectively_down == (down and not watch.tilt and 1 + len(agree) >= watch.quorum)
        silent_at = view.silent_since() + watch.timing.down_after_s * watch.stretch
        assert watch.tilt or down or silent_at <= now or watch.next_change(now) <= silent_at
    assert {view.node for view in watch.down_views()} == {
        id for id, v in watch.nodes.items() if v.down_since is not None
    }


@settings(max_examples=400)
@given(st.lists(happenings, max_size=60))
def test_after_each_step_judging_everybody_would_change_nothing(story: list[Any]) -> None:
    world = World()
    for happening in story:
        world.take(happening)
        if world.play.core.deadline() > world.play.now + 0.001:  # one that has just begun makes its first step at once
            judged_by_looking_at_everybody(world.play)


def test_a_worker_that_said_goodbye_is_not_down_and_does_not_hide_the_silence_of_another() -> None:
    play = Play.watching()
    play.pong(node("n2", leaving=True))
    play.let(play.timing.down_after_s + 0.1, answering=("n1",))
    assert (play.view("n2").down_cause, play.view("n3").down_cause) == ("", "silence")
    judged_by_looking_at_everybody(play)


# --- many nodes at once ---


def crowd() -> Play:
    return Play.watching([node(f"n{number}") for number in range(2, 60)])


def test_where_many_nodes_go_down_together_their_views_are_gathered_and_the_last_message_names_all() -> None:
    play = crowd()
    fallen = [f"n{number}" for number in range(2, 42)]
    effects = [effect for name in fallen for effect in play.tell(fx.NodeConnectionLost(name))]
    for _ in range(play.timing.crash_dials):
        effects += play.let(play.timing.crash_confirm_s / (play.timing.crash_dials - 1) + 0.001)
        effects += [effect for name in fallen for effect in play.tell(fx.DialFailed(name, True))]
    messages = sent(effects + play.let(GATHER_S + 0.001), Views, to="s2")
    assert {view.node for view in messages[-1].views} == set(fallen)
    assert messages[-1].ask
    assert [len(message.views) for message in messages] == [1, len(fallen)], "the first at once, the others together"


def test_a_change_of_the_master_is_told_at_once_however_many_others_go_down() -> None:
    changes = Changes()
    changes.note(urgent=False)
    assert changes.due(1.0) == 1.0, "after quiet"
    assert changes.told(1.0)
    changes.note(urgent=False)
    assert changes.due(1.001) == 1.0 + GATHER_S
    changes.note(urgent=True)
    assert changes.due(1.001) == 1.001
    assert changes.told(1.001)
    assert not changes.told(1.002), "nothing is left"
    assert changes.due(1.002) == float("inf")


def test_a_newcomer_is_not_blamed_for_a_silence_before_it_was_dialled_but_the_master_is() -> None:
    play = Play.watching()
    play.tell(fx.NodesListed((node("n1"), node("n2"), node("n3"), node("n4"))))
    for _ in range(8):
        play.let(0.5, answering=("n1", "n2", "n3"))
        play.tell(fx.NodesListed((node("n1"), node("n2"), node("n3"), node("n4"))))
    assert play.cause("n4") == ""
    play.tell(fx.DialFailed("n4", False))
    for _ in range(8):
        play.let(0.5, answering=("n1", "n2", "n3"))
        play.tell(fx.NodesListed((node("n1"), node("n2"), node("n3"), node("n4"))))
    assert play.cause("n4") == "silence"
    play.tell(fx.RecordRead(record(5, "n9")))
    play.let(play.timing.down_after_s + 0.1, answering=("n1", "n2", "n3"))
    assert play.cause("n9") == "silence"
