"""The doctor: each rule over plain facts, and the facts collected from real servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ha_stress.cluster.controls import NO_CONTROLS, Membership, Switchover, Tags, pause
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo, Role, SentinelInfo
from ha_stress.doctor.facts import Asked, CandidateSeen, Dialled, Explanation, Facts, MasterSeen, Watched
from ha_stress.doctor.finding import Finding, Severity, span
from ha_stress.doctor.findings import findings, verdict
from ha_stress.doctor.summary import summary
from tests.operator_support import node_info, sentinel_info

THREE = ("s1", "s2", "s3")
NOW = 1_000_000.0


def sentinel(name: str, **fields: Any) -> SentinelInfo:
    return sentinel_info(name, **({"members": THREE, "version": "1.0", "sent_at": NOW} | fields))


def node(name: str, sequence: int, **fields: Any) -> NodeInfo:
    return node_info(name, **({"sequence": sequence, "version": "1.0", "sent_at": NOW} | fields))


SENTINELS = tuple(sentinel(name) for name in THREE)
MASTER = node("n1", 1, incarnation="i1", role=Role.MASTER, acting=True)


def seen(name: str, **fields: Any) -> Asked:
    known: dict[str, Any] = {
        "sentinel": name,
        "epoch": 1,
        "master": MasterSeen(node="n1", accepted=True),
        "members": THREE,
        "majority": 2,
        "quorum": 2,
        "would_win": "n2",
        "why_no_failover": ("n1 is not down for this sentinel",),
    }
    return Asked(id=name, seen=Explanation(**(known | fields)))


def facts(**fields: Any) -> Facts:
    """A cluster in which all is well, but for `fields`."""
    known: dict[str, Any] = {
        "cluster": "c",
        "redis": "redis://r",
        "record": Mastership(epoch=1, node="n1", incarnation="i1"),
        "server": {"aof_enabled": "1"},
        "our_skew_s": 0.0,
        "redis_time_s": NOW,
        "registered": {"n1": "i1", "n2": "i-n2"},
        "watched": people(),
        "asked": tuple(seen(name) for name in THREE),
        "dialled": (Dialled(id="n1"), Dialled(id="n2")),
        "database": "ok",
        "asked_by": "n1",
        "asked_by_incarnation": "i1",
    }
    return Facts(**(known | fields))


def people(
    nodes: tuple[NodeInfo, ...] = (MASTER, node("n2", 2)),
    sentinels: tuple[SentinelInfo, ...] = SENTINELS,
    **fields: Any,
) -> Watched:
    living = fields.pop("living", frozenset(info.id for info in sentinels))
    return Watched(nodes=nodes, sentinels=sentinels, living=living, **fields)


def bad(found: Facts) -> list[Finding]:
    """What is not ok."""
    return [one for one in findings(found) if one.severity is not Severity.OK]


def event(name: str, ago_s: float, sequence: int = 1, **fields: Any) -> Event:
    return Event(name=name, source="s1", epoch=1, at_ms=int((NOW - ago_s) * 1000), sequence=sequence, **fields)


def test_a_healthy_cluster_has_no_findings_but_says_what_was_looked_at() -> None:
    found = findings(facts())
    assert {one.severity for one in found} == {Severity.OK} and len(found) >= 7
    assert verdict(found).startswith("All is well")


def test_a_redis_that_takes_no_writes_is_not_taken_for_dead_nodes_and_sentinels_that_are_cut_off() -> None:
    found = facts(
        write_problem="its maxmemory is used up",
        watched=people(nodes=()),
        registered={"n1": "i1"},
        asked=tuple(seen(name, bus_up=False) for name in THREE),
    )
    said = [(one.about, one.found) for one in bad(found)]
    assert said[0] == ("redis writes", "its maxmemory is used up")
    assert not {"redis", "nodes"} & {about for about, _ in said}


GONE = people(sentinels=(sentinel("s1"), sentinel("s2"), sentinel("s3")), living=frozenset({"s1"}))
FOUR = ("s1", "s2", "s3", "s4")


@pytest.mark.parametrize(
    ("severity", "about", "says", "fields"),
    [
        # The servers.
        ("problem", "redis", "cannot be reached", {"redis_problem": "Redis cannot be reached"}),
        (
            "problem",
            "redis data",
            "under hs:{c}:mastership",
            {"redis_problem": "holds something unexpected under hs:{c}:mastership", "redis_unreadable": True},
        ),
        ("problem", "redis writes", "is used up", {"write_problem": "its maxmemory is used up"}),
        ("problem", "redis role", "replica", {"server": {"aof_enabled": "1", "role": "slave"}, "write_problem": "no"}),
        ("warning", "redis persistence", "nothing on disk", {"server": {"aof_enabled": "0", "config:save": ""}}),
        ("warning", "redis persistence", "snapshots", {"server": {"aof_enabled": "0", "config:save": "900 1"}}),
        (
            "warning",
            "redis persistence",
            "CONFIG is refused); its last snapshot is 10 min old",
            {
                "server": {"aof_enabled": "0", "config_problem": "NOPERM", "rdb_last_save_time": str(int(NOW - 600))},
            },
        ),
        ("problem", "redis persistence", "failed", {"server": {"aof_enabled": "1", "aof_last_write_status": "err"}}),
        (
            "problem",
            "redis memory",
            "drop any key",
            {"server": {"aof_enabled": "1", "maxmemory": "100", "maxmemory_policy": "allkeys-lru"}},
        ),
        ("problem", "database", "does not answer", {"database": "the database does not answer"}),
        ("warning", "clocks", "this machine, which asks is at least 5 s ahead", {"our_skew_s": 5.0, "asked_by": ""}),
        (
            "warning",
            "clocks",
            "the clock of node n2 is at least 30 s behind",
            {"watched": people(skew_s={"node n2": -30.0, "node n1": 0.0})},
        ),
        (
            "warning",
            "clocks",
            "the clock of Redis is at least 30 s ahead of all others",
            {"our_skew_s": -30.0, "watched": people(skew_s={"node n2": -30.1, "sentinel s1": -29.5})},
        ),
        # The sentinels.
        ("problem", "sentinels", "there are no sentinels", {"watched": people(sentinels=()), "asked": ()}),
        ("problem", "sentinels", "known from before: s1", {"watched": people(living=frozenset()), "asked": ()}),
        ("problem", "quorum", "1 of 3 sentinels live", {"watched": GONE, "asked": (seen("s1"),)}),
        (
            "warning",
            "quorum",
            "s3 is down; one more loss",
            {"watched": people(living=frozenset({"s1", "s2"})), "asked": (seen("s1"), seen("s2"))},
        ),
        (
            "problem",
            "quorum",
            "3 sentinels must agree",
            {"watched": people(living=frozenset({"s1", "s2"})), "asked": (seen("s1", quorum=3), seen("s2", quorum=3))},
        ),
        (
            "warning",
            "sentinels",
            "4 sentinels survive the loss of 1, as 3 do",
            {"watched": people(sentinels=tuple(sentinel(name, members=FOUR) for name in FOUR)), "asked": ()},
        ),
        (
            "problem",
            "sentinels",
            "1 sentinel cannot lose one",
            {"watched": people(sentinels=(sentinel("s1", members=("s1",)),)), "asked": ()},
        ),
        (
            "problem",
            "master",
            "sentinels disagree on the master: it is n1 of epoch 1, but s3 says n0 of epoch 0",
            {"asked": (seen("s1"), seen("s2"), seen("s3", epoch=0, master=MasterSeen(node="n0")))},
        ),
        (
            "problem",
            "membership",
            "most have s1, s2, s3 (version 0), but s3 has s2, s3, s4 (version 0)",
            {"watched": people(sentinels=(sentinel("s1"), sentinel("s2"), sentinel("s3", members=("s2", "s3", "s4"))))},
        ),
        (
            "warning",
            "membership",
            "s4 runs without being a member",
            {"watched": people(sentinels=(*(sentinel(name) for name in THREE), sentinel("s4", members=FOUR)))},
        ),
        (
            "problem",
            "cloned id",
            "two processes run as sentinel s1: a and b",
            {"watched": people(incarnations={"sentinel s1": ("a", "b", "a")})},
        ),
        (
            "warning",
            "cloned id",
            "restarted, or runs twice",
            {"watched": people(incarnations={"node n2": ("a", "b")})},
        ),
        ("problem", "cloned id", "has lost its id", {"registered": {"n1": "another", "n2": "i-n2"}}),
        (
            "problem",
            "cloned id",
            "another one is found",
            {"asked": (seen("s1"), seen("s2"), Asked(id="s3", problem="s9 answers at its address"))},
        ),
        (
            "problem",
            "vote file",
            "s1 cannot write",
            {"asked": (seen("s1", vote_file="No space"), seen("s2"), seen("s3"))},
        ),
        (
            "warning",
            "vote file",
            "could not write its vote 60 s ago: No space",
            {"events": (event("+vote-file-error", 60, cause="No space"),)},
        ),
        ("warning", "tilt", "s1 is in tilt", {"asked": (seen("s1", tilt=True), seen("s2"), seen("s3"))}),
        ("problem", "redis", "does not answer s1", {"asked": (seen("s1", bus_up=False), seen("s2"), seen("s3"))}),
        (
            "problem",
            "secret",
            "sentinel s3 refuses the secret that 4 other processes accept",
            {"asked": (seen("s1"), seen("s2"), Asked(id="s3", problem="refused our secret", refused_secret=True))},
        ),
        (
            "problem",
            "secret",
            "every process refuses our secret",
            {
                "asked": tuple(Asked(id=name, problem="refused", refused_secret=True) for name in THREE),
                "dialled": (Dialled(id="n1", problem="refused", refused_secret=True),),
            },
        ),
        (
            "problem",
            "mesh",
            "sentinel s3 describes itself in Redis, but does not answer: timeout",
            {"asked": (seen("s1"), seen("s2"), Asked(id="s3", problem="timeout"))},
        ),
        # The nodes.
        (
            "problem",
            "master",
            "there has been no master yet",
            {"record": Mastership(), "asked": ()},
        ),
        (
            "problem",
            "master",
            "no master acts: n1 lives, but cannot renew its lease",
            {"watched": people(nodes=(replace(MASTER, acting=False), node("n2", 2)))},
        ),
        (
            "problem",
            "master",
            "n1 does not describe itself any more; the sentinels say: paused",
            {
                "watched": people(nodes=(node("n2", 2), node("n3", 3))),
                "asked": tuple(seen(name, why_no_failover=("paused",)) for name in THREE),
                "asked_by": "n2",
            },
        ),
        (
            "problem",
            "master",
            "n1 was restarted since it was named",
            {"watched": people(nodes=(replace(MASTER, incarnation="i9"), node("n2", 2)))},
        ),
        (
            "problem",
            "successor",
            "n1 is the only node",
            {"watched": people(nodes=(MASTER,)), "registered": {"n1": "i1"}},
        ),
        (
            "problem",
            "successor",
            "n2 is draining",
            {"controls": replace(NO_CONTROLS, tags={"n2": Tags(draining=True)})},
        ),
        ("problem", "successor", "n2 is of priority 0", {"watched": people(nodes=(MASTER, node("n2", 2, priority=0)))}),
        (
            "problem",
            "successor",
            "would choose nobody: n2: cpu 99 % is above 90 %",
            {
                "asked": tuple(
                    seen(name, would_win="", candidates=(CandidateSeen(node="n2", dropped="cpu 99 % is above 90 %"),))
                    for name in THREE
                )
            },
        ),
        (
            "warning",
            "paused",
            "paused for 3 h (night shift): longer than most work takes",
            {"controls": pause(NO_CONTROLS, "night shift"), "events": (event("+paused", 10_800),)},
        ),
        (
            "warning",
            "switchover",
            "a switchover to n2 was asked for and not done for 60 s",
            {
                "controls": replace(NO_CONTROLS, switchover=Switchover(epoch=1, asked=1, to="n2")),
                "events": (event("+switchover", 60),),
            },
        ),
        (
            "warning",
            "tags",
            "n9 has tags and is not there",
            {"controls": replace(NO_CONTROLS, tags={"n9": Tags(priority=5)})},
        ),
        ("problem", "controls", "cannot be read", {"controls_problem": "not msgpack"}),
        ("warning", "nodes", "n7 is registered", {"registered": {"n1": "i1", "n2": "i-n2", "n7": "x"}}),
        ("problem", "nodes", "no node lives: n1 and n2 were killed", {"watched": people(nodes=())}),
        (
            "problem",
            "sequence",
            "n2 and n3 have the same",
            {"watched": people(nodes=(MASTER, node("n2", 2), node("n3", 2)))},
        ),
        (
            "problem",
            "mesh",
            "node n2 describes itself in Redis, but its mesh endpoint does not answer",
            {"dialled": (Dialled(id="n1"), Dialled(id="n2", problem="did not answer within 1 s"))},
        ),
        ("problem", "results", "n2 5", {"watched": people(nodes=(MASTER, node("n2", 2, frames_lost=5)))}),
        ("warning", "load", "n2 800 ms", {"watched": people(nodes=(MASTER, node("n2", 2, loop_lag_s=0.8)))}),
        ("warning", "versions", "1.0 and 2.0", {"watched": people(nodes=(MASTER, node("n2", 2, version="2.0")))}),
        ("warning", "events", "3 events of the history", {"events": (event("+node", 9, 1), event("+node", 8, 5))}),
        ("warning", "events", "had to drop events", {"events": (event("+events-lost", 9),)}),
    ],
)
def test_each_rule_finds_what_it_looks_for_and_says_what_to_do(
    severity: str, about: str, says: str, fields: dict[str, Any]
) -> None:
    matching = [
        one for one in bad(facts(**fields)) if (one.severity, one.about) == (severity, about) and says in one.found
    ]
    assert len(matching) == 1, [f"{one.severity} {one.about}: {one.found}" for one in bad(facts(**fields))]
    assert matching[0].fault and matching[0].cure


def test_a_member_that_the_operator_removed_is_not_missed() -> None:
    controls = replace(NO_CONTROLS, membership=Membership(version=2, members=("s2", "s3", "s4")))
    newer = tuple(sentinel(name, members=("s2", "s3", "s4"), members_version=2) for name in ("s2", "s3", "s4"))
    everybody = (sentinel("s1", sent_at=0.0), *newer)
    found = facts(
        controls=controls,
        watched=people(sentinels=everybody, living=frozenset({"s2", "s3", "s4"})),
        asked=tuple(seen(name, members=("s2", "s3", "s4")) for name in ("s2", "s3", "s4")),
    )
    assert bad(found) == []


def test_a_switchover_that_is_under_way_is_no_finding() -> None:
    wish = replace(NO_CONTROLS, switchover=Switchover(epoch=1, asked=1, to="n2"))
    assert bad(facts(controls=wish, events=(event("+switchover", 1),))) == []
    assert bad(facts(controls=replace(wish, switchover=Switchover(epoch=0, asked=1)), events=())) == []


def test_a_dead_master_of_a_paused_cluster_is_cured_by_resuming() -> None:
    found = bad(facts(controls=pause(NO_CONTROLS, ""), watched=people(nodes=(node("n2", 2),)), asked_by="n2"))
    assert next(one for one in found if one.about == "master").cure == "ha-stress resume"


def test_problems_come_first_and_the_verdict_begins_with_the_worst() -> None:
    found = findings(facts(database="gone", controls=pause(NO_CONTROLS, "")))
    assert [one.severity for one in found][:2] == [Severity.PROBLEM, Severity.WARNING]
    assert verdict(found) == "Something is wrong: gone (1 problem, 1 warning)."


def test_nothing_is_guessed_while_redis_is_away() -> None:
    found = findings(Facts(cluster="c", redis="redis://r", redis_problem="Redis cannot be reached"))
    assert [one.about for one in found] == ["redis"]


# In a sentence.


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ([], "nobody watches"),
        ([Asked(id="s1", problem="x")], "None of the 1 sentinels answers"),
        ([seen(name) for name in THREE], "3 of 3 sentinels see it up. If it died now, n2 would win."),
        ([seen("s1")], "Only 1 of 3 sentinels answers, and a failover takes 2"),
        ([seen("s1"), seen("s2", would_win="n3")], "s1 would choose n2; s2 would choose n3"),
        ([seen(name, paused=True) for name in THREE], "Failovers are paused"),
        (
            [seen(name, would_win="", candidates=(CandidateSeen(node="n2", dropped="draining"),)) for name in THREE],
            "nobody could follow it (n2: draining)",
        ),
        (
            [
                seen("s1", master=MasterSeen(node="n1", down=True, cause="silence"), why_no_failover=("no quorum",)),
                seen("s2"),
            ],
            "is down (silence) for s1. No failover has started: no quorum (s1); n1 is not down for this sentinel (s2).",
        ),
        (
            [seen("s1", master=MasterSeen(node="n1", down=True), phase="pre_vote"), seen("s2")],
            "A failover is under way: s1 is at pre-vote.",
        ),
        (
            [seen(name, epoch=0, master=None, why_no_failover=("x",)) for name in THREE],
            "There has been no master yet. x.",
        ),
    ],
)
def test_the_summary_is_what_a_tired_person_wants_to_know(asked: list[Asked], says: str) -> None:
    assert says in summary(asked)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "200 ms"), (5, "5 s"), (300, "5 min"), (10_800, "3 h"), (400_000, "5 days")]
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert span(seconds) == words
