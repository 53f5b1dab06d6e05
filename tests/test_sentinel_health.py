"""Subjectively down: every cause, and what must not be taken for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ha_stress.base.config import Timing
from ha_stress.cluster.members import NodeInfo, Role
from sentinel import effects as fx
from tests.playbook import FIRST, Play, event, node, record, said

# --- crash ---


def test_a_broken_connection_and_enough_refused_dials_over_the_span_are_a_crash() -> None:
    play = Play.watching()
    before = play.now
    effects = play.crash("n1")
    assert play.cause("n1") == "crash"
    assert event(effects, "+sdown").cause == "crash"
    assert play.now - before < 0.1, "a crash does not wait for the silence"


def test_refused_dials_without_a_connection_that_broke_are_no_crash() -> None:
    play = Play.watching()
    play.tell(fx.NodesListed((*play.infos.values(), node("n4"))))  # n4 was never connected
    for _ in range(10):
        play.tell(fx.DialFailed("n4", True))
        play.let(0.05)
    assert play.cause("n4") == ""


def test_a_broken_connection_alone_is_no_crash() -> None:
    play = Play.watching()
    play.tell(fx.NodeConnectionLost("n1"))
    play.let(1.0)
    assert play.cause("n1") == ""


def test_too_few_refused_dials_are_no_crash() -> None:
    play = Play.watching()
    play.tell(fx.NodeConnectionLost("n1"))
    for _ in range(play.timing.crash_dials - 1):
        play.tell(fx.DialFailed("n1", True))
        play.let(0.1)
    assert play.cause("n1") == ""


def test_enough_refused_dials_at_one_instant_are_no_crash_because_a_listener_may_be_being_replaced() -> None:
    play = Play.watching()
    play.tell(fx.NodeConnectionLost("n1"))
    for _ in range(10):
        play.tell(fx.DialFailed("n1", True))
    assert play.cause("n1") == ""


def test_dials_that_time_out_are_no_refusal() -> None:
    play = Play.watching()
    play.tell(fx.NodeConnectionLost("n1"))
    for _ in range(10):
        play.tell(fx.DialFailed("n1", False))
        play.let(0.1)
    assert play.cause("n1") == ""


def test_a_dial_that_succeeds_begins_the_count_of_refusals_anew() -> None:
    play = Play.watching()
    play.tell(fx.NodeConnectionLost("n1"))
    play.tell(fx.DialFailed("n1", True))
    play.tell(fx.DialFailed("n1", True))
    play.let(0.06)
    play.tell(fx.NodeConnected("n1"))
    play.tell(fx.NodeConnectionLost("n1"))
    play.tell(fx.DialFailed("n1", True))
    assert play.cause("n1") == ""


def test_a_crash_ends_with_an_answer_and_not_with_a_connection() -> None:
    play = Play.watching()
    play.crash("n2")
    play.tell(fx.NodeConnected("n2"))
    assert play.cause("n2") == "crash"
    assert event(play.pong(play.infos["n2"]), "-sdown").subject == "n2"
    assert play.cause("n2") == ""


# --- silence ---


def test_no_valid_reply_for_down_after_is_silence() -> None:
    play = Play.watching()
    assert "+sdown" not in said(play.let(play.timing.down_after_s - 0.01, answering=("n2", "n3")))
    assert event(play.let(0.02), "+sdown").cause == "silence"


def test_silence_that_was_found_ends_with_an_answer_and_with_nothing_else() -> None:
    play = Play.watching()
    play.let(play.timing.down_after_s + 0.01, answering=("n2", "n3"))
    assert play.cause("n1") == "silence"
    play.tell(fx.NodeConnected("n1"))
    assert play.cause("n1") == "silence", "a connection is no answer"
    play.stall(0.9 * play.timing.tilt_stall_s)
    assert play.cause("n1") == "silence", "patience that grows later changes nothing"
    play.pong(play.infos["n1"])
    assert play.cause("n1") == ""


def test_silence_is_stretched_by_this_sentinels_own_lateness() -> None:
    timing = Timing(tilt_stall_s=60.0)
    play = Play.watching(timing=timing)
    play.let(timing.down_after_s - 0.4, answering=("n2", "n3"))
    play.stall(0.45)  # now n1 is silent for longer than down_after, but this sentinel was late itself
    assert play.now - play.view("n1").silent_since() > timing.down_after_s
    assert play.cause("n1") == ""


@pytest.mark.parametrize(("times", "cause"), [(2.8, ""), (3.0, "silence")])
def test_the_stretch_by_own_lateness_has_a_bound(times: float, cause: str) -> None:
    play = Play.watching(timing=Timing(tilt_stall_s=60.0))
    play.stall(times * play.timing.down_after_s)
    assert play.cause("n1") == cause


def test_a_registered_node_that_never_answered_is_silent_from_the_moment_that_it_became_known() -> None:
    play = Play.watching()
    play.tell(fx.NodesListed((*play.infos.values(), node("n4"))))
    play.let(play.timing.down_after_s - 0.01, answering=("n1", "n2", "n3"))
    assert play.cause("n4") == ""
    play.let(0.02)
    assert play.cause("n4") == "silence"


# --- restarted, leaving ---


def test_a_master_that_answers_as_another_process_than_the_record_names_is_restarted() -> None:
    play = Play.watching()
    play.pong(node("n1", incarnation="n1-b"))
    assert play.cause("n1") == "restarted"


def test_a_worker_that_answers_as_another_process_is_simply_up() -> None:
    play = Play.watching()
    play.pong(node("n2", incarnation="n2-b"))
    assert play.cause("n2") == ""


def test_a_master_that_asks_to_leave_is_relieved_at_once() -> None:
    play = Play.watching()
    play.pong(replace(play.infos["n1"], leaving=True))
    assert play.cause("n1") == "leaving"


def test_a_worker_that_leaves_is_not_down_even_when_it_is_gone() -> None:
    play = Play.watching()
    play.pong(node("n2", leaving=True))
    play.crash("n2")
    play.let(2 * play.timing.down_after_s, answering=("n1", "n3"))
    assert play.cause("n2") == ""


# --- not accepted, not acting ---


def named_but_idle(play: Play, seconds: float) -> None:
    """n2 is named under epoch 2 and answers as a worker."""
    play.save(play.tell(fx.RecordRead(record(2, "n2"))))
    play.let(seconds, answering=("n1", "n2", "n3"))


def test_a_named_node_that_does_not_act_in_time_is_not_accepted() -> None:
    play = Play.watching()
    named_but_idle(play, play.timing.accept_timeout_s - 0.05)
    assert play.cause("n2") == ""
    play.let(0.1)
    assert play.cause("n2") == "not-accepted"


@pytest.mark.parametrize(
    "info",
    [
        node("n1", role=Role.MASTER, acting=False),
        node("n1", role=Role.WORKER, acting=False),
        node("n1", role=Role.MASTER, acting=True, epoch=0),
    ],
    ids=["its lease has lapsed", "it became a worker", "it reports an old epoch"],
)
def test_a_master_that_acted_and_acts_no_more_is_not_acting_after_down_after(info: NodeInfo) -> None:
    play = Play.watching()
    play.pong(info)
    play.let(play.timing.down_after_s - 0.05, answering=("n1", "n2", "n3"))
    assert play.cause("n1") == "", "it keeps its full grace"
    play.let(0.1)
    assert play.cause("n1") == "not-acting"


def test_nobody_is_blamed_for_a_lapsed_lease_while_redis_does_not_answer_this_sentinel() -> None:
    play = Play.watching()
    play.tell(fx.BusChanged(False))
    play.pong(replace(play.infos["n1"], acting=False))
    play.let(3 * play.timing.down_after_s, answering=("n1", "n2", "n3"))
    assert play.cause("n1") == ""


def test_when_redis_comes_back_a_suspended_master_gets_its_full_time_to_renew() -> None:
    play = Play.watching()
    play.tell(fx.BusChanged(False))
    play.pong(replace(play.infos["n1"], acting=False))
    play.let(3 * play.timing.down_after_s, answering=("n1", "n2", "n3"))
    play.tell(fx.BusChanged(True))
    play.let(play.timing.down_after_s - 0.05, answering=("n1", "n2", "n3"))
    assert play.cause("n1") == ""
    play.let(play.timing.ping_period_s + 0.1, answering=("n1", "n2", "n3"))
    assert play.cause("n1") == "not-acting"


def test_a_master_that_acts_again_is_up() -> None:
    play = Play.watching()
    play.pong(replace(play.infos["n1"], acting=False))
    play.let(play.timing.down_after_s + 0.1, answering=("n1",))
    play.pong(replace(play.infos["n1"], acting=True))
    assert play.cause("n1") == ""


def test_a_master_that_nobody_registered_is_watched_from_its_naming_on() -> None:
    play = Play(state=fx.VoteState(record=FIRST))
    play.tell(fx.BusChanged(True))
    play.let(play.timing.down_after_s + 0.01)
    assert play.cause("n1") == "silence"


# --- membership of what is watched ---


def test_a_node_that_is_gone_from_the_registry_and_silent_is_forgotten_but_never_the_master() -> None:
    play = Play.watching()
    for id in ("n1", "n2"):
        play.tell(fx.NodeConnectionLost(id))
    play.let(2 * play.timing.down_after_s + 0.1, answering=("n3",))
    play.tell(fx.NodesListed((play.infos["n3"],)))
    assert set(play.core.watch.nodes) == {"n1", "n3"}


def test_a_node_that_is_missing_in_the_registry_but_answers_is_kept() -> None:
    play = Play.watching()
    play.let(3 * play.timing.down_after_s, answering=("n1", "n2", "n3"))
    play.tell(fx.NodesListed(()))
    assert set(play.core.watch.nodes) == {"n1", "n2", "n3"}


def test_news_of_an_unknown_node_changes_nothing() -> None:
    play = Play.watching()
    for happening in (fx.NodeConnected("n9"), fx.NodeConnectionLost("n9"), fx.DialFailed("n9", True)):
        assert play.tell(happening) == []
    assert "n9" not in play.core.watch.nodes


def test_a_crashed_master_that_restarts_at_once_is_down_without_a_gap() -> None:
    play = Play.watching()
    play.crash("n1")
    effects = play.tell(fx.NodeConnected("n1")) + play.pong(node("n1", incarnation="n1-b"))
    assert play.cause("n1") == "restarted"
    assert "-sdown" not in said(effects), "a gap would end the campaign that has begun"
