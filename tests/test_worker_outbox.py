"""Result frames on their way to the database: none is lost, numbers have no gaps, the memory is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.ledger import Counters, Frame
from ha_stress.tasks.schedule import Holder
from ha_stress.worker.outbox import Outbox

ME = Holder("a", "i1")


def frame(started: int = 1, *, revision: int = 1) -> Frame:
    return Frame(
        node="",
        incarnation="",
        sequence=0,
        epoch=1,
        task="t",
        revision=revision,
        engine=0,
        second=0,
        counters=Counters(intended=started, started=started),
        response_us=b"x",
        service_us=b"x",
    )


def numbers(frames: Sequence[Frame]) -> list[int]:
    return [one.sequence for one in frames]


def filled(count: int, **options: int) -> Outbox:
    outbox = Outbox(ME, **options)
    for _ in range(count):
        outbox.add(frame())
    return outbox


def test_frames_are_numbered_from_one_and_carry_their_holder() -> None:
    outbox = filled(3)
    batch = outbox.take(2)
    assert numbers(batch) == [1, 2]
    assert (batch[0].node, batch[0].incarnation) == ("a", "i1")
    outbox.delivered(batch, 0.0)
    assert numbers(outbox.take(2)) == [3]


def test_what_could_not_be_delivered_is_taken_again_under_the_same_numbers() -> None:
    outbox = filled(2)
    assert numbers(outbox.take(10)) == [1, 2]
    outbox.add(frame())
    assert numbers(outbox.take(10)) == [1, 2, 3]
    assert outbox.undelivered == 3


def test_frames_are_kept_until_they_are_committed() -> None:
    outbox = filled(3)
    outbox.delivered(outbox.take(3), 0.0)
    assert (outbox.undelivered, outbox.kept) == (0, 3)
    outbox.acknowledge(2, 1.0)
    assert outbox.kept == 1
    outbox.acknowledge(2, 1.0)
    assert outbox.kept == 1


def test_without_an_acknowledgement_they_are_sent_again_ever_more_rarely() -> None:
    outbox = filled(3)
    outbox.delivered(outbox.take(3), 100.0)
    times, now = [], 100.0
    while now < 200.0:
        if outbox.take_again(now):
            times.append(now)
        now += 0.5
    assert times == [105.0, 115.0, 135.0, 175.0]
    outbox.acknowledge(1, 200.0)
    assert outbox.take_again(204.0) == []
    assert numbers(outbox.take_again(205.0)) == [2, 3], "progress makes it quick again"


def test_only_a_few_are_sent_again_at_once() -> None:
    outbox = filled(50, resent_max=10)
    outbox.delivered(outbox.take(50), 0.0)
    assert numbers(outbox.take_again(5.0)) == list(range(1, 11))


def test_after_redis_was_away_they_are_sent_again_soon_but_not_in_a_tight_loop() -> None:
    outbox = filled(1)
    outbox.delivered(outbox.take(1), 100.0)
    sent = 0
    for tick in range(100):
        now = 100.5 + tick / 10
        outbox.doubt(now)
        sent += bool(outbox.take_again(now))
    assert sent <= 2
    outbox.doubt(120.0)
    assert numbers(outbox.take_again(121.0)) == [1]


def test_too_many_frames_are_added_up_and_only_their_histograms_are_lost() -> None:
    outbox = filled(10, kept_max=4)
    assert outbox.kept == 4
    assert outbox.lost == 6
    assert sum(one.counters.started for one in outbox.take(100)) == 10


def test_when_many_are_kept_new_ones_go_without_the_histograms_of_their_names_and_lose_no_count() -> None:
    outbox = Outbox(ME, with_requests_max=2, kept_max=3)
    for number in range(5):
        figures = RequestFigures(started=number, completed=number, failed={"reset": 1}, service_us=b"x")
        outbox.add(replace(frame(), requests={"a": figures}))
    kept = [one.requests["a"] for one in outbox.take(9)]
    assert sum(one.started for one in kept) == 10
    assert sum(one.failed_total for one in kept) == 5
    assert not any(one.service_us for one in kept[1:])
    assert outbox.lost


def test_what_was_sent_is_never_changed_so_numbers_have_no_gap() -> None:
    outbox = filled(4, kept_max=4)
    first = outbox.take(4)
    for _ in range(5):
        outbox.add(frame())
    assert numbers(outbox.take(100)) == [1, 2, 3, 4, 5]
    assert outbox.take(100)[:4] == first
    assert sum(one.counters.started for one in outbox.take(100)) == 9


acts = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["take", "deliver", "again"]), st.integers(1, 5)),
        st.tuples(st.just("acknowledge"), st.integers(0, 40)),
    ),
    max_size=60,
)


@given(acts)
def test_whatever_happens_every_arrival_is_in_exactly_one_numbered_frame(todo: list[tuple[str, int]]) -> None:
    outbox = Outbox(ME, kept_max=6, resent_max=3)
    said, now = 0, 0.0
    stored: dict[int, Frame] = {}
    for act, number in todo:
        now += 1.0
        if act == "add":
            said += number
            outbox.add(frame(number, revision=number))
        elif act == "acknowledge":
            outbox.acknowledge(min([number, *_gaps(stored)]), now)
        else:
            batch = outbox.take_again(now) if act == "again" else outbox.take(number)
            if act != "take":
                outbox.delivered(batch, now)
                stored.update({one.sequence: one for one in batch})
        assert outbox.kept <= 6 + 3
    rest = outbox.take(1000)
    stored.update({one.sequence: one for one in rest})
    assert sorted(stored) == list(range(1, len(stored) + 1))
    assert sum(one.counters.started for one in stored.values()) == said


def _gaps(stored: dict[int, Frame]) -> list[int]:
    """The mark that the database would give."""
    mark = 0
    while mark + 1 in stored:
        mark += 1
    return [mark]
