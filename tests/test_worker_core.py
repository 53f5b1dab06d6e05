"""Which assignment a worker carries out."""

from __future__ import annotations

from ha_stress.tasks.schedule import Holder, NodeAssignment
from ha_stress.worker.core import Apply, Keep, Refuse, WorkerCore, Yield

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
