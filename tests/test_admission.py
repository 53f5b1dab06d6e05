"""What a task may ask for, how much load is admitted, and the data of scenarios."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ha_stress.base.errors import ConfigError, Conflict
from ha_stress.base.limits import FEEDER_COLUMNS_MAX, REQUESTS_MAX, USERS_MAX
from ha_stress.tasks.admission import check_request, check_spec
from ha_stress.tasks.caps import NO_CAPS, RateCaps, peak_rate
from ha_stress.tasks.csv_data import count_rows, read
from ha_stress.tasks.profile import Profile, Stage
from ha_stress.tasks.scenario import Feeder, Scenario
from ha_stress.tasks.spec import HttpRequest, TaskSpec

REQUEST = HttpRequest(url="http://127.0.0.1/")
TASK = TaskSpec(id="t", name="t", request=REQUEST, rate=10.0)
RAMP = Profile(stages=(Stage(duration_s=10, begin=0, end=400), Stage(duration_s=5, begin=300, end=300)))
SCENARIO = Scenario(name="shop.py", source="async def scenario(user): ...")


def changed(**fields: Any) -> TaskSpec:
    return replace(TASK, **fields)


@pytest.mark.parametrize("url", ["https://h/x", "ws://h/", "wss://h:1/", "tcp://h:7000", "http://[::1]:8080/"])
def test_every_protocol_of_ours_is_admitted(url: str) -> None:
    assert check_request(HttpRequest(url=url)).url == url


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (HttpRequest(url="ftp://h/"), "tcp://"),
        (HttpRequest(url="tcp://h"), "names no port"),
        (HttpRequest(url="ws://h/", http2=True), "http2 is for"),
        (HttpRequest(url="http://h/", expect="ok"), "body contains"),
        (HttpRequest(url="ws://h/", expect="x" * 5000), "expect has more"),
        (HttpRequest(url="http://h/", weight=0), "weight 0"),
        (HttpRequest(url="http://h/", weight=10_000), "weight"),
    ],
)
def test_a_request_that_cannot_be_sent_is_refused(request_: HttpRequest, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_request(request_)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (changed(duration_s=5e-324), "at least 0.001"),
        (changed(profile=replace(RAMP, stages=(Stage(duration_s=5e-324, begin=1, end=2),))), "stage 1 lasts"),
        (changed(users=5), "not both"),
        (changed(users=5, rate=0.0, profile=RAMP), "not both"),
        (changed(users=USERS_MAX + 1, rate=0.0), "users is out of range"),
        (changed(think_time_s=1.0), "only users"),
        (changed(users=5, rate=0.0, think_time_s=-1.0), "think time -1"),
        (changed(think_time_s=float("nan")), "think time nan"),
        (changed(warm_up_s=10.0, duration_s=10.0), "leaves nothing"),
        (changed(warm_up_s=-1.0), "warm-up -1"),
        (changed(mix=(REQUEST,) * REQUESTS_MAX), "at most"),
        (changed(mix=(HttpRequest(url="nowhere"),)), "nowhere"),
        (changed(mix=(replace(REQUEST, headers=(("a", "b" * 200_000),)),) * 6), "together"),
        (changed(mix=(REQUEST,), scenario=SCENARIO), "not both"),
        (changed(scenario=replace(SCENARIO, source="async def scenario(user:")), r"not Python: .*line 1"),
        (changed(scenario=replace(SCENARIO, source="-" * 100_000 + "1")), "too deep"),
        (changed(scenario=replace(SCENARIO, source="\0")), "not Python|compiled"),
        (changed(scenario=replace(SCENARIO, source="#" * 200_000)), "larger than"),
        (changed(scenario=replace(SCENARIO, name=" ")), "needs a name"),
        (changed(scenario=replace(SCENARIO, feeders=(Feeder(name="a b", blob="x", rows=1),))), "a name of its own"),
        (changed(scenario=replace(SCENARIO, feeders=(Feeder(name="a", blob="x", rows=1),) * 2)), "a name of its own"),
        (changed(profile=replace(RAMP, sine_amplitude=500, sine_period_s=5)), "sine"),
    ],
)
def test_a_task_that_cannot_be_run_is_refused_in_one_sentence(spec: TaskSpec, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        check_spec(spec)
    assert "\n" not in str(refused.value)


def test_a_task_of_every_kind_is_admitted() -> None:
    for spec in (
        TASK,
        changed(profile=RAMP, rate=0.0),
        changed(users=5, rate=0.0, think_time_s=0.5),
        changed(mix=(replace(REQUEST, weight=3),)),
        changed(scenario=replace(SCENARIO, feeders=(Feeder(name="a", blob="x", rows=1),))),
        changed(warm_up_s=2.0, duration_s=10.0),
    ):
        assert check_spec(spec) is spec


# How much load


def test_the_highest_rate_counts_whenever_it_comes() -> None:
    assert peak_rate(TASK) == 10
    assert peak_rate(changed(profile=RAMP, rate=0.0)) == 400
    assert peak_rate(changed(profile=RAMP, rate=500.0)) == 500, "an operator's rate takes the place of the stages"
    assert peak_rate(changed(profile=Profile(sine_amplitude=5, sine_period_s=1))) == 15
    assert peak_rate(changed(users=10, rate=0.0, think_time_s=0.5)) == 20
    assert peak_rate(changed(users=10, rate=0.0)) == float("inf")


def test_without_caps_everything_is_admitted() -> None:
    NO_CAPS.check(changed(users=10, rate=0.0), [TASK])


def test_a_cap_on_a_task_and_one_on_all_of_them() -> None:
    RateCaps(task=10.0).check(TASK, [TASK] * 5)
    with pytest.raises(Conflict, match="capped at 9/s, and this one would reach 10/s"):
        RateCaps(task=9.0).check(TASK, [])
    RateCaps(cluster=20.0).check(TASK, [TASK])
    with pytest.raises(Conflict, match="of which 20/s are taken"):
        RateCaps(cluster=29.0).check(TASK, [TASK, TASK])
    for caps in (RateCaps(task=1e6), RateCaps(cluster=1e6)):
        with pytest.raises(Conflict, match="without think time"):
            caps.check(changed(users=1, rate=0.0), [])


# Data


def test_the_rows_of_a_file_are_the_same_for_everybody() -> None:
    text = '\ufeffname, age \r\nAnn,31\r\n\r\n"Bob ""B"", Jr.",\n"two\nlines",7'
    columns, rows = read("people", text)
    assert columns == ["name", "age"]
    assert list(rows) == [["Ann", "31"], ['Bob "B", Jr.', ""], ["two\nlines", "7"]]
    assert count_rows("people", text) == 3
    assert list(read("odd", "a\nx\u2028y\vz")[1]) == [["x\u2028y\vz"]], "only line ends end a row"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must name the columns"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "each once"),
        ("a,\n1,2\n", "must name the columns"),
        ("a,b\n1,2\n3\n", "line 3 has 1 fields, not 2"),
        ('a\n"1\n', "line 3 is not CSV"),
        (",".join(map(str, range(FEEDER_COLUMNS_MAX + 1))) + "\n", "at most"),
    ],
)
def test_a_file_that_has_no_rows_to_give_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        count_rows("people", text)
