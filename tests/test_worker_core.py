"""Which assignment a worker carries out, and when it stops by itself."""

from __future__ import annotations

from dataclasses import replace

from ha_stress.tasks.schedule import Holder, NodeAssignment, Part, TaskShare
from ha_stress.tasks.spec import HttpRequest
from ha_stress.worker.core import Apply, Governed, Keep, Refuse, WorkerCore, Yield, muted

ME = Holder("a", "i1")


def assignment(epoch: int, revision: int, incarnation: str = "i1") -> NodeAssignment:
    return NodeAssignment(epoch=epoch, revision=revision, node="a", incarnation=incarnation)


def applied(core: WorkerCore, news: NodeAssignment, known_epoch: int = 0) -> bool:
    match core.consider(news, known_epoch):
        case Apply(assignment=found):
            core.applied_now(found)
            return True
        case Refuse() | Yield():
            return False
        case Keep():
            return False


def test_a_higher_revision_is_applied_and_the_same_one_again_is_nothing_new() -> None:
    core = WorkerCore(ME)
    assert applied(core, assignment(1, 1))
    assert core.consider(assignment(1, 1), 1) == Keep()
    assert applied(core, assignment(1, 2))
    assert core.applied == (1, 2)


def test_a_lower_revision_is_refused() -> None:
    core = WorkerCore(ME)
    assert applied(core, assignment(1, 5))
    assert isinstance(core.consider(assignment(1, 4), 1), Refuse)


def test_a_higher_epoch_begins_its_revisions_anew() -> None:
    core = WorkerCore(ME)
    assert applied(core, assignment(1, 50))
    assert applied(core, assignment(2, 1))
    assert isinstance(core.consider(assignment(1, 51), 0), Refuse)


def test_a_command_of_an_epoch_below_the_known_record_is_refused() -> None:
    core = WorkerCore(ME)
    refusal = core.consider(assignment(3, 1), known_epoch=4)
    assert isinstance(refusal, Refuse)
    assert "epoch 4 has begun" in refusal.reason
    assert isinstance(core.consider(assignment(3, 2), known_epoch=0), Refuse), "what was known stays known"
    assert applied(core, assignment(4, 1), known_epoch=4)


def test_a_restarted_process_does_not_inherit_what_its_predecessor_owned() -> None:
    refusal = WorkerCore(ME).consider(assignment(1, 1, "i0"), 1)
    assert isinstance(refusal, Refuse)
    assert "a:i0" in refusal.reason


def test_a_record_that_is_missing_stops_nothing() -> None:
    core = WorkerCore(ME)
    assert applied(core, assignment(1, 1))
    assert core.consider(None, 1) == Keep()
    assert core.applied == (1, 1)


def test_a_process_that_finds_its_successor_has_nothing_left_to_do() -> None:
    core = WorkerCore(ME)
    assert applied(core, assignment(1, 4))
    assert core.consider(assignment(1, 5, "i2"), 1) == Yield(to=Holder("a", "i2"))
    assert isinstance(core.consider(assignment(1, 3, "i0"), 1), Refuse), "that is its predecessor"
    assert applied(core, assignment(1, 6)), "unless it is given work again"


# Whether anybody governs it


def test_a_worker_is_an_orphan_once_there_was_no_sign_of_a_master_for_that_long() -> None:
    governed = Governed(60.0, now=100.0)
    assert not governed.orphaned(159.9)
    assert governed.orphaned(160.0) and governed.orphaned(1e6)
    governed.heard(200.0)
    assert not governed.orphaned(259.0) and governed.silence_s(259.0) == 59.0
    assert governed.orphaned(260.0)


def test_zero_turns_the_policy_off() -> None:
    assert not Governed(0.0, now=0.0).orphaned(1e9)


def test_the_shares_of_an_orphan_start_nothing_and_users_pause() -> None:
    request = HttpRequest(url="http://127.0.0.1/")
    opened = Part(revision=1, at_s=0, rate=5, modulus=1, slots=(0,), limit=None)
    closed = replace(opened, rate=0, users=1)
    shares = [
        TaskShare(task=name, request=request, in_flight_max=9, started_at=0, parts=(one,))
        for name, one in (("open", opened), ("closed", closed))
    ]
    assert muted(shares) == [replace(shares[0], in_flight_max=0)]
