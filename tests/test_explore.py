"""The exhaustive exploration: within a small bound nothing breaks, planted defects are found, a search repeats exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel.core import Sentinel
from tests.explore.budget import KINDS, named, parse
from tests.explore.explorations import EXPLORATIONS
from tests.explore.planted import HUNTS, hunt
from tests.explore.search import Found, covers, search
from tests.explore.settings import PEOPLE
from tests.explore.shelf import NOT_IDENTITY, Shelf, fields_of, frozen
from tests.explore.starts import STARTS, Exploration, Stage, exploration
from tests.explore.state import SENTINEL_NUMBERS
from tests.explore.tell import conversation
from tests.explore.world import World

ROOT = Path(__file__).parent.parent
SMALL = (
    exploration("first race", "overtake=1", 1),
    exploration("master dead", "late=1", 1),
    exploration("two candidates", "overtake=99", 0, depth=6),
    exploration("award under way", "late=1,unanswered=1", 1),
    exploration("master cut off", "overtake=1,heal=1", 1),
    exploration("master paused", "overtake=1", 0),
    exploration("redis empty", "overtake=1", 1),
)


def explore(one: Exploration, world: World | None = None) -> Found:
    world = world or World()
    return search(world, one.begin(world), one.bound)


@pytest.fixture(scope="module")
def world() -> World:
    """Its tables are filled by all explorations of the sound build together."""
    return World()


@pytest.mark.parametrize("one", SMALL, ids=lambda one: one.name)
def test_within_a_small_bound_nothing_is_broken(one: Exploration, world: World) -> None:
    found = explore(one, world)
    assert not found.broken
    assert found.states > 300, "a search that sees little proves little"
    assert found.exhausted or one.bound.depth == found.depth


def test_a_successor_acts_in_many_of_the_states(world: World) -> None:
    """Else nothing that could break would have been reached."""
    assert explore(exploration("master dead", "overtake=1", 1), world).successions > 100


@pytest.mark.parametrize("defect", HUNTS)
def test_a_planted_defect_is_found(defect: str) -> None:
    assert hunt(defect)[2].broken, f"nobody noticed: {defect}"


def test_the_sound_build_survives_the_short_hunts(world: World) -> None:
    for one in dict.fromkeys(HUNTS.values()):
        if sum(one.budget) + one.bound.horizon < 3:  # wider ones are among the default explorations
            assert not explore(one, world).broken, one.name


def test_a_counterexample_is_a_conversation_that_ends_with_the_invariant() -> None:
    world, start, found = hunt("lower epochs believed")
    lines = list(conversation(world, start, found.path, found.broken))
    assert len(lines) == len(found.path) + len(found.broken) < 20
    assert lines[-1].startswith("VIOLATION nobody unlearns: n2 went from 2 to 1")
    actors = {line.split()[1] for line in lines[:-1] if not line.startswith("---")}
    assert actors <= {*PEOPLE, "redis"}
    assert any("redis has" in line for line in lines)


def test_a_search_repeats_exactly() -> None:
    one = exploration("master dead", "overtake=1", 0)
    first, again = explore(one), explore(one)
    assert (first.states, first.transitions, first.depth) == (again.states, again.transitions, again.depth)


def test_what_was_learnt_of_other_explorations_changes_no_number() -> None:
    world = World()
    explore(SMALL[0], world)
    alone, after_another = explore(SMALL[1]), explore(SMALL[1], world)
    assert (alone.states, alone.transitions) == (after_another.states, after_another.transitions)


def test_the_command_gives_the_same_numbers_with_another_hash_seed() -> None:
    command = [sys.executable, "-m", "tests.explore", "--json", "--start", "master paused", "--budget", "overtake=1"]
    documents = []
    for seed in ("1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        said = subprocess.run(
            [*command, "--horizon", "0"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        documents.append(json.loads(said.stdout))
    assert documents[0]["violations"] == 0 and documents[0]["states"] > 100
    assert set(documents[0]) >= {"starts", "states", "transitions", "violations", "wall_s", "bound"}
    assert [row["states"] for row in documents[0]["starts"]] == [row["states"] for row in documents[1]["starts"]]


# --- snapshots ---


def test_a_core_comes_off_the_shelf_as_it_was_put_there() -> None:
    world = World()
    stage = Stage(world)
    STARTS["two candidates"](stage)
    for who in SENTINEL_NUMBERS:
        number = world.sentinels.sides[stage.state.sides[who]].core
        assert number is not None
        core = world.sentinels.shelf.take(number)
        assert isinstance(core, Sentinel)
        assert Shelf().put(core) == 0
        assert world.sentinels.shelf.put(core) == number


def test_a_field_that_is_added_to_a_core_counts() -> None:
    world = World()
    side = world.sentinels.sides[world.beginning(parse("")).sides[0]]
    assert side.core is not None
    core = world.sentinels.shelf.take(side.core)
    before = frozen(core)
    core.a_new_field = 1
    assert frozen(core) != before
    assert world.sentinels.shelf.put(core) != side.core


def test_what_is_left_out_of_the_identity_exists() -> None:
    """A field that was renamed would silently count again, or a new one be left out by its old name."""
    world = World()
    side = world.sentinels.sides[world.beginning(parse("")).sides[0]]
    assert side.core is not None
    core = world.sentinels.shelf.take(side.core)
    for name, part in (("Sentinel", core), ("Campaign", core.campaign)):
        assert set(NOT_IDENTITY[name]) <= {field for field, _ in fields_of(part)}


# --- budgets ---


def test_a_budget_is_read_and_shown() -> None:
    assert named(parse("late=2,crash=1")) == {"late": 2, "crash": 1}
    assert parse("late=0", parse("late=2,crash=1")) == parse("crash=1")
    with pytest.raises(ValueError, match="unknown kind of fault lost; known are overtake, late"):
        parse("lost=1")
    with pytest.raises(ValueError, match="not of the form"):
        parse("late")


def test_more_of_every_kind_covers_less() -> None:
    assert covers(parse("late=2,crash=1"), parse("late=1"))
    assert not covers(parse("late=2"), parse("crash=1"))


def test_the_default_explorations_use_every_start_and_every_kind_of_fault() -> None:
    assert {one.start for one in EXPLORATIONS} == set(STARTS)
    assert {kind for one in EXPLORATIONS for kind in named(one.budget)} == set(KINDS)
