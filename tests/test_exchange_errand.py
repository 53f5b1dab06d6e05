"""Setup and teardown: once in the cluster, in a process of their own; and a scenario through a whole cluster."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import psutil
import pytest
import trio

from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.engines.exchange.errand import Result, run_errand
from ha_stress.tasks.scenario import Feeder, Scenario
from ha_stress.tasks.spec import HttpRequest

from .exchange_support import asgi_server, tcp_server, versions
from .redis_server import cluster, valkey
from .stress_support import ended, small_cluster, until
from .test_exchange_scenario import Collector

__all__ = ["cluster", "valkey"]  # fixtures

ANYTHING = HttpRequest(url="http://127.0.0.1:9/")


async def errand(source: str, name: str = "setup", *, data: str = "", timeout_s: float = 5.0, url: str = "") -> Result:
    scenario = Scenario(name="shop.py", source=source, data=data)
    request = HttpRequest(url=url) if url else ANYTHING
    with trio.fail_after(20):
        return await run_errand(scenario, request, name, settings={}, timeout_s=timeout_s)


async def test_what_setup_returns_is_handed_on_as_json() -> None:
    source = "print('noise')\nasync def setup():\n    return {'tokens': [1, 2], 'name': 'ä'}"
    assert json.loads((await errand(source))["data"]) == {"tokens": [1, 2], "name": "ä"}


async def test_setup_may_ask_for_a_guest_of_the_target_and_need_not_be_async() -> None:
    async with asgi_server(versions) as server:
        source = "async def setup(guest):\n    return (await guest.http.post('/', content='x')).text"
        result = await errand(source, url=f"http://127.0.0.1:{server.port}/")
        assert result == {"data": '"1.1 x"'}
    assert await errand("def setup():\n    return 3") == {"data": "3"}


async def test_teardown_is_given_what_setup_returned() -> None:
    source = "async def teardown(data):\n    assert data == {'id': 7}"
    assert await errand(source, "teardown", data='{"id": 7}') == {"data": ""}
    assert "AssertionError" in (await errand(source, "teardown", data='{"id": 8}'))["problem"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("async def setup():\n    1 / 0", "setup raised ZeroDivisionError: division by zero"),
        ("async def setup():\n    raise SystemExit(1)", "setup raised SystemExit: 1"),
        ("async def setup():\n    raise KeyboardInterrupt", "setup raised KeyboardInterrupt"),
        ("async def setup():\n    raise ValueError('\\ud800')", "setup raised ValueError: ?"),
        ("async def setup():\n    return float('nan')", "setup returned what JSON cannot say"),
        ("async def setup():\n    return object()", "setup returned what JSON cannot say"),
        ("async def setup():\n    return 'x' * 100_000", "setup returned 100002 bytes of JSON; 65536 are allowed"),
        ("import trio\nasync def setup():\n    await trio.sleep(60)", "setup took longer than 0.2 s"),
        ("import os\nasync def setup():\n    os._exit(3)", "the process of setup ended without an answer"),
        (
            "async def setup(guest):\n    async with guest.tcp('192.0.2.1', 80): pass",
            "setup raised Failed: 192.0.2.1 (192.0.2.1) is not among",
        ),
    ],
)
async def test_every_way_to_fail_is_one_sentence(source: str, problem: str) -> None:
    assert (await errand(source, timeout_s=0.2))["problem"].startswith(problem)


async def test_an_errand_that_is_not_wanted_any_more_leaves_no_process() -> None:
    before = set(psutil.Process().children())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(errand, "import time\ndef setup():\n    time.sleep(60)")
        with trio.fail_after(10):
            while not set(psutil.Process().children()) - before:  # noqa: ASYNC110  the process is outside
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert not set(psutil.Process().children()) - before


SHOP = """
async def setup():
    return {{"greeting": "hello"}}

async def teardown(data):
    open({torn!r}, "a").write(data["greeting"] + "\\n")

async def scenario(user):
    async with user.tcp("127.0.0.1", {port}) as line:
        await line.send(f"{{user.data['greeting']}} {{user.row('people')['name']}}\\n".encode())
"""


async def test_a_scenario_in_a_cluster_is_set_up_once_uses_each_row_once_and_is_torn_down_once(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    told, torn = Collector(), tmp_path / "torn"
    async with tcp_server(told.serve) as server, small_cluster(valkey.url, cluster, tmp_path) as world:
        master, *_ = await world.add("m", "a", "b")
        await world.promote(master)
        blob = await master.store.put_blob(b"name\n" + b"".join(b"n%d\n" % i for i in range(60)))
        scenario = Scenario(
            name="shop.py",
            source=SHOP.format(port=server.port, torn=str(torn)),
            feeders=(Feeder(name="people", blob=blob, rows=60, again=False),),
        )
        task = await world.run_task(master, "http://127.0.0.1:9/", rate=60, duration_s=1.0, scenario=scenario)
        totals = await ended(master.store, task)
        assert (totals.balanced, totals.completed, totals.failures) == (True, 60, {})

        async def all_said() -> bool:
            return len(told.lines) == 60

        await until(all_said, "the target has heard all")
        assert Counter(told.lines) == Counter(f"hello n{i}" for i in range(60))
        assert torn.read_text() == "hello\n"
        outcome = (await master.store.task(task)).outcome
        assert (outcome["setup"], outcome["teardown"]) == ({"data": '{"greeting": "hello"}'}, {"data": ""})
        names = [event.name for event in master.events]
        assert names == ["+acting", "+setup", "+task", "+revision", "+teardown", "+task-end"]


async def test_a_task_whose_setup_fails_ends_with_the_cause_and_sends_nothing(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with small_cluster(valkey.url, cluster, tmp_path) as world:
        (master,) = await world.add("m")
        await world.promote(master)
        source = "def setup():\n    raise ValueError('no database')\nasync def scenario(user): pass"
        scenario = Scenario(name="shop.py", source=source)
        task = await world.run_task(master, "http://127.0.0.1:9/", rate=60, duration_s=1.0, scenario=scenario)
        assert (await ended(master.store, task)).intended == 0
        assert master.said("-setup")[0].cause == "setup raised ValueError: no database"
        assert "no database" in master.said("+task-end")[0].cause


SLOW = """
import trio

async def setup():
    with open({log!r}, "a") as log:
        log.write("begun\\n")
    await trio.sleep(1.0)
    with open({log!r}, "a") as log:
        log.write("done\\n")
    return 7

async def scenario(user):
    assert user.data == 7
"""


async def test_a_master_that_is_replaced_while_it_sets_up_leaves_it_to_its_successor(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with small_cluster(valkey.url, cluster, tmp_path) as world:
        first, second = await world.add("a", "b")
        await world.promote(first)
        scenario = Scenario(name="shop.py", source=SLOW.format(log=str(log)))
        task = await world.run_task(first, "http://127.0.0.1:9/", rate=50, duration_s=0.4, scenario=scenario)

        async def begun() -> bool:
            return log.exists()

        await until(begun, "the first master sets up")
        assert first.master_scope is not None
        first.master_scope.cancel()
        await world.promote(second)
        totals = await ended(second.store, task)
        assert (totals.balanced, totals.completed, totals.failures) == (True, 20, {})
        assert log.read_text() == "begun\nbegun\ndone\n"
        assert (first.said("+setup"), len(second.said("+setup"))) == ([], 1)
