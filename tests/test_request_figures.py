"""Figures by request and by step, from a real target to the report: what they are called, and what is counted of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.base.limits import REQUEST_NAME_CHARACTERS_MAX, REQUEST_NAMES_MAX, REQUESTS_MAX
from ha_stress.engines.histogram import summary
from ha_stress.engines.named import figures_of, histograms_of
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.figures import FURTHER, RequestFigures, add_maps, counts_added
from ha_stress.tasks.ledger import Counters
from ha_stress.tasks.request_names import clean, name_of_step, names_of, shares_of
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.spec import HttpRequest
from tests.engine_support import part, raw_server, share, unused_port
from tests.engine_thread import EngineThread, arrivals, engine_thread, users
from tests.exchange_support import asgi_server, echo, exchange_rig, tcp_server, versions, websocket_server, ws_echo
from tests.test_engine_model import OK, Site


def requests(*urls: str, **more: Any) -> list[HttpRequest]:
    return [HttpRequest(url=url, **more) for url in urls]


# Names


def test_requests_are_told_apart_as_far_as_it_takes() -> None:
    assert names_of(requests("http://a/", "http://a/cart?item=7")) == ["GET /", "GET /cart"]
    assert names_of(requests("http://a/x", "http://b/x")) == ["GET a/x", "GET b/x"]
    assert names_of(requests("http://a/x?q=1", "http://a/x?q=2")) == ["GET /x?q=1", "GET /x?q=2"]
    assert names_of(requests("http://a/x", "http://a/x", method="POST")) == ["POST /x", "POST /x #2"]
    assert names_of(requests("ws://a/feed", "tcp://me:secret@a:7")) == ["WS a/feed", "TCP a:7"]


def test_long_paths_are_told_apart_within_the_bound() -> None:
    path = "/" + "x" * REQUEST_NAME_CHARACTERS_MAX
    names = names_of(requests(*(f"http://a{path}{n}" for n in range(12))))
    assert len(set(names)) == 12
    assert max(map(len, names)) == REQUEST_NAME_CHARACTERS_MAX
    assert [name[-4:] for name in names[-2:]] == [" #11", " #12"]


def test_a_name_is_the_part_of_the_mix_that_its_weights_say() -> None:
    mix = [HttpRequest(url="http://a/", weight=2), *requests("http://a/1", "http://a/2", name="item", weight=3)]
    assert shares_of(mix) == {"GET /": 0.25, "item": 0.75}


def test_those_that_were_given_one_name_share_it_and_nobody_else_takes_it() -> None:
    given = requests("http://a/items/1", "http://a/items/2", name="item")
    assert names_of([*given, HttpRequest(url="http://a/", name="GET /x"), *requests("http://a/x")]) == [
        *("item", "item", "GET /x", "GET /x #2")
    ]


def test_where_there_are_too_many_the_ones_with_the_smallest_weights_share_a_name() -> None:
    many = [HttpRequest(url=f"http://a/{n}", weight=2 if n >= 10 else 1) for n in range(REQUEST_NAMES_MAX + 4)]
    names = names_of(many)
    assert len(set(names)) == REQUEST_NAMES_MAX + 1
    assert names.count(FURTHER) == 4
    assert all(many[place].weight == 1 for place, name in enumerate(names) if name == FURTHER)


@given(
    st.lists(st.tuples(st.sampled_from(["/", "/a", "/a?b", "/" + "c" * 300]), st.sampled_from(["", "n"])), min_size=1)
)
def test_every_request_has_a_name_that_can_be_shown(some: list[tuple[str, str]]) -> None:
    names = names_of([HttpRequest(url=f"http://h{path}", name=name) for path, name in some][:REQUESTS_MAX])
    assert len(names) == len(some)
    assert all(name and name.isprintable() and len(name) <= REQUEST_NAME_CHARACTERS_MAX + 5 for name in names)


def test_a_step_is_called_by_its_path_without_what_looks_like_an_id() -> None:
    assert name_of_step("GET", "/users/17/orders/9f8b2c3d-0000-4000-8000-aabbccddeeff") == "GET /users/{id}/orders/{id}"
    assert name_of_step("GET", "/v1/facade?q=7") == "GET /v1/facade"
    assert name_of_step("PUT", "", "other:80") == "PUT other:80/"
    assert clean(" a\nb\0") == "a b"


# The fast engine


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineThread]:
    with engine_thread() as thread:
        yield thread


def agree(reports: Iterable[Mapping[str, Any]]) -> dict[str, RequestFigures]:
    """The figures by name; in each report their sum is what the task counted, to the last request."""
    found = []
    for report in reports:
        named, whole = figures_of(report), Counters(**report["counters"])
        for counter in ("started", "completed", "wrong"):
            assert sum(getattr(one, counter) for one in named.values()) == getattr(whole, counter), counter
        assert add_maps(one.failed for one in named.values()) == whole.failed
        assert add_maps(one.statuses for one in named.values()) == whole.statuses
        service = distribution(one.service_us for one in named.values())
        assert service == distribution([histograms_of(report)[1]])
        found.append(named)
    return counts_added(found)


def answer_by_path(path: str, _number: int) -> bytes:
    if path == "/bad":
        return OK.replace(b"200 OK", b"503 Unavailable") + b"Content-Length: 0\r\n\r\n"
    if path == "/rubbish":
        return b"rubbish\r\n\r\n"
    return OK + b"Content-Length: 2\r\n\r\nok"


def test_each_request_of_a_mix_has_its_figures_and_they_add_up(engine: EngineThread) -> None:
    with raw_server(Site(answer_by_path)) as server:
        mix = (
            HttpRequest(url=server.url + "bad", weight=2),
            HttpRequest(url=server.url + "rubbish", name="what is no HTTP"),
            HttpRequest(url=f"http://127.0.0.1:{unused_port()}/"),
        )
        share = replace(arrivals(server.url + "good", 60, rate=1000, weight=2), mix=mix)
        books = engine.run(share)
        found = agree(engine.reports)
    host = server.url.removeprefix("http://").rstrip("/")
    assert (books.started, books.completed, books.wrong) == (60, 40, 20)
    assert set(found) >= {f"GET {host}/good", f"GET {host}/bad", "what is no HTTP"}
    good, bad, rubbish = found[f"GET {host}/good"], found[f"GET {host}/bad"], found["what is no HTTP"]
    assert (good.completed, good.wrong, good.statuses) == (20, 0, {"200": 20})
    assert (bad.completed, bad.wrong, bad.statuses) == (20, 20, {"503": 20})
    assert (rubbish.started, rubbish.failed) == (10, {"protocol": 10})
    (refused,) = (
        one for name, one in found.items() if name not in (f"GET {host}/good", f"GET {host}/bad", "what is no HTTP")
    )
    assert (refused.started, refused.failed) == (10, {"connect_refused": 10})


def test_the_users_of_a_mix_and_checks_of_bodies_add_up_too(engine: EngineThread) -> None:
    with raw_server(Site(answer_by_path)) as server:
        checks = (parse_check("body contains ok"),)
        share = replace(users(server.url + "a", 3, 0.3), mix=tuple(requests(server.url + "bad")), checks=checks)
        books = engine.run(share)
        found = agree(engine.reports)
    assert books.wrong == found["GET /bad"].completed == found["GET /bad"].wrong > 0
    assert found["GET /a"].wrong == 0
    for report in engine.reports:
        assert histograms_of(report)[0] == histograms_of(report)[1]


def test_a_task_of_one_request_has_no_figures_by_name(engine: EngineThread) -> None:
    with raw_server(Site()) as server:
        engine.run(arrivals(server.url, 10))
    assert not any(report["requests"] for report in engine.reports)


# Exchange engines


async def test_a_mix_of_protocols_adds_up() -> None:
    async with websocket_server(ws_echo) as ws, tcp_server(echo) as tcp, exchange_rig(engines=2) as rig:
        mix = (
            HttpRequest(url=tcp.tcp, body=b"PING", expect="PING", weight=2),
            HttpRequest(url=tcp.tcp, body=b"PING", expect="never", timeout_s=0.2),
        )
        await rig.pool.apply([replace(share(ws.ws, part(200, 40), body=b"hi"), mix=mix)])
        books = await rig.settled()
    assert (books.completed, books.failed) == (30, {"timeout": 10})
    found = counts_added(report.requests for report in rig.reports)
    one, other = f"TCP 127.0.0.1:{tcp.port}", f"TCP 127.0.0.1:{tcp.port} #2"
    assert {name: figures.started for name, figures in found.items()} == {
        f"WS 127.0.0.1:{ws.port}/": 10,
        one: 20,
        other: 10,
    }
    assert found[other].failed == {"timeout": 10}
    for report in rig.reports:
        assert sum(figures.completed for figures in report.requests.values()) == report.counters.completed
        count = sum(summary(figures.service_us).count for figures in report.requests.values())
        assert count == summary(report.service_us).count == report.counters.completed


SHOP = """
import trio

async def scenario(user):
    with user.step("browse"):
        await user.http.get(f"/items/{{user.number}}")
        answer = await user.http.get(f"/any/{{user.number}}x", name="item")
    answer = await user.http.post("/status/503", content="a")
    user.check(answer.status_code == 200, "bought")
    user.check(answer.text == "", "nothing said")
    with user.request("ask"):
        async with user.tcp("127.0.0.1", {tcp}) as line:
            await line.send(b"one")
            await line.expect(b"one")
    async with user.websocket("ws://127.0.0.1:{ws}/feed", name="feed"):
        pass
    try:
        await user.http.get("http://127.0.0.1:{nobody}/")
    except Exception:
        pass
    with trio.move_on_after(0.05):
        await user.http.get("/wait", name="slow")
    if user.number == 1:
        await user.http.send(user.http.build_request("GET", "/left/open"), stream=True)
    if user.number == 2:
        answer = await user.http.get("/", name="asserted")
        assert answer.text == "something else"
    if user.number == 0:
        await user.http.get("/wait", name="slower")
"""


async def test_the_requests_of_a_scenario_have_their_figures() -> None:
    async with (
        asgi_server(versions) as web,
        websocket_server(ws_echo) as ws,
        tcp_server(echo) as tcp,
        exchange_rig() as rig,
    ):
        nobody = unused_port()
        asked = share(f"http://127.0.0.1:{web.port}/", part(50, 10), timeout_s=1.5)
        source = SHOP.format(ws=ws.port, tcp=tcp.port, nobody=nobody)
        await rig.pool.apply([replace(asked, scenario=Scenario(name="shop.py", source=source))])
        books = await rig.settled()
    assert (books.started, books.completed, books.failed) == (10, 8, {"timeout": 1, "assertion": 1})
    found = counts_added(report.requests for report in rig.reports)
    ten = RequestFigures(started=10, completed=10)
    for name in ("ask", f"TCP 127.0.0.1:{tcp.port}", "feed"):
        assert found[name] == ten, name
    assert {name: one.started for name, one in found.items()} == {
        "browse: GET /items/{id}": 10,
        "browse: item": 10,
        "POST /status/{id}": 10,
        "ask": 10,
        f"TCP 127.0.0.1:{tcp.port}": 10,
        "feed": 10,
        f"GET 127.0.0.1:{nobody}/": 10,
        "slow": 10,
        "slower": 1,
        "GET /left/open": 1,
        "asserted": 1,
    }
    assert found["POST /status/{id}"].wrong == 10, "once, however many checks fail"
    assert found[f"GET 127.0.0.1:{nobody}/"].failed == {"connect_refused": 10}
    assert (found["asserted"].completed, found["asserted"].wrong) == (1, 1)
    assert found["slow"].failed == {"timeout": 10}
    assert found["slower"].failed == {"timeout": 1}
    assert found["GET /left/open"].failed == {"cancelled": 1}, "its run ended before it"
    assert add_maps(one.statuses for one in found.values()) == books.statuses
    assert all(one.started == one.completed + one.failed_total for one in found.values())


async def test_a_scenario_that_is_taken_away_has_accounted_for_its_requests() -> None:
    source = "async def scenario(user):\n    await user.http.get('/')\n"

    async def say_nothing(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with tcp_server(say_nothing) as silent, exchange_rig() as rig:
        asked = share(f"http://127.0.0.1:{silent.port}/", part(100, 5), in_s=0.0)
        await rig.pool.apply([replace(asked, scenario=Scenario(name="s.py", source=source))])
        await rig.until(lambda: silent.connections == 5)
        await rig.pool.apply([])
        books = await rig.settled()
    assert books.failed == {"cancelled": 5}
    assert counts_added(report.requests for report in rig.reports) == {
        "GET /": RequestFigures(started=5, failed={"cancelled": 5})
    }
