"""Setup and teardown of scenarios, as the master runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from ha_stress.cluster.mastership import Mastership
from ha_stress.drivers.stress.core import Task
from ha_stress.drivers.stress.errands import Errands
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec, Wanted
from tests.stress_support import small_cluster, until

SOURCE = """
import os
import time

async def scenario(user):
    pass

def note(word):
    with open({file!r}, "a") as file:
        file.write(word)

def {name}({argument}):
    note("begun ")
    while not os.path.exists({go!r}):
        time.sleep(0.01)
    note("done ")
"""


@pytest.mark.parametrize(("name", "argument", "said"), [("teardown", "data", "begun "), ("setup", "", "begun begun ")])
async def test_a_teardown_that_has_begun_runs_to_its_end_and_a_setup_that_nobody_wants_any_more_does_not(
    name: str, argument: str, said: str, redis_url: str, tmp_path: Path
) -> None:
    """A late frame makes a finished task seem unfinished for a moment."""
    file, go = tmp_path / "said", tmp_path / "go"
    source = SOURCE.format(file=str(file), go=str(go), name=name, argument=argument)
    spec = TaskSpec(
        id="t",
        name="t",
        request=HttpRequest(url="http://127.0.0.1:1/"),
        rate=1.0,
        scenario=Scenario(name="s.py", source=source),
    )
    task = Task(spec=spec, wanted=Wanted.RUN, intent=1, status=Status.STOPPING, seen_intent=1, plan=None)
    async with small_cluster(redis_url, f"errands-{name}", tmp_path) as cluster, trio.open_nursery() as nursery:
        (node,) = await cluster.add("a")
        node.learn(Mastership(epoch=1, node="a", incarnation=node.holder.incarnation, why="a test"))
        node.acting = True
        errands = Errands(node, lambda: None)
        nursery.start_soon(errands.run)
        errands.want({"t": (name, task)})

        async def begun() -> bool:
            return file.exists() and bool(file.read_text())

        async def begun_again() -> bool:
            return file.read_text() == said

        async def told() -> bool:
            return name in errands.found.get("t", {})

        await until(begun, "it has begun")
        errands.want({})
        await trio.testing.wait_all_tasks_blocked(0.02)
        errands.want({"t": (name, task)})
        await trio.testing.wait_all_tasks_blocked(0.02)
        await until(begun_again, "the setup has begun again")
        go.touch()
        await until(told, "it is done")
        nursery.cancel_scope.cancel()
    assert file.read_text() == f"{said}done "
