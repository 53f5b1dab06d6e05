"""Who becomes master: each rule that drops a candidate, the order of those that remain, and the table that is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.cluster.members import NodeInfo
from sentinel.health import NodeView
from sentinel.selection import CPU_BUCKET_UNKNOWN, STALE_PERIODS, Candidate, Rules, candidates, cpu_bucket
from tests.playbook import FIRST, START, VERSION, Play, node

RULES = Rules(ping_period_s=0.5, cpu_ceiling_percent=90.0, memory_ceiling_percent=95.0, version=VERSION)


def view(info: NodeInfo, *, age_s: float = 0.1, **changes: Any) -> NodeView:
    seen = NodeView(id=info.id, since=START - 60)
    seen.note_connected()
    seen.note_pong(info, START - age_s)
    for name, value in changes.items():
        setattr(seen, name, value)
    return seen


def table(
    *views: NodeView, down: Collection[tuple[str, str]] = (), passed_over: Mapping[str, str] | None = None
) -> list[Candidate]:
    return candidates(views, record=FIRST, down=down, passed_over=passed_over or {}, rules=RULES, now=START)


def order(*views: NodeView) -> list[str]:
    return [row.node for row in table(*views) if row.rank]


# --- the filter ---


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"priority": 0}, "priority 0"),
        ({"draining": True}, "draining"),
        ({"leaving": True}, "leaving"),
        ({"healthy": False}, "reports itself unhealthy"),
        ({"cpu_percent": 90.5}, "cpu 90 % is above 90 %"),
        ({"memory_percent": 95.5}, "memory 96 % is above 95 %"),
        ({"version": "0.2.0"}, "version 0.2.0 does not fit 0.1.0"),
        ({"version": ""}, "version unknown does not fit 0.1.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_node_says_of_itself_may_drop_it(changes: dict[str, Any], reason: str) -> None:
    (row,) = table(view(node("n2", **changes)))
    assert (row.rank, row.dropped) == (None, reason)


def test_a_node_that_never_answered_is_dropped() -> None:
    (row,) = table(NodeView(id="n2", since=START))
    assert row.dropped == "has not answered yet"
    assert row.incarnation == ""


def test_the_process_that_failed_is_dropped_and_its_restarted_successor_is_not() -> None:
    failed, restarted = view(node("n1")), view(node("n1", incarnation="n1-b"))
    assert table(failed)[0].dropped == "is the master that is replaced"
    assert table(restarted)[0].rank == 1


def test_who_is_subjectively_down_is_dropped_with_the_cause() -> None:
    (row,) = table(view(node("n2"), down_since=START, down_cause="silence"))
    assert row.dropped == "is down (silence)"


def test_who_is_down_in_any_fresh_view_of_a_peer_is_dropped_unless_it_is_another_process() -> None:
    assert table(view(node("n2")), down={("n2", "n2-a")})[0].dropped == "is down (seen by a peer)"
    assert table(view(node("n2")), down={("n2", "n2-older")})[0].rank == 1


def test_stale_information_drops() -> None:
    limit = STALE_PERIODS * RULES.ping_period_s
    assert table(view(node("n2"), age_s=limit + 0.1))[0].dropped == "information is 2.6 s old"
    assert table(view(node("n2"), age_s=limit - 0.1))[0].rank == 1


def test_who_was_named_before_in_this_failover_and_stayed_silent_is_dropped_unless_it_restarted() -> None:
    passed_over = {"n2": "n2-a"}
    assert table(view(node("n2")), passed_over=passed_over)[0].dropped == "was named in this failover and did not act"
    assert table(view(node("n2", incarnation="n2-b")), passed_over=passed_over)[0].rank == 1


def test_a_patch_version_fits() -> None:
    assert table(view(node("n2", version="0.1.9")))[0].rank == 1


# --- the score ---


def test_priority_wins_over_everything_and_the_lower_one_wins() -> None:
    busy, idle = node("n2", priority=10, cpu_percent=80.0, sequence=9), node("n3", priority=20, cpu_percent=1.0)
    assert order(view(idle), view(busy)) == ["n2", "n3"]


def test_at_equal_priority_the_lower_cpu_bucket_wins() -> None:
    assert order(view(node("n2", cpu_percent=31.0)), view(node("n3", cpu_percent=12.0))) == ["n3", "n2"]


def test_within_one_bucket_of_cpu_the_lower_sequence_wins_so_that_noise_decides_nothing() -> None:
    assert order(view(node("n3", cpu_percent=11.0)), view(node("n2", cpu_percent=19.0))) == ["n2", "n3"]


def test_at_last_the_id_decides() -> None:
    assert order(view(node("n3", sequence=7)), view(node("n2", sequence=7))) == ["n2", "n3"]


def test_a_node_whose_cpu_is_unknown_ranks_behind_every_measured_one() -> None:
    newcomer, busy = node("n2", cpu_percent=None), node("n3", cpu_percent=89.0)
    assert order(view(newcomer), view(busy)) == ["n3", "n2"]
    assert cpu_bucket(None) == CPU_BUCKET_UNKNOWN > cpu_bucket(100.0) == cpu_bucket(250.0)


def test_the_cpu_that_counts_is_smoothed() -> None:
    seen = view(node("n2", cpu_percent=10.0))
    seen.note_pong(node("n2", cpu_percent=100.0), START)
    assert seen.cpu_smoothed == pytest.approx(37.0)
    seen.note_pong(node("n2", cpu_percent=None), START)
    assert seen.cpu_smoothed == pytest.approx(37.0), "a missing sample is not 0 %"


def test_a_restarted_process_does_not_inherit_the_cpu_of_its_predecessor() -> None:
    seen = view(node("n2", cpu_percent=80.0))
    seen.note_pong(node("n2", incarnation="n2-b", cpu_percent=None), START)
    assert seen.cpu_smoothed is None


# --- the table ---


def test_the_table_keeps_every_candidate_ranked_first_then_dropped_each_with_its_reason() -> None:
    rows = table(
        view(node("n5", priority=0)),
        view(node("n4")),
        view(node("n1")),
        view(node("n3", priority=5)),
    )
    assert [(row.node, row.rank, row.dropped) for row in rows] == [
        ("n3", 1, ""),
        ("n4", 2, ""),
        ("n1", None, "is the master that is replaced"),
        ("n5", None, "priority 0"),
    ]


def test_a_row_shows_its_score() -> None:
    (row,) = table(view(node("n2", cpu_percent=23.45)))
    shown = row.as_row()
    assert shown["score"] == {"priority": 100, "cpu_bucket": 2, "sequence": 2}
    assert shown["cpu_percent"] == 23.4 or shown["cpu_percent"] == 23.5


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.none() | st.floats(0, 100), st.integers(1, 3), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_the_table_is_complete_and_its_order_does_not_depend_on_who_is_asked_first(
    rows: list[tuple[int, float | None, int, bool]],
) -> None:
    views = [
        view(replace(node(f"n{i}"), priority=priority, cpu_percent=cpu, sequence=sequence, draining=draining))
        for i, (priority, cpu, sequence, draining) in enumerate(rows)
    ]
    forward, backward = table(*views), table(*reversed(views))
    assert forward == backward
    assert sorted(row.node for row in forward) == sorted(seen.id for seen in views)
    assert all(bool(row.rank) != bool(row.dropped) for row in forward)
    assert [row.rank for row in forward if row.rank] == list(range(1, 1 + sum(1 for row in forward if row.rank)))


# --- as a leader uses it ---


def test_the_leader_drops_whom_any_peer_holds_to_be_down() -> None:
    play = Play.watching()
    play.crash("n1")
    play.peer_views("s2", down=("n1", "n2"))
    play.let(play.timing.desync_s + 0.001)
    play.save(play.pre_vote("s2", 2))
    play.vote("s2", 2)
    assert play.core.campaign.winner.node == "n3"
    assert {row.node: row.dropped for row in play.core.campaign.table}["n2"] == "is down (seen by a peer)"
