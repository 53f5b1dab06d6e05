"""A scenario is looked at before it is accepted: nothing of it is run."""

from __future__ import annotations

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.tasks.admission import check_spec
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.digests import digests_of
from ha_stress.tasks.scenario import Feeder, Scenario, check_source
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.spec import HttpRequest, TaskSpec

GOOD = "async def scenario(user): pass\n"


@pytest.mark.parametrize(
    "more",
    [
        "",
        "def setup(): pass",
        "async def setup(guest): pass",
        "async def teardown(data): pass",
        "def teardown(data, guest): pass",
        "raise SystemExit  # when it is run",
    ],
)
def test_what_a_scenario_may_define(more: str) -> None:
    check_source("shop.py", GOOD + more)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("async def scenario(user)\n    pass", "scenario shop.py is not Python: expected ':' (line 1)"),
        ("", "scenario shop.py does not define `async def scenario(user)`"),
        ("def scenario(user): pass", "scenario shop.py does not define `async def scenario(user)`"),
        ("async def scenario(): pass", "scenario shop.py does not define `async def scenario(user)`"),
        ("async def scenario(user): yield", "scenario shop.py does not define `async def scenario(user)`"),
        ("class scenario: pass", "scenario shop.py does not define `async def scenario(user)`"),
        ("scenario = None", "scenario shop.py does not define `async def scenario(user)`"),
        ("a\0b", "scenario shop.py "),
        (GOOD + "def setup(a, b): pass", "scenario shop.py: setup takes nothing, or a guest"),
        (GOOD + "def teardown(): pass", "scenario shop.py: teardown takes what setup returned"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_one_sentence(source: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_source("shop.py", source)
    assert str(caught.value).startswith(sentence)


def test_a_check_is_refused_where_it_could_see_nothing() -> None:
    message = HttpRequest(url="ws://h/", body=b"x")
    scenario = Scenario(name="shop.py", source=GOOD)
    status, latency = parse_check("status == 200"), parse_check("latency < 1s")
    check_spec(TaskSpec(id="t", name="t", request=message, rate=1, checks=(latency, parse_check("body contains x"))))
    check_spec(
        TaskSpec(id="t", name="t", request=message, mix=(HttpRequest(url="http://h/"),), rate=1, checks=(status,))
    )
    with pytest.raises(ConfigError, match="neither status nor headers"):
        check_spec(TaskSpec(id="t", name="t", request=message, rate=1, checks=(status,)))
    request = HttpRequest(url="http://h/")
    check_spec(TaskSpec(id="t", name="t", request=request, rate=1, scenario=scenario, checks=(latency,)))
    with pytest.raises(ConfigError, match="checks its answers itself"):
        check_spec(TaskSpec(id="t", name="t", request=request, rate=1, scenario=scenario, checks=(status,)))


def test_a_share_names_all_the_files_that_it_needs() -> None:
    requests = [HttpRequest(url="http://h/", body_blob=digest) for digest in ("a", "", "b")]
    feeders = (Feeder(name="people", blob="c", rows=1), Feeder(name="things", blob="a", rows=1))
    share = TaskShare(
        task="t",
        request=requests[0],
        mix=tuple(requests[1:]),
        scenario=Scenario(name="shop.py", source=GOOD, feeders=feeders),
        in_flight_max=1,
        started_at=0.0,
        parts=(),
    )
    assert digests_of(share) == {"a", "b", "c"}
