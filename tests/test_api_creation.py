"""Creating tasks through the API: every field, large bodies and data, who may be loaded, caps, the end of everything."""

from __future__ import annotations

import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from ha_stress.api import allowed
from ha_stress.api.allowed import check_targets, lookups
from ha_stress.api.app import create_app
from ha_stress.base.errors import NotAllowed
from ha_stress.base.limits import INLINE_BODIES_BYTES_MAX, INLINE_BODY_BYTES_MAX, REQUEST_BODY_BYTES_MAX
from ha_stress.base.targets import AllowedTargets
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from tests.api_support import TASK, Api

SOURCE = "async def scenario(user):\n    await user.get('/')\n"
EVERYTHING: dict[str, Any] = {
    "id": "all",
    "url": "http://127.0.0.1:1/",
    "weight": 3,
    "requests": [
        {"url": "http://127.0.0.1:1/b", "method": "post", "body": "x", "headers": {"A": "b"}, "timeout_s": 2.0},
        {"url": "ws://127.0.0.1:1/c", "body": "hello", "expect": "hi", "weight": 2},
        {"url": "https://127.0.0.1:1/d", "http2": True, "name": "the last"},
    ],
    "request_name": "home",
    "profile": {"stages": [{"duration_s": 5, "begin": 0, "end": 50}], "poisson_seed": 7},
    "duration_s": 60.0,
    "warm_up_s": 2.0,
    "checks": ["status == 200", "body contains ok"],
    "thresholds": ["p99 < 200ms", "error_rate < 1% over 10s abort"],
}


@asynccontextmanager
async def reconfigured(api: Api, **settings: Any) -> AsyncIterator[Api]:
    """The API of another node of the same cluster."""
    node = replace(api.node, config=api.node.config.model_copy(update=settings))
    transport = httpx.ASGITransport(create_app(node))
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
        yield Api(node, http)


async def test_every_field_comes_back_as_it_was_given(api: Api) -> None:
    task = await api.call("POST", "/tasks", EVERYTHING, expect=201)
    assert task == await api.call("POST", "/tasks", EVERYTHING, expect=201), "the same task is created once"
    for key in ("weight", "duration_s", "warm_up_s", "checks", "thresholds"):
        assert task[key] == EVERYTHING[key]
    assert task["profile"] == EVERYTHING["profile"] | {"sine_amplitude": 0.0, "sine_period_s": 0.0}
    assert [(one["url"], one["method"], one["http2"], one["expect"], one["weight"]) for one in task["requests"]] == [
        ("http://127.0.0.1:1/b", "POST", False, "", 1),
        ("ws://127.0.0.1:1/c", "GET", False, "hi", 2),
        ("https://127.0.0.1:1/d", "GET", True, "", 1),
    ]
    assert base64.b64decode(task["requests"][0]["body_base64"]) == b"x" and task["requests"][0]["headers"] == [
        ["A", "b"]
    ]
    assert (task["rate"], task["users"], task["scenario"]) == (0.0, 0, None)
    assert (task["request_name"], [one["name"] for one in task["requests"]]) == ("home", ["", "", "the last"])

    stored = (await api.node.store.task("all")).spec
    assert [check.text for check in stored.checks] == EVERYTHING["checks"]
    assert stored.profile is not None and stored.profile.poisson_seed == 7


async def test_a_scenario_with_data_is_stored_and_the_data_named(api: Api) -> None:
    scenario = {"name": "shop.py", "source": SOURCE, "feeders": [{"name": "people", "csv": "name\nAnn\nBob\n"}]}
    task = TASK | {"scenario": scenario, "rate": None, "users": 3, "think_time_s": 0.5}
    view = await api.call("POST", "/tasks", task, expect=201)
    assert (view["name"], view["users"], view["think_time_s"]) == ("shop.py", 3, 0.5)
    (feeder,) = view["scenario"]["feeders"]
    assert (feeder["name"], feeder["rows"], feeder["again"]) == ("people", 2, True)
    assert await api.node.store.blob(feeder["blob"]) == b"name\nAnn\nBob\n"
    stored = (await api.node.store.task("t-1")).spec.scenario
    assert stored is not None and stored.source == SOURCE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rate": None}, "rate: missing"),
        ({"users": 3}, "not both"),
        ({"checks": ["colour == red"]}, "colour"),
        ({"thresholds": ["p99"]}, "p99"),
        ({"requests": [{"url": "http://127.0.0.1/", "rate": 3}]}, "requests.0.rate: unknown field"),
        ({"requests": [{"url": "nowhere"}]}, "nowhere"),
        ({"requests": [{"url": "http://127.0.0.1/", "name": "a\nb"}]}, "printable"),
        ({"request_name": " "}, "printable"),
        ({"request_name": "n" * 200}, "request_name"),
        ({"profile": {"stages": [{"duration_s": 0, "begin": 1, "end": 1}]}}, "stage 1"),
        ({"scenario": {"name": "s", "source": "def"}}, "not Python"),
        ({"scenario": {"name": "s", "source": "", "feeders": [{"name": "f", "csv": "a\n"}]}}, "no rows"),
        ({"requests": [{"url": "http://h/"}] * 1000}, "requests"),
        ({"rate": True}, "rate: a number is wanted, not true or false"),
        ({"rate": "500"}, "rate: a number is wanted, not a text"),
        ({"users": "\u0663"}, "users: a number is wanted, not a text"),
        ({"http2": 1}, "http2: "),
        ({"profile": {"poisson_seed": False}}, "profile.poisson_seed: a number is wanted"),
        ({"headers": 5}, "headers: an object of texts is wanted, or pairs of texts"),
        ({"requests": [{"url": "http://h/", "headers": [["a"]]}]}, "requests.0.headers: an object of texts is wanted"),
        ({"thresholds": ["p99 < \u0663ms"]}, "is not a value of that metric"),
        ({"thresholds": ["p99 < 3ms"] * 5_000}, "at most 50"),
        ({"warm_up_s": 2, "duration_s": 2}, "leaves nothing of 2 s"),
    ],
)
async def test_what_cannot_be_run_is_refused_in_one_sentence(api: Api, change: dict[str, Any], says: str) -> None:
    assert says in await api.refused("POST", "/tasks", TASK | change, status=400)


async def test_text_that_has_no_utf_8_form_is_refused(api: Api) -> None:
    """Half of a surrogate pair, which JSON can write."""
    for field in ('"scenario": {"name": "s", "source": "\\ud800"}', '"body": "\\ud800"', '"expect": "\\ud800"'):
        content = '{"url": "ws://127.0.0.1:1/", "rate": 1, ' + field + "}"
        answer = await api.http.post("/api/v1/tasks", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 400 and "UTF-8" in answer.json()["error"]


# Large


async def test_a_large_body_is_stored_once_and_does_not_travel_with_the_task(api: Api) -> None:
    body = bytes(range(256)) * (INLINE_BODY_BYTES_MAX // 256)
    small, large = (base64.b64encode(data).decode() for data in (body, body + b"!"))
    task = TASK | {
        "body_base64": large,
        "requests": [{"url": TASK["url"], "body_base64": text} for text in (small, large)],
    }
    view = await api.call("POST", "/tasks", task, expect=201)
    assert view["body_base64"] == "" and view["body_blob"] == view["requests"][1]["body_blob"]
    assert view["requests"][0]["body_base64"] == small and view["requests"][0]["body_blob"] == ""
    assert await api.node.store.blob(view["body_blob"]) == body + b"!"


async def test_bodies_that_are_large_together_are_stored_as_well(api: Api) -> None:
    many = INLINE_BODIES_BYTES_MAX // 20_000 + 2
    task = TASK | {"requests": [{"url": TASK["url"], "body": f"{n:03}" + "x" * 20_000} for n in range(many)]}
    views = (await api.call("POST", "/tasks", task, expect=201))["requests"]
    assert sum(len(base64.b64decode(view["body_base64"])) for view in views) <= INLINE_BODIES_BYTES_MAX
    stored = [view["body_blob"] for view in views if view["body_blob"]]
    assert 2 <= len(stored) <= 4 and len(set(stored)) == len(stored)


async def test_sixteen_megabytes_of_a_body_or_of_data_are_taken_and_not_one_byte_more(api: Api) -> None:
    body = base64.b64encode(b"\0" * REQUEST_BODY_BYTES_MAX).decode()
    view = await api.call("POST", "/tasks", TASK | {"id": "body", "body_base64": body}, expect=201)
    assert len(await api.node.store.blob(view["body_blob"])) == REQUEST_BODY_BYTES_MAX
    rows = (REQUEST_BODY_BYTES_MAX - 5) // 20
    scenario = {
        "name": "s",
        "source": SOURCE,
        "feeders": [{"name": "f", "csv": "a,b\n" + '"Smith, John",12345\n' * rows}],
    }
    task = TASK | {"id": "rows", "scenario": scenario}
    assert (await api.call("POST", "/tasks", task, expect=201))["scenario"]["feeders"][0]["rows"] == rows
    more = base64.b64encode(b"\0" * (REQUEST_BODY_BYTES_MAX + 1)).decode()
    assert "larger than" in await api.refused("POST", "/tasks", TASK | {"body_base64": more}, status=400)


# Who may be loaded


async def test_a_target_that_is_not_on_the_allow_list_is_refused(api: Api) -> None:
    said = await api.refused("POST", "/tasks", TASK | {"url": "http://198.51.100.7/"}, status=403)
    assert said.startswith("198.51.100.7 is not on the allow-list") and "--allow 198.51.100.7" in said
    await api.refused("GET", "/tasks/t-1", status=404)
    further = TASK | {"requests": [{"url": "tcp://[2001:db8::1]:7"}]}
    assert "2001:db8::1" in await api.refused("POST", "/tasks", further, status=403)
    async with reconfigured(api, allow=("198.51.100.0/24",)) as other:
        await other.call("POST", "/tasks", TASK | {"url": "http://198.51.100.7/"}, expect=201)
        assert "127.0.0.1" in await other.refused("POST", "/tasks", TASK | {"id": "x"}, status=403)


async def test_a_program_is_taken_only_from_this_machine_unless_the_operator_wants_it_from_others(api: Api) -> None:
    task = TASK | {"scenario": {"name": "s.py", "source": SOURCE}}
    async with reconfigured(api, host="192.0.2.7", secret="s") as reachable:
        said = await reachable.call("POST", "/tasks", task | {"id": "no"}, expect=403)
        assert "--scenarios" in said["error"]
    async with reconfigured(api, host="192.0.2.7", secret="s", scenarios=True) as willing:
        await willing.call("POST", "/tasks", task | {"id": "yes"}, expect=201)
    async with reconfigured(api, scenarios=False) as unwilling:
        await unwilling.call("POST", "/tasks", task | {"id": "here"}, expect=403)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
async def test_another_spelling_of_an_address_is_that_address(api: Api, host: str) -> None:
    async with reconfigured(api, allow=("10.0.0.0/8",)) as other:
        said = await other.refused("POST", "/tasks", TASK | {"url": f"http://{host}/"}, status=403)
        assert said.startswith(f"{host} is 127.0.0.1, which is not") or "::1" in said


def spec_of(*hosts: str) -> TaskSpec:
    first, *others = (HttpRequest(url=f"http://{host}/") for host in hosts)
    return TaskSpec(id="t", name="t", request=first, mix=tuple(others), rate=1.0)


def answering(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
        if host not in names:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_a_name_is_judged_by_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch, {"shop": ["198.51.100.1", "10.0.0.1"], "bank": ["198.51.100.2"], "cloud": ["169.254.169.254"]}
    )
    default = AllowedTargets.parse()
    await check_targets(spec_of("shop"), default, lookups())  # one of them may be loaded: engines use that one
    await check_targets(spec_of("shop", "nobody.invalid"), default, lookups())  # engines will count it as failed
    for host in ("bank", "cloud"):
        with pytest.raises(NotAllowed, match=f"{host} is 1"):
            await check_targets(spec_of("shop", host), default, lookups())


async def test_a_resolver_that_hangs_does_not_hold_up_the_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(10) and [])
    monkeypatch.setattr(allowed, "LOOKUP_TIMEOUT_S", 0.1)
    try:
        with trio.fail_after(8):
            await check_targets(spec_of(*(f"host{n}" for n in range(20))), AllowedTargets.parse(), lookups())
    finally:
        released.set()


# How much, and the end of everything


async def test_a_rate_above_a_cap_is_refused(api: Api) -> None:
    async with reconfigured(api, rate_max_task=100.0, rate_max_cluster=150.0) as capped:
        await capped.call("POST", "/tasks", TASK, expect=201)
        assert "capped at 100/s" in await capped.refused("POST", "/tasks", TASK | {"id": "a", "rate": 101}, status=409)
        assert "taken" in await capped.refused("POST", "/tasks", TASK | {"id": "b", "rate": 51}, status=409)
        stages = {"stages": [{"duration_s": 1, "begin": 0, "end": 51}]}
        assert "taken" in await capped.refused(
            "POST", "/tasks", TASK | {"id": "c", "rate": 0, "profile": stages}, status=409
        )
        assert "capped" in await capped.refused("PUT", "/tasks/t-1/rate", {"rate": 101}, status=409)
        await capped.call("POST", "/tasks", TASK | {"id": "d", "rate": 50}, expect=201)


async def test_one_call_stops_every_task_and_tells_the_master(api: Api) -> None:
    for number in range(3):
        await api.call("POST", "/tasks", TASK | {"id": f"t-{number}"}, expect=201)
    bus = api.node.bus
    with trio.fail_after(5):
        async with bus.subscribe(bus.keys.intent_channel) as hints:
            await hints.receive()  # the subscription stands
            assert sorted((await api.call("POST", "/tasks/stop"))["stopped"]) == ["t-0", "t-1", "t-2"]
            await hints.receive()
    assert {task["wanted"] for task in (await api.call("GET", "/tasks"))["tasks"]} == {"stop"}
    assert len((await api.call("POST", "/tasks/stop"))["stopped"]) == 3


async def test_openapi_knows_what_a_task_may_have(api: Api, tmp_path: Path) -> None:
    document = (await api.http.get("/api/v1/openapi.json")).json()
    new = document["components"]["schemas"]["NewTask"]
    assert set(EVERYTHING) <= set(new["properties"]) and new["required"] == ["url"]
    assert "403" in document["paths"]["/api/v1/tasks"]["post"]["responses"]
    assert "post" in document["paths"]["/api/v1/tasks/stop"]
