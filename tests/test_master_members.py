"""Who is a member, as the master knows it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.drivers.stress.watch import Seen
from ha_stress.master.members import Change, Gone, Joined, Membership
from ha_stress.tasks.schedule import Holder

EXPIRY_S = 4.0


def info(name: str, sent_at: float, incarnation: str = "i1") -> NodeInfo:
    return NodeInfo(
        id=name,
        incarnation=incarnation,
        sequence=1,
        priority=100,
        mesh_host="127.0.0.1",
        mesh_port=1,
        api_url="",
        role=Role.WORKER,
        epoch=1,
        sent_at=sent_at,
    )


def membership(*infos: NodeInfo) -> Membership:
    members = Membership("me", EXPIRY_S)
    members.read(infos, 0.0)
    return members


def ids(members: Membership) -> list[str]:
    return [member.id for member in members.members()]


def said(changes: list[Change]) -> list[str]:
    return [("+" if isinstance(change, Joined) else "-") + change.info.id for change in changes]


def test_a_node_that_describes_itself_is_a_member_and_is_news_once() -> None:
    members = membership()
    assert said(members.heard(info("a", 100.0), 0.0)) == ["+a"]
    assert said(members.heard(info("a", 101.0), 1.0)) == []
    assert ids(members) == ["a"]


def test_the_master_is_not_among_the_others() -> None:
    assert ids(membership(info("me", 100.0), info("a", 100.0))) == ["a"]


def test_a_silent_node_is_removed_regression_dead_nodes_were_never_removed() -> None:
    members = membership(info("a", 100.0), info("b", 100.0))
    members.heard(info("b", 103.0), 3.0)
    assert said(members.expired(3.9)) == []
    gone = members.expired(4.0)
    assert said(gone) == ["-a"]
    assert isinstance(gone[0], Gone)
    assert "4 s" in gone[0].cause
    assert ids(members) == ["b"]


def test_an_old_description_refreshes_nothing() -> None:
    members = membership(info("a", 100.0))
    for now in (1.0, 2.0, 3.0):
        members.read([info("a", 100.0)], now)
    assert said(members.expired(4.0)) == ["-a"]
    assert said(members.read([info("a", 100.0)], 4.1)) == [], "nor does it bring a node back"
    assert said(members.heard(info("a", 104.2), 4.2)) == ["+a"]


def test_a_restarted_node_is_another_process() -> None:
    members = membership(info("a", 100.0))
    assert said(members.heard(info("a", 101.0, "i2"), 1.0)) == ["-a", "+a"]
    assert [member.incarnation for member in members.members()] == ["i2"]
    assert said(members.heard(info("a", 100.5, "i1"), 1.1)) == []


def test_a_missing_record_proves_nothing_about_a_node_that_did_not_say_goodbye() -> None:
    members = membership(info("a", 100.0))
    assert said(members.read([], 1.0)) == []
    assert ids(members) == ["a"]


def test_a_node_that_was_leaving_and_has_no_record_any_more_has_left() -> None:
    members = membership(info("a", 100.0))
    members.heard(replace(info("a", 101.0), leaving=True), 1.0)
    assert ids(members) == ["a"]
    assert said(members.read([], 2.0)) == ["-a"]


def test_an_objectively_down_node_is_gone_at_once_until_it_is_heard_again() -> None:
    members = membership(info("a", 100.0))
    assert said(members.declared_down(Holder("a", "i1"))) == ["-a"]
    assert said(members.heard(info("a", 100.0), 0.2)) == []
    assert said(members.heard(info("a", 100.7), 0.3)) == ["+a"]


def test_a_declaration_about_another_incarnation_changes_nothing() -> None:
    members = membership(info("a", 100.0, "i2"))
    assert said(members.declared_down(Holder("a", "i1"))) == []
    assert ids(members) == ["a"]


def test_a_declaration_that_is_read_later_is_outweighed_by_what_was_sent_since() -> None:
    members = membership(info("a", 100.0), info("b", 100.0))
    assert said(members.declared_down(Holder("a", "i1"), at_wall=99.0)) == []
    assert said(members.declared_down(Holder("b", "i1"), at_wall=101.0)) == ["-b"]
    assert said(members.declared_down(Holder("c", "i1"), at_wall=101.0)) == []
    assert said(members.heard(info("c", 100.5), 1.0)) == [], "its record was older than the declaration"
    assert said(members.heard(info("c", 101.5), 1.0)) == ["+c"]


def test_silence_while_nothing_could_be_heard_proves_nothing() -> None:
    members = membership(info("a", 100.0))
    assert members.overdue(4.0)
    members.deaf(10.0)
    assert not members.overdue(13.9)
    assert said(members.expired(13.9)) == []
    assert said(members.expired(14.0)) == ["-a"]


def test_gone_is_known_of_those_with_evidence_not_of_those_never_heard_of() -> None:
    members = membership(info("a", 100.0, "i2"), info("b", 100.0))
    members.declared_down(Holder("b", "i1"))
    members.declared_down(Holder("c", "i1"), at_wall=100.0)
    gone = [("a", "i1"), ("b", "i1"), ("c", "i1"), ("me", "i0")]
    assert all(members.known_gone(Holder(*name)) for name in gone)
    assert not any(members.known_gone(Holder(*name)) for name in [("a", "i2"), ("c", "i2"), ("d", "i1")])


def test_each_event_counts_once() -> None:
    seen = Seen()
    assert seen.is_new(7, 1000) and seen.is_new(8, 1000)
    assert not seen.is_new(8, 1000) and not seen.is_new(7, 1000)


def test_events_count_after_redis_lost_its_data_and_numbers_them_from_1_again() -> None:
    """Regression: the master was deaf for a dead worker until the numbers had caught up."""
    seen = Seen()
    assert seen.is_new(300, 1000)
    assert seen.is_new(1, 1001) and seen.is_new(2, 1001)
    assert not seen.is_new(1, 1001)


def test_the_version_counts_what_planning_looks_at_and_nothing_else() -> None:
    members = membership(info("a", 100.0), info("b", 100.0))
    versions = [members.version]
    for changed in (
        replace(info("a", 101.0), cpu_percent=50.0, loop_lag_s=0.2),
        replace(info("a", 102.0), applied=(1, 1)),
        replace(info("a", 103.0), applied=(1, 1), draining=True),
        replace(info("a", 104.0, "i2"), applied=(1, 1), draining=True),
    ):
        members.heard(changed, 1.0)
        versions.append(members.version)
    members.expired(EXPIRY_S)
    versions.append(members.version)
    assert [after > before for before, after in pairwise(versions)] == [False, True, True, True, True]


def test_whoever_was_heard_longest_ago_makes_a_look_at_the_records_due() -> None:
    members = membership(info("a", 100.0), info("b", 100.0), info("c", 100.0))
    members.heard(info("a", 101.0), 1.0)
    members.heard(info("b", 102.0), 2.0)
    assert not members.overdue(EXPIRY_S - 0.1)
    assert members.overdue(EXPIRY_S)
    members.heard(info("c", 103.0), 3.0)
    assert not members.overdue(EXPIRY_S + 0.9)
    assert members.overdue(EXPIRY_S + 1.0)
    members.deaf(4.0)
    assert not members.overdue(EXPIRY_S + 3.9)
