"""What the operator asks for, in the sentinel's core: pause, switchover, tags, and who the sentinels are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ha_stress.cluster import controls as ctl
from ha_stress.cluster.controls import NO_CONTROLS, Controls, Membership, Tags
from ha_stress.wire.messages import PreVoteRequest, Views, VoteRequest
from sentinel import effects as fx
from sentinel.explain import explain
from sentinel.failover import Phase
from sentinel.handover import PATIENCE_S
from tests.playbook import FIRST, Play, event, node, only, record, said, sent

PAUSED = ctl.pause(NO_CONTROLS, "maintenance of the rack")
FOUR = Membership(version=1, members=("s1", "s2", "s3", "s4"), floor=0)


def read(play: Play, controls: Controls, *, on_disk: bool = True) -> list[fx.Effect]:
    """Redis has these controls; the disk takes them."""
    effects = play.tell(fx.ControlsRead(controls))
    return effects + (play.save(effects) if on_disk else [])


def candidates_of(play: Play) -> dict[str, str]:
    return {row["node"]: row["dropped"] for row in explain(play.core, play.now)["candidates"]}


# --- pause ---


def test_a_paused_sentinel_observes_and_does_not_campaign() -> None:
    play = Play.watching()
    read(play, PAUSED)
    effects = play.master_falls() + play.let(5.0)
    assert "+odown" in said(effects)
    assert "+try-failover" not in said(effects)


def test_a_paused_sentinel_refuses_votes_and_says_why() -> None:
    play = Play.watching()
    read(play, PAUSED)
    play.crash("n1")
    assert play.ask_pre_vote("s2", 2).reason == "paused by the operator"
    assert not only(play.ask_vote("s2", 2), fx.SaveVote)


def test_a_pause_ends_a_campaign_that_nobody_has_won_yet() -> None:
    play = Play.watching()
    play.master_falls()
    assert play.phase() is Phase.PRE_VOTE
    read(play, PAUSED)
    assert play.phase() is Phase.IDLE


def test_a_failover_that_waited_for_the_pause_begins_with_its_end() -> None:
    play = Play.watching()
    read(play, PAUSED)
    play.master_falls()
    effects = (
        read(play, ctl.resume(PAUSED)) + play.peer_views("s2", down=("n1",)) + play.let(play.timing.desync_s + 0.01)
    )
    assert sent(effects, PreVoteRequest)


def test_a_pause_survives_a_restart_of_the_sentinel_and_a_redis_that_forgot_it() -> None:
    play = Play.watching()
    (kept,) = [effect.state for effect in only(read(play, PAUSED), fx.SaveVote)]
    again = Play.watching(state=kept)
    assert again.core.paused
    (mended,) = only(again.tell(fx.ControlsRead(NO_CONTROLS)), fx.RepairControls)
    assert mended.controls == PAUSED


def test_older_controls_change_nothing() -> None:
    play = Play.watching()
    resumed = ctl.resume(PAUSED)
    read(play, resumed)
    assert only(read(play, PAUSED), fx.RepairControls)[0].controls == resumed
    assert not play.core.paused


def test_a_membership_that_redis_has_lost_is_written_back_with_the_wishes_that_came_since() -> None:
    play = Play.watching()
    read(play, with_four())
    (mended,) = only(read(play, replace(PAUSED, revision=9)), fx.RepairControls)
    assert (mended.controls.membership, mended.controls.paused, mended.controls.revision) == (FOUR, True, 10)
    assert play.core.membership == FOUR and play.core.paused
    assert not only(read(play, mended.controls), fx.RepairControls), "what was written back is the truth"


# --- switchover ---


def test_a_switchover_is_voted_on_and_goes_to_the_best() -> None:
    play = Play.watching()
    effects = read(play, ctl.ask_switchover(NO_CONTROLS, FIRST, ""))
    assert event(effects, "+sdown").cause == "switchover"
    play.peer_views("s2", down=("n1",))
    play.let(play.timing.desync_s + 0.001)
    play.save(play.pre_vote("s2", 2))
    (award,) = only(play.vote("s2", 2), fx.Award)
    assert award.record == record(2, "n2")
    assert award.failover["kind"] == "switchover" and award.failover["cause"] == "switchover"


def test_the_end_of_an_objective_state_names_its_cause_so_that_nobody_is_told_of_what_was_asked_for() -> None:
    play = Play.watching()
    read(play, ctl.ask_switchover(NO_CONTROLS, FIRST, ""))
    assert event(play.peer_views("s2", down=("n1",)), "+odown").cause == "switchover"
    assert event(play.tell(fx.RecordRead(record(2, "n2"))), "-odown").cause == "switchover"


def test_a_switchover_to_a_node_goes_to_that_node_even_if_others_rank_higher() -> None:
    play = Play.watching(nodes=(node("n2", priority=1), node("n3", priority=100)))
    read(play, ctl.ask_switchover(NO_CONTROLS, FIRST, "n3"))
    play.peer_views("s2", down=("n1",))
    play.let(play.timing.desync_s + 0.001)
    play.save(play.pre_vote("s2", 2))
    (award,) = only(play.vote("s2", 2), fx.Award)
    assert award.record.node == "n3"
    assert {row["node"]: row["dropped"] for row in award.failover["candidates"]}["n2"] == "the switchover is to n3"


@pytest.mark.parametrize(
    "target", [node("n3", priority=0), node("n3", draining=True), node("n3", healthy=False), node("n3", leaving=True)]
)
def test_a_switchover_to_a_node_that_cannot_be_master_costs_no_vote(target: object) -> None:
    play = Play.watching(nodes=(node("n2"), target))  # type: ignore[arg-type]
    effects = read(play, ctl.ask_switchover(NO_CONTROLS, FIRST, "n3")) + play.let(1.0)
    assert "+sdown" not in said(effects)


def test_a_switchover_is_possible_in_pause() -> None:
    play = Play.watching()
    read(play, PAUSED)
    read(play, ctl.ask_switchover(PAUSED, FIRST, ""))
    assert play.ask_pre_vote("s2", 2).granted


def test_a_voter_that_has_not_read_the_wish_sees_the_master_up_and_refuses() -> None:
    play = Play.watching()
    assert play.ask_pre_vote("s2", 2).reason == "I see the master up"


def test_a_wish_that_nobody_fulfilled_is_not_followed_for_ever() -> None:
    play = Play.watching()
    read(play, ctl.ask_switchover(NO_CONTROLS, FIRST, ""))
    assert play.cause("n1") == "switchover"
    play.let(PATIENCE_S + play.timing.ping_period_s, answering=("n1", "n2", "n3"))
    assert play.cause("n1") == ""


def test_a_wish_is_void_under_another_epoch() -> None:
    play = Play.watching()
    play.tell(fx.RecordRead(record(2, "n2")))
    read(play, ctl.ask_switchover(NO_CONTROLS, FIRST, ""))
    assert play.cause("n2") == ""


def test_a_wish_that_was_on_disk_at_the_start_is_an_old_one() -> None:
    wish = ctl.ask_switchover(NO_CONTROLS, FIRST, "")
    play = Play.watching(state=fx.VoteState(record=FIRST, controls=wish))
    read(play, wish)
    assert play.cause("n1") == ""
    read(play, ctl.tag(wish, "n3", Tags(draining=True)))  # another change does not renew it
    assert play.cause("n1") == ""
    read(play, ctl.ask_switchover(ctl.tag(wish, "n3", Tags(draining=True)), FIRST, ""))
    assert play.cause("n1") == "switchover"


def test_a_withdrawn_wish_ends_the_campaign() -> None:
    play = Play.watching()
    wish = ctl.ask_switchover(NO_CONTROLS, FIRST, "")
    read(play, wish)
    play.peer_views("s2", down=("n1",))
    play.let(play.timing.desync_s + 0.001)
    assert play.phase() is Phase.PRE_VOTE
    effects = read(play, ctl.withdraw_switchover(wish))
    assert "-sdown" in said(effects) and play.phase() is Phase.IDLE


def test_a_campaign_that_waited_since_before_the_wish_goes_on_for_the_wish_and_to_its_target() -> None:
    play = Play.watching(nodes=(node("n2", priority=1), node("n3")))
    play.master_falls()
    play.core.campaign.back_off(play.now)
    play.tell(fx.NodeConnected("n1"))
    read(play, ctl.ask_switchover(NO_CONTROLS, FIRST, "n3"))
    play.pong(play.infos["n1"])
    play.peer_views("s2", down=("n1",))
    play.let(1.0, answering=("n1", "n2", "n3"))
    assert play.cause("n1") == play.core.campaign.cause == "switchover"


def test_a_master_that_dies_while_a_switchover_waits_for_its_target_is_succeeded_by_anybody() -> None:
    """Of the wish nobody could be found; of the crash somebody can."""
    play = Play.watching(nodes=(node("n2"), node("n3")))
    read(play, ctl.ask_switchover(NO_CONTROLS, FIRST, "n3"))
    play.peer_views("s2", down=("n1", "n3"))  # the leader drops whom a peer holds to be down
    play.let(play.timing.desync_s + 0.001)
    play.save(play.pre_vote("s2", 2))
    assert "-failover-abort-no-good-node" in said(play.vote("s2", 2))
    waiting = []
    for _ in range(3):
        waiting += play.peer_views("s2", down=("n1", "n3")) + play.let(0.2, answering=("n1", "n2", "n3"))
    assert not sent(waiting, PreVoteRequest)
    assert play.core.campaign.cause == "switchover"
    crashed = play.crash("n1") + play.peer_views("s2", down=("n1", "n3"))
    crashed += play.let(play.timing.ping_period_s + 0.01, answering=("n2", "n3"))
    assert sent(crashed, PreVoteRequest)
    assert play.core.campaign.cause == "crash"


# --- tags ---


def test_tags_decide_before_the_node_has_read_them() -> None:
    play = Play.watching()
    controls = ctl.tag(NO_CONTROLS, "n2", Tags(draining=True))
    read(play, controls)
    assert candidates_of(play)["n2"] == "draining"
    read(play, ctl.tag(ctl.tag(controls, "n2", Tags()), "n3", Tags(priority=0)))
    assert candidates_of(play) == {"n1": "is the master that is replaced", "n2": "", "n3": "priority 0"}


def test_a_tagged_priority_ranks() -> None:
    play = Play.watching()
    read(play, ctl.tag(NO_CONTROLS, "n3", Tags(priority=1)))
    assert explain(play.core, play.now)["would_win"] == "n3"


# --- membership ---


def with_four(floor: int = 0) -> Controls:
    return replace(NO_CONTROLS, revision=1, membership=replace(FOUR, floor=floor))


def test_a_membership_counts_when_it_is_on_disk_and_not_before() -> None:
    play = Play.watching()
    written = read(play, with_four(), on_disk=False)
    assert play.core.membership.version == 0 and "s4" not in play.core.peers
    play.save(written)
    assert play.core.membership == FOUR and "s4" in play.core.peers


def test_a_membership_whose_write_failed_is_written_again_when_it_is_read_again() -> None:
    play = Play.watching()
    (write,) = only(read(play, with_four(), on_disk=False), fx.SaveVote)
    play.tell(fx.VoteNotSaved(write.state, "disk full"))
    assert play.core.membership.version == 0
    assert explain(play.core, play.now)["vote_file"] == "disk full"
    read(play, with_four())
    assert play.core.membership == FOUR


def test_a_majority_is_one_of_the_present_members() -> None:
    play = Play.watching()
    read(play, with_four())
    play.master_falls()
    play.peer_views("s3", down=("n1",))
    play.let(play.timing.desync_s + 0.001)
    assert not only(play.pre_vote("s2", play.core.campaign.epoch), fx.SaveVote)  # 2 of 4
    assert only(play.pre_vote("s4", play.core.campaign.epoch), fx.SaveVote)  # 3 of 4


def test_votes_are_asked_and_given_only_among_the_same_members() -> None:
    play = Play.watching()
    read(play, with_four())
    play.crash("n1")
    assert play.ask_pre_vote("s2", 2, members=("s1", "s2", "s3")).reason == "another membership"
    assert play.ask_pre_vote("s4", 2, members=FOUR.members).granted
    requests = sent(
        play.peer_views("s2", down=("n1",)) + play.peer_views("s3", down=("n1",)) + play.let(2.0), PreVoteRequest
    )
    assert requests and all(request.members == FOUR.members for request in requests)


def test_no_vote_at_or_below_the_floor_of_a_membership() -> None:
    play = Play.watching()
    read(play, with_four(floor=7))
    play.crash("n1")
    assert play.ask_pre_vote("s4", 7, members=FOUR.members).reason == "epoch 7 belongs to an earlier membership"
    assert play.ask_pre_vote("s4", 8, members=FOUR.members).granted
    play = Play.watching()
    read(play, with_four(floor=7))
    play.master_falls()
    play.peer_views("s3", down=("n1",))
    play.let(play.timing.desync_s + 0.001)
    assert play.core.campaign.epoch == 8


def test_who_is_removed_watches_and_has_no_vote() -> None:
    play = Play.watching(members=("s1", "s2", "s3", "s4"))
    rest = Membership(version=1, members=("s2", "s3", "s4"))
    read(play, replace(NO_CONTROLS, revision=1, membership=rest))
    effects = (
        play.crash("n1") + play.peer_views("s2", down=("n1",)) + play.peer_views("s3", down=("n1",)) + play.let(3.0)
    )
    assert "+odown" in said(effects) and "+try-failover" not in said(effects)
    assert play.ask_pre_vote("s2", 2, members=rest.members).reason == "no member (any more)"
    assert any("not a member" in reason for reason in explain(play.core, play.now)["why_no_failover"])


def test_who_is_no_member_is_not_listened_to() -> None:
    play = Play.watching()
    play.crash("n1")
    assert not play.peer_views("s4", down=("n1",))
    read(play, with_four())
    play.peer_views("s4", down=("n1",))
    assert "s4" in play.core.watch.heard
    read(play, replace(NO_CONTROLS, revision=2, membership=replace(FOUR, version=2, members=("s1", "s2", "s3"))))
    assert "s4" not in play.core.watch.heard


def test_a_campaign_that_was_begun_under_another_membership_begins_anew() -> None:
    play = Play.watching()
    play.master_falls()
    play.save(play.pre_vote("s2", play.core.campaign.epoch))
    assert play.phase() is Phase.VOTING
    before = play.core.campaign.epoch
    effects = read(play, with_four())
    assert play.phase() in (Phase.IDLE, Phase.DESYNC)
    assert not only(effects + play.vote("s2", before), fx.Award)
    assert not sent(effects, VoteRequest) and sent(play.let(1.0), Views, "s4")


# --- explain ---


def test_in_calm_the_explanation_says_who_would_win_and_that_the_master_is_up() -> None:
    play = Play.watching()
    told = explain(play.core, play.now)
    assert told["would_win"] == "n2"
    assert told["why_no_failover"] == ["n1 is not down for this sentinel"]
    assert told["master"]["accepted"] and not told["master"]["down"]


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (lambda play: play.crash("n1"), "n1 is down for 1 of the 2 sentinels that make the quorum; nothing was heard"),
        (lambda play: read(play, PAUSED), "failovers are paused by the operator (maintenance of the rack)"),
        (lambda play: play.stall(2.0), "this sentinel is in tilt"),
        (lambda play: play.tell(fx.BusChanged(False)), "Redis does not answer this sentinel"),
        (lambda play: play.master_falls(), "a campaign is under way: pre_vote at epoch 2"),
        (lambda play: read(play, ctl.tag(ctl.tag(NO_CONTROLS, "n2", Tags(priority=0)), "n3", Tags(draining=True))),
         "nobody could follow the master"),
    ],
)  # fmt: skip
def test_the_explanation_names_what_stands_in_the_way(happens: object, reason: str) -> None:
    play = Play.watching()
    happens(play)  # type: ignore[operator]
    assert any(sentence.startswith(reason) for sentence in explain(play.core, play.now)["why_no_failover"])


def test_explaining_changes_nothing() -> None:
    play = Play.watching()
    play.master_falls()
    before = repr(play.core.campaign), play.core.deadline()
    assert explain(play.core, play.now) == explain(play.core, play.now)
    assert (repr(play.core.campaign), play.core.deadline()) == before


def test_a_leader_has_no_reason_to_give() -> None:
    play = Play.watching()
    play.elected()
    assert explain(play.core, play.now)["why_no_failover"] == []
