"""What is sent, and sent again until it is applied."""

from __future__ import annotations

from dataclasses import replace

from ha_stress.base.limits import ASSIGNMENT_BYTES_PER_SEND_MAX, ASSIGNMENTS_PER_SEND_MAX
from ha_stress.master.outgoing import Outgoing, batches
from ha_stress.tasks.schedule import Holder, NodeAssignment, Part, TaskShare
from ha_stress.tasks.spec import HttpRequest

A, B = Holder("a", "i1"), Holder("b", "i1")
RESEND_S = 0.5


def share(rate: float) -> TaskShare:
    part = Part(revision=1, at_s=0.0, rate=rate, modulus=1, slots=(0,), limit=None)
    return TaskShare(
        task="t", request=HttpRequest(url="http://127.0.0.1/"), in_flight_max=1, started_at=0.0, parts=(part,)
    )


def test_every_member_gets_an_assignment_once_and_a_new_revision_when_it_changes() -> None:
    outgoing = Outgoing(7)
    outgoing.want({A: (share(1.0),), B: ()})
    first = outgoing.due({}, 0.0, RESEND_S)
    assert [(a.node, a.epoch, a.revision) for a in first] == [("a", 7, 1), ("b", 7, 1)]
    for assignment in first:
        outgoing.sent(assignment, 0.0)
    outgoing.want({A: (share(2.0),), B: ()})
    (changed,) = outgoing.due({A: (7, 1), B: (7, 1)}, 0.1, RESEND_S)
    assert (changed.node, changed.revision) == ("a", 2)


def test_it_is_sent_again_until_applied_regression_a_task_was_marked_running_before_a_lossy_send() -> None:
    outgoing = Outgoing(7)
    outgoing.want({A: (share(1.0),)})
    (assignment,) = outgoing.due({A: (6, 99)}, 0.0, RESEND_S)
    outgoing.sent(assignment, 0.0)
    assert outgoing.due({A: (6, 99)}, 0.4, RESEND_S) == []
    assert outgoing.due({A: (6, 99)}, 0.5, RESEND_S) == [assignment]
    assert outgoing.due({A: (7, 1)}, 5.0, RESEND_S) == []


def test_what_failed_to_be_sent_is_due_at_once() -> None:
    outgoing = Outgoing(7)
    outgoing.want({A: ()})
    assert outgoing.due({}, 0.0, RESEND_S) == outgoing.due({}, 0.0, RESEND_S) != []


def test_who_is_gone_is_forgotten_and_starts_anew_when_it_is_back() -> None:
    outgoing = Outgoing(7)
    outgoing.want({A: (), B: ()})
    outgoing.want({B: ()})
    assert outgoing.holders() == {B}
    outgoing.want({A: (), B: ()})
    assert {a.node: a.revision for a in outgoing.due({}, 0.0, RESEND_S)} == {"a": 2, "b": 1}


def test_an_assignment_that_stands_higher_is_outranked() -> None:
    outgoing = Outgoing(7)
    outgoing.want({A: ()})
    (assignment,) = outgoing.due({}, 0.0, RESEND_S)
    outgoing.outrank(assignment)
    outgoing.want({A: ()})
    (higher,) = outgoing.due({}, 0.0, RESEND_S)
    assert higher.revision > 1000


def test_what_was_taken_from_an_absent_holder_is_written_down_for_it_once() -> None:
    """Regression: one that was only suspended woke up and went on with the share that others had by then."""
    outgoing = Outgoing(7)
    outgoing.want({A: (share(1.0),), B: ()})
    for assignment in outgoing.due({}, 0.0, RESEND_S):
        outgoing.sent(assignment, 0.0)
    outgoing.want({A: (share(2.0),), B: ()}, absent=[A])
    assert outgoing.holders() == {B}
    (closed,) = outgoing.due({B: (7, 1)}, 0.1, RESEND_S)
    assert (closed.node, closed.revision) == ("a", 2)
    outgoing.sent(closed, 0.1)
    assert outgoing.due({B: (7, 1)}, 9.0, RESEND_S) == [], "nobody is there to confirm it"
    outgoing.want({A: (share(2.0),), B: ()})
    assert outgoing.due({B: (7, 1)}, 9.0, RESEND_S) == [closed], "it is back, and has to"


def test_whose_work_ended_while_it_was_absent_finds_nothing_to_do() -> None:
    outgoing = Outgoing(7)
    outgoing.want({A: (share(1.0),), B: ()}, absent=[A])
    outgoing.want({B: ()})
    last = next(a for a in outgoing.due({B: (7, 1)}, 0.0, RESEND_S))
    assert (last.node, last.shares) == ("a", ())
    outgoing.want({B: ()})
    assert outgoing.due({B: (7, 1)}, 9.0, RESEND_S) == []


def test_nothing_is_said_to_an_absent_holder_whose_successor_is_there() -> None:
    outgoing = Outgoing(7)
    outgoing.want({A: (share(1.0),)}, absent=[A])
    outgoing.want({Holder("a", "i2"): ()})
    assert [a.incarnation for a in outgoing.due({}, 0.0, RESEND_S)] == ["i2"]


def test_assignments_go_in_groups_that_are_bounded_in_number_and_in_bytes_and_none_is_left_out() -> None:
    def assignment(number: int, body_bytes: int) -> NodeAssignment:
        some = replace(share(1.0), request=HttpRequest(url="http://127.0.0.1/", body=b"x" * body_bytes))
        return NodeAssignment(epoch=1, revision=1, node=f"n{number}", incarnation="i", shares=(some,))

    small = [assignment(number, 0) for number in range(2 * ASSIGNMENTS_PER_SEND_MAX + 1)]
    groups = list(batches(small))
    assert [len(group) for group in groups] == [ASSIGNMENTS_PER_SEND_MAX, ASSIGNMENTS_PER_SEND_MAX, 1]
    assert [one for group in groups for one in group] == small
    large = [assignment(number, ASSIGNMENT_BYTES_PER_SEND_MAX // 2) for number in range(5)]
    assert [len(group) for group in batches([*large, assignment(9, ASSIGNMENT_BYTES_PER_SEND_MAX)])] == [2, 2, 1, 1]
    assert list(batches([])) == []
