"""What the master decides, as conversations: records in, decisions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.drivers.stress.core import (
    Decision,
    EndTask,
    SavePlan,
    Task,
    World,
    absent,
    assignments,
    eligible,
    errand,
    reconcile,
)
from ha_stress.master.members import holder_of
from ha_stress.tasks.ledger import Counters, Row
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.schedule import Holder, Plan, Revision, planned
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec, Wanted

NOW = 1_700_000_000.0
LEAD_S = 0.25
ME = Holder("m", "i1")


def node(name: str, incarnation: str = "i1", *, role: Role = Role.WORKER, sequence: int = 1) -> NodeInfo:
    return NodeInfo(
        id=name,
        incarnation=incarnation,
        sequence=sequence,
        priority=100,
        mesh_host="127.0.0.1",
        mesh_port=1,
        api_url="",
        role=role,
        epoch=1,
    )


MASTER = node("m", role=Role.MASTER)


class Play:
    """One master's memory of one task, and the world around it. Decisions are persisted as they come."""

    def __init__(
        self, *members: NodeInfo, rate: float = 100.0, duration_s: float | None = 20.0, nodes_max: int | None = None
    ) -> None:
        request = HttpRequest(url="http://127.0.0.1/")
        self.members: tuple[NodeInfo, ...] = (MASTER, *members)
        self.now = NOW
        self.rows: Sequence[Row] = ()
        self.drained = True
        self.doubtful: frozenset[Holder] = frozenset()
        self.found: dict[str, Any] = {}
        self.task = Task(
            spec=TaskSpec(id="t", name="t", request=request, rate=rate, duration_s=duration_s, nodes_max=nodes_max),
            wanted=Wanted.RUN,
            intent=1,
            status=Status.PENDING,
            seen_intent=0,
            plan=None,
        )

    def play(self, source: str) -> None:
        """Give the task this scenario."""
        self.task = replace(self.task, spec=replace(self.task.spec, scenario=Scenario(name="s.py", source=source)))

    def world(self, me: Holder = ME) -> World:
        return World(
            members=self.members,
            me=me,
            rows={"t": self.rows},
            now_wall=self.now,
            lead_s=LEAD_S,
            drained=self.drained,
            doubtful=self.doubtful,
            found={"t": self.found},
        )

    def look(self, after_s: float = 0.0, me: Holder = ME) -> Decision | None:
        self.now += after_s
        decisions = reconcile([self.task], self.world(me))
        if not decisions:
            return None
        self.task = decisions[0].task
        assert reconcile([self.task], self.world(me)) == [], "a decision that is persisted is not taken again"
        return decisions[0]

    def intend(self, *, rate: float | None = None, wanted: Wanted = Wanted.RUN) -> None:
        spec = self.task.spec if rate is None else replace(self.task.spec, rate=rate)
        self.task = replace(self.task, spec=spec, wanted=wanted, intent=self.task.intent + 1)

    def account(self, *holders: Holder) -> None:
        """These holders report all that was planned for them."""
        self.rows = [
            Row(holder=holder, revision=revision.number, counters=Counters(intended=n, started=n, completed=n))
            for revision in self.plan.revisions
            for holder in holders
            if (n := planned(revision, holder) or 0)
        ]

    @property
    def plan(self) -> Plan:
        assert self.task.plan is not None
        return self.task.plan

    @property
    def newest(self) -> Revision:
        return self.plan.newest

    def nodes(self) -> list[str]:
        return sorted(holder.node for holder in self.newest.holders)


def names(decision: Decision | None) -> list[str]:
    assert decision is not None
    return [note.name for note in decision.notes]


def test_a_pending_task_is_planned_over_the_workers() -> None:
    play = Play(node("a"), node("b"))
    decision = play.look()
    assert names(decision) == ["+task", "+revision"]
    assert play.task.status is Status.RUNNING
    assert play.task.seen_intent == 1
    assert play.nodes() == ["a", "b"]
    assert play.plan.started_at == NOW + LEAD_S
    assert play.look(after_s=1.0) is None


def test_the_master_carries_no_share_while_others_can_and_alone_it_must() -> None:
    assert [m.id for m in eligible((MASTER, node("a")), ME)] == ["a"]
    assert [m.id for m in eligible((MASTER,), ME)] == ["m"]
    unfit = (
        replace(node("a"), draining=True),
        replace(node("b"), leaving=True),
        replace(node("c"), healthy=False),
        node("d", role=Role.LEAVING),
        node("e", role=Role.STARTING),
        node("f", role=Role.MASTER),
    )
    assert [m.id for m in eligible((MASTER, *unfit), ME)] == ["m"]
    assert eligible((replace(MASTER, draining=True),), ME) == ()


def test_a_task_waits_while_nobody_can_run_it() -> None:
    play = Play()
    play.members = ()
    assert play.look() is None
    play.members = (MASTER, node("a"))
    assert names(play.look(1.0)) == ["+task", "+revision"]


def test_nodes_max_limits_how_many_share() -> None:
    play = Play(node("a"), node("b", sequence=2), node("c", sequence=3), nodes_max=2)
    play.look()
    assert play.nodes() == ["a", "b"]
    play.members = (MASTER, node("a"), node("c", sequence=3))
    play.look(1.0)
    assert play.nodes() == ["a", "c"]


def test_another_rate_is_a_revision_in_the_same_proportions() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    before = play.newest
    play.intend(rate=250.0)
    assert names(play.look(5.0)) == ["+revision"]
    assert play.newest.rate == 250.0
    assert play.newest.table == before.table
    assert play.newest.at_s >= 5.0
    assert play.task.seen_intent == 2


def test_the_slots_of_a_dead_holder_move_and_it_is_lost() -> None:
    play = Play(node("a"), node("b"), node("c"))
    play.look()
    play.members = (MASTER, node("a"), node("c"))
    decision = play.look(5.0)
    assert names(decision) == ["+revision"]
    assert decision is not None
    assert decision.notes[0].cause == "b gone"
    assert play.plan.lost == (Holder("b", "i1"),)
    assert play.nodes() == ["a", "c"]
    assert play.look(1.0) is None


def test_a_restarted_holder_is_another_one() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    play.members = (MASTER, node("a"), node("b", "i2"))
    play.look(5.0)
    assert play.plan.lost == (Holder("b", "i1"),)
    assert Holder("b", "i2") in play.newest.holders
    assert Holder("b", "i1") not in play.newest.holders


def test_a_lost_holder_that_is_back_is_not_lost_and_gets_a_share_again() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    play.members = (MASTER, node("a"))
    play.look(2.0)
    play.members = (MASTER, node("a"), node("b"))
    play.look(2.0)
    assert play.plan.lost == ()
    assert play.nodes() == ["a", "b"]


def test_a_leaving_holder_hands_over_and_is_not_lost() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    play.members = (MASTER, node("a"), replace(node("b"), leaving=True))
    play.look(2.0)
    assert play.nodes() == ["a"]
    assert play.plan.lost == ()


def test_the_master_hands_its_share_over_when_a_worker_comes() -> None:
    play = Play()
    play.look()
    assert play.nodes() == ["m"]
    play.members = (MASTER, node("a"))
    decision = play.look(2.0)
    assert play.nodes() == ["a"]
    assert decision is not None
    assert decision.notes[0].cause == "the master hands its share over; a joined"


def test_a_promoted_worker_hands_its_share_over() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    play.members = (node("a", role=Role.MASTER), node("b"))
    play.look(3.0, me=Holder("a", "i1"))
    assert play.nodes() == ["b"]
    assert play.plan.lost == ()


def test_a_newcomer_gets_a_share_of_a_running_task_with_the_fewest_moves() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    before = play.newest
    play.members = (MASTER, node("a"), node("b"), node("c"))
    play.look(2.0)
    assert play.nodes() == ["a", "b", "c"]
    old = [before.holders[i] for i in before.table]
    new = [play.newest.holders[i] for i in play.newest.table]
    assert sum(x != y for x, y in zip(old, new, strict=True)) == len(old) // 3


def test_cpu_figures_alone_move_nothing() -> None:
    play = Play(replace(node("a"), cpu_percent=10.0), replace(node("b"), cpu_percent=90.0))
    play.look()
    play.members = (MASTER, replace(node("a"), cpu_percent=95.0), replace(node("b"), cpu_percent=1.0))
    assert play.look(2.0) is None


def test_with_nobody_left_the_plan_stays_until_somebody_comes() -> None:
    play = Play(node("a"))
    play.look()
    play.members = ()
    play.look(2.0)
    assert play.plan.lost == (Holder("a", "i1"),)
    assert play.nodes() == ["a"]
    play.members = (MASTER, node("b"))
    play.look(5.0)
    assert play.nodes() == ["b"]
    assert play.newest.at_s >= 7.0


def test_a_stop_ends_the_schedule_and_the_task_ends_when_its_books_are_complete() -> None:
    play = Play(node("a"), duration_s=None)
    play.look()
    play.intend(wanted=Wanted.STOP)
    decision = play.look(3.0)
    assert decision is not None
    assert decision.task.status is Status.STOPPING
    assert play.newest.limit == 300
    assert play.look(LEAD_S) is None
    play.account(Holder("a", "i1"))
    decision = play.look(0.5)
    assert isinstance(decision, EndTask)
    assert names(decision) == ["+task-end"]
    assert decision.books.balanced
    assert decision.books.completed == 300
    assert play.task.status is Status.ENDED
    assert play.look(1.0) is None


def test_a_task_that_is_stopped_before_it_began_just_ends() -> None:
    play = Play()
    play.intend(wanted=Wanted.STOP)
    decision = play.look()
    assert isinstance(decision, EndTask)
    assert play.task.plan is None


def test_a_task_ends_only_after_its_schedule_even_if_nothing_is_outstanding() -> None:
    play = Play(node("a"), rate=0.0)
    play.look()
    assert play.look(10.0) is None
    assert isinstance(play.look(10.5), EndTask)


def test_a_task_does_not_end_while_results_wait_in_the_stream() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    play.members = (MASTER, node("b"))
    play.look(5.0)
    play.account(Holder("b", "i1"))
    play.drained = False
    assert isinstance(play.look(16.0), SavePlan)
    play.drained = True
    decision = play.look()
    assert isinstance(decision, EndTask)
    assert decision.books.intended == 2000 == (decision.books.planned or 0)
    assert decision.books.uncovered > 0
    assert decision.books.balanced


def test_after_the_end_of_the_schedule_nothing_is_handed_over() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    play.look(20.5)
    assert play.task.status is Status.STOPPING
    play.members = (MASTER, node("a"), node("c"))
    play.look(1.0)
    assert len(play.plan.revisions) == 1
    assert play.plan.lost == (Holder("b", "i1"),)


def test_a_new_master_finds_nothing_to_change() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    play.members = (node("n", role=Role.MASTER), node("a"), node("b"))
    assert play.look(3.0, me=Holder("n", "i1")) is None


def test_a_new_master_takes_nothing_from_holders_it_has_not_heard_of_yet() -> None:
    play = Play(node("a"), node("b"), node("c"))
    play.look()
    play.members = (MASTER, node("a"), node("b"))
    play.look(1.0)
    before = play.plan
    play.members = (MASTER,)
    play.doubtful = frozenset({Holder("a", "i1"), Holder("b", "i1"), Holder("c", "i1")})
    assert play.look(1.0) is None
    assert play.plan is before, "not even the lost one is found again"
    play.members = (MASTER, node("d"))
    play.look(0.5)
    assert play.nodes() == ["a", "b", "d"]
    play.doubtful = frozenset()
    play.look(1.0)
    assert play.nodes() == ["d"]
    assert [holder.node for holder in play.plan.lost] == ["a", "b", "c"]


def test_who_is_lost_is_told_where_its_share_ends_unless_it_has_a_successor() -> None:
    play = Play(node("a"), node("b"))
    play.look()
    play.members = (MASTER, node("b"))
    play.look(1.0)
    gone = Holder("a", "i1")
    assert absent([play.task], play.world()) == {gone}
    (share,) = assignments([play.task], play.world())[gone]
    assert [part.limit for part in share.parts] == [play.plan.revisions[0].limit]
    play.members = (MASTER, node("b"), replace(node("a"), incarnation="i2"))
    assert absent([play.task], play.world()) == set()
    assert gone not in assignments([play.task], play.world())


def test_assignments_are_the_full_state_of_every_member() -> None:
    play = Play(node("a"), node("b"))
    assert set(assignments([play.task], play.world()).values()) == {()}
    play.look()
    desired = assignments([play.task], play.world())
    assert set(desired) == {holder_of(m) for m in play.members}
    assert desired[ME] == ()
    (share,) = desired[Holder("a", "i1")]
    assert share.parts[0].slots == play.newest.slots_of(Holder("a", "i1"))
    again = assignments([play.task], replace(play.world(), me=Holder("b", "i1")))
    assert again == desired, "a new master says the same"


def test_users_are_fewer_than_nodes_and_one_of_the_spare_nodes_steps_in() -> None:
    play = Play(node("a"), node("b"), node("c"), rate=0.0, duration_s=None)
    play.task = replace(play.task, spec=replace(play.task.spec, users=2))
    play.look()
    assert play.nodes() == ["a", "b"]
    assert play.look(1.0) is None
    play.members = (MASTER, node("a"), node("c"))
    decision = play.look(1.0)
    assert play.nodes() == ["a", "c"]
    assert decision is not None
    assert decision.notes[0].detail["users"] == 2
    play.intend(wanted=Wanted.STOP)
    play.look(1.0)
    assert play.look(LEAD_S) is None, "nobody has said yet that its users have stopped"
    play.rows = [
        Row(holder=holder, revision=revision.number, counters=Counters(closed=len(slots)))
        for revision in play.plan.revisions
        for holder, slots in revision.slots_by_holder().items()
        if holder.node != "b"
    ]
    assert isinstance(play.look(0.1), EndTask)


BOTH = "async def setup(): ...\nasync def teardown(data): ...\nasync def scenario(user): ...\n"


def test_a_scenario_is_set_up_before_anybody_runs_it_and_torn_down_after_the_last_answer() -> None:
    play = Play(node("a"))
    play.play(BOTH)
    assert play.look() is None
    assert errand(play.task, play.world()) == "setup"
    play.found = {"setup": {"data": '{"token": 7}'}}
    assert names(play.look()) == ["+task", "+revision"]
    assert play.task.outcome == play.found
    (share,) = assignments([play.task], play.world())[Holder("a", "i1")]
    assert share.scenario is not None
    assert share.scenario.data == '{"token": 7}'
    play.found = {}
    assert errand(play.task, play.world()) is None
    play.account(Holder("a", "i1"))
    assert isinstance(play.look(21.0), SavePlan)
    assert errand(play.task, play.world()) == "teardown"
    play.found = {"teardown": {"data": "null"}}
    decision = play.look(1.0)
    assert isinstance(decision, EndTask)
    assert set(decision.task.outcome) == {"setup", "teardown"}


def test_a_setup_that_fails_ends_the_task_and_nothing_is_torn_down() -> None:
    play = Play(node("a"))
    play.play(BOTH)
    play.found = {"setup": {"problem": "KeyError: 'x'"}}
    decision = play.look()
    assert isinstance(decision, EndTask)
    assert decision.notes[0].cause == "its setup failed: KeyError: 'x'"


def test_a_task_that_is_stopped_is_torn_down_only_if_it_was_set_up() -> None:
    for found, wanted in (({}, None), ({"setup": {"data": "1"}}, "teardown"), ({"setup": {"problem": "no"}}, None)):
        play = Play(node("a"))
        play.play(BOTH)
        play.found = found
        play.intend(wanted=Wanted.STOP)
        assert errand(play.task, play.world()) == wanted
        assert (play.look() is None) == (wanted is not None)
    play = Play(node("a"))
    play.play("async def teardown(data): ...\nasync def scenario(user): ...\n")
    play.intend(wanted=Wanted.STOP)
    assert errand(play.task, play.world()) is None
    assert isinstance(play.look(), EndTask)


def test_what_was_set_up_is_kept_while_nobody_can_run_it() -> None:
    play = Play()
    play.play(BOTH)
    play.members = ()
    play.found = {"setup": {"data": "1"}}
    assert isinstance(play.look(), SavePlan)
    assert play.task.status is Status.PENDING
    play.found = {}
    assert errand(play.task, play.world()) is None
