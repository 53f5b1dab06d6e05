"""Thresholds of the requests of one name: how they are written, what they judge, what is refused before anything runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.engines.histogram import blob_of
from ha_stress.tasks.admission import check_spec
from ha_stress.tasks.distribution import EMPTY
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.judging import Totals, asked_for, judge, totals_of
from ha_stress.tasks.ledger import Counters, Row
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from ha_stress.tasks.thresholds import parse_threshold

CART = RequestFigures(
    started=100, completed=98, wrong=3, failed={"timeout": 2}, service_us=blob_of({1000: 90, 1900: 8})
)
FIGURES = {"GET /cart": CART, "GET /items/{id}": replace(CART, failed={}, wrong=0), "never": RequestFigures()}
SPEC = TaskSpec(id="t", name="t", request=HttpRequest(url="http://h/cart"), rate=1.0, duration_s=9.0)


def totals() -> Totals:
    revision = Revision(number=1, at_s=0.0, rate=10.0, holders=(Holder("a", "1"),), table=(0,), limit=200)
    plan = Plan(started_at=100.0, duration_s=20.0, revisions=(revision,))
    rows = [Row(holder=Holder("a", "1"), revision=1, counters=Counters(started=200))]
    found = totals_of(plan, 0.0, rows, counted=None, newest=120.0, response=EMPTY, service=EMPTY, requests=FIGURES)
    assert found.measured_s == 20.0
    return found


@pytest.mark.parametrize(
    ("text", "observed", "ok"),
    [
        ("p50{GET /cart} < 1.5ms", 1.0, True),
        ("p99{GET /cart} < 1.5ms", 1.9, False),
        ("p99(service){GET /cart} < 2ms abort after 5s", 1.9, True),
        ("mean{GET /items/{id}} < 2", pytest.approx(1.0735, rel=0.01), True),
        ("error_rate{GET /cart} < 4%", 0.05, False),
        ("failed{GET /cart} <= 2", 2, True),
        ("wrong{GET /items/{id}} == 0", 0, True),
        ("completed{GET /cart} >= 99", 98, False),
        ("started{GET /cart} == 100", 100, True),
        ("failed{never} == 0", 0, True),
    ],
)
def test_a_threshold_of_one_name_judges_its_requests_alone(text: str, observed: float, ok: bool) -> None:
    (found,) = judge([parse_threshold(text)], totals(), {}, final=True)
    assert (found.observed, found.ok) == (observed, ok)


@pytest.mark.parametrize("text", ["p99{never} < 1s", "failed{nobody} == 0", "error_rate{never} < 1%"])
def test_what_was_never_measured_is_not_passed(text: str) -> None:
    for final in (False, True):
        (found,) = judge([parse_threshold(text)], totals(), {}, final=final)
        assert (found.observed, found.ok) == (None, False if final else None)


def test_only_the_names_that_are_asked_for_are_decoded() -> None:
    asked = [
        parse_threshold("p99{GET /cart} < 1s"),
        parse_threshold("p99 < 1s"),
        parse_threshold("failed{nobody} == 0"),
    ]
    assert asked_for(asked, FIGURES) == {"GET /cart": CART}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p99{} < 1s", "no name between the braces"),
        ("p99(response){GET /} < 1s", "those from the send"),
        ("rate{GET /} > 1", "no rate of one name"),
        ("uncovered{GET /} == 0", "no uncovered of one name"),
        ("p99{GET /} < 1s over 10s", "of the whole run"),
        ("p99{GET / < 1s", "not of the form"),
    ],
)
def test_what_cannot_be_asked_of_one_name_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_threshold(text)


def test_a_name_that_no_request_has_is_refused_where_the_names_are_known() -> None:
    asked = replace(SPEC, thresholds=(parse_threshold("p99{GET /pay} < 1s"),))
    with pytest.raises(ConfigError, match="a task of one request has no figures by name"):
        check_spec(asked)
    with pytest.raises(ConfigError, match="there are GET /cart, pay"):
        check_spec(replace(asked, mix=(HttpRequest(url="http://h/pay", name="pay"),)))
    check_spec(replace(asked, mix=(HttpRequest(url="http://h/pay"),)))
    play = Scenario(name="s.py", source="async def scenario(user):\n    pass\n")
    check_spec(replace(asked, scenario=play))


def test_counts_by_name_cannot_leave_out_a_warm_up_and_latencies_do() -> None:
    mixed = replace(SPEC, mix=(HttpRequest(url="http://h/pay"),), warm_up_s=2.0)
    check_spec(replace(mixed, thresholds=(parse_threshold("p99{GET /pay} < 1s"),)))
    with pytest.raises(ConfigError, match="warm-up"):
        check_spec(replace(mixed, thresholds=(parse_threshold("failed{GET /pay} == 0"),)))
