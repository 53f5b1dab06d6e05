"""The books of one engine: what is counted by name adds up to what is counted in all."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ha_stress.base.limits import REQUEST_NAME_CHARACTERS_MAX, REQUEST_NAMES_MAX, REQUEST_STATUSES_MAX
from ha_stress.engines.account import Account
from ha_stress.engines.exchange.steps import Steps
from ha_stress.engines.histogram import Recorder, Sparse, blob_of, summary
from ha_stress.engines.named import figures_of, histograms_of
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.figures import FURTHER, add_maps


class Ended:
    due_s = inf
    exhausted = True


def account(names: Sequence[str] = (), *, closed_model: bool = False) -> Account:
    return Account("t", 1, Ended(), names=names, closed_model=closed_model)


#: What an arrival came to: which request, its status or none, how long it took, whether a report was cut behind it.
_ARRIVALS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([200, 404, 503, None]), st.integers(0, 5_000_000), st.booleans()),
    max_size=60,
)
_NAMES = ("GET /", "POST /cart", "GET /", "POST /pay", "GET /me")  # two requests may have one name


def counted(books: Account, arrivals: Sequence[tuple[int, int | None, int, bool]]) -> list[dict[str, Any]]:
    """The reports of these arrivals, as the engines count them."""
    reports = []
    for which, status, took_us, cut in arrivals:
        tally = books.tallies[which] if books.tallies else books
        tally.started += 1
        tally.bytes_out += 10
        if cut:
            reports.append(books.cut(0, 1))
        if status is None:
            tally.failed["reset"] += 1
        else:
            tally.completed += 1
            tally.statuses[status] += 1
            tally.service.record(took_us)
            tally.response.record(2 * took_us)
    assert books.settled
    return [*reports, books.cut(0, 2)]


@given(_ARRIVALS)
def test_the_sum_over_the_names_is_what_the_task_counted_in_every_report(
    arrivals: list[tuple[int, int | None, int, bool]],
) -> None:
    reports = counted(account(_NAMES), arrivals)
    for report in reports:
        whole, named = report["counters"], figures_of(report)
        for counter in ("started", "completed", "wrong"):
            assert sum(getattr(one, counter) for one in named.values()) == whole[counter]
        assert add_maps(one.failed for one in named.values()) == whole["failed"]
        assert add_maps(one.statuses for one in named.values()) == whole["statuses"]
        _, service_us = histograms_of(report)
        service = distribution(one.service_us for one in named.values())
        assert service == distribution([service_us])
        assert service.total == whole["completed"]


@given(_ARRIVALS)
def test_a_mix_is_counted_as_if_it_were_one_request(arrivals: list[tuple[int, int | None, int, bool]]) -> None:
    for one, other in zip(counted(account(_NAMES), arrivals), counted(account(), arrivals), strict=True):
        assert histograms_of(one) == (other["response_us"], other["service_us"])
        assert one["counters"] == other["counters"]
        assert other["requests"] == {}


def test_in_the_closed_model_the_response_times_are_the_service_times() -> None:
    books = account(("a", "b"), closed_model=True)
    books.tallies[0].service.record(1000)
    books.tallies[0].started = books.tallies[0].completed = 1
    response_us, service_us = histograms_of(books.cut(0, 1))
    assert response_us == service_us
    assert summary(service_us).count == 1


def test_what_waits_for_its_connection_keeps_a_revision_open_whatever_request_it_is() -> None:
    books = account(("a", "b"))
    books.tallies[1].waiting += 1
    assert not books.settled
    assert not books.changed
    books.tallies[1].waiting -= 1
    books.tallies[1].started += 1
    assert (books.changed, books.under_way, books.activity) == (True, 1, 1)
    books.cut(0, 1)
    assert (books.settled, books.under_way) == (False, 1)
    books.tallies[1].failed["timeout"] += 1
    assert books.settled


def test_the_requests_of_a_scenario_are_counted_beside_its_runs() -> None:
    books = account()
    books.started += 1
    for _ in range(3):
        step = books.step("GET /items")
        step.started += 1
        step.completed += 1
    assert books.under_way == 1
    report = books.cut(0, 1)
    assert (report["counters"]["started"], report["counters"]["completed"]) == (1, 0)
    assert figures_of(report)["GET /items"].completed == 3


def test_whatever_an_author_calls_a_request_can_be_sent_and_shown() -> None:
    books = account()
    steps = Steps(books)
    for name in ("", "\ud800", "a\nb", "n" * 10_000):
        steps.begin(name).complete()
    found = figures_of(books.cut(0, 1))
    assert list(found) == [FURTHER, "a b", "n" * REQUEST_NAME_CHARACTERS_MAX]
    assert found[FURTHER].completed == 2


def test_beyond_its_names_a_scenario_counts_under_one_more() -> None:
    books = account()
    for number in range(REQUEST_NAMES_MAX + 20):
        books.step(f"GET /{number}").started += 1
    found = figures_of(books.cut(0, 1))
    assert len(found) == REQUEST_NAMES_MAX + 1
    assert found[FURTHER].started == 20
    assert sum(one.started for one in found.values()) == REQUEST_NAMES_MAX + 20


def test_a_target_that_answers_ever_new_statuses_is_told_by_their_class() -> None:
    books = account(("a", "b"))
    for status in range(400, 500):
        books.tallies[0].statuses[status] += 1
        books.tallies[0].started += 1
        books.tallies[0].completed += 1
    statuses = figures_of(books.cut(0, 1))["a"].statuses
    assert len(statuses) == REQUEST_STATUSES_MAX + 1
    assert statuses["4xx"] == 100 - REQUEST_STATUSES_MAX


@given(st.lists(st.integers(0, 4_000_000_000)))
def test_a_sparse_histogram_says_the_same_as_a_full_one(values_us: list[int]) -> None:
    sparse, full = Sparse(), Recorder()
    for value in values_us:
        sparse.record(value)
        full.record(value)
    assert blob_of(sparse.drain()) == full.drain()
    assert sparse.drain() == {}
