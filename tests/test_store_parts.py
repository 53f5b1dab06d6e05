"""The pure parts of the store, and what it says about a URL that it cannot use."""

from __future__ import annotations

import json
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.base.errors import ConfigError, ProtocolError, StoreUnavailable
from ha_stress.store.engine import Database
from ha_stress.store.marks import advance
from ha_stress.store.shapes import plan_from_json, plan_to_json, spec_from_json, spec_to_json
from ha_stress.store.store import open_store
from ha_stress.tasks.schedule import Holder, Plan, Revision
from ha_stress.tasks.spec import HttpRequest, TaskSpec


@given(st.lists(st.lists(st.integers(1, 30)), max_size=8))
def test_the_mark_is_the_highest_sequence_without_a_gap_below(batches: list[list[int]]) -> None:
    contiguous, seen = 0, set[int]()
    islands: list[tuple[int, int]] = []
    for batch in batches:
        contiguous, islands = advance(contiguous, islands, batch)
        seen |= set(batch)
        assert contiguous == next(n for n in range(32) if n + 1 not in seen)
        beyond = {n for first, last in islands for n in range(first, last + 1)}
        assert beyond == {n for n in seen if n > contiguous}
        assert all(a[1] + 1 < b[0] for a, b in pairwise(islands)), "islands do not touch"


def test_a_gap_that_fills_joins_the_islands() -> None:
    assert advance(0, [], [1, 2, 3, 5, 6, 9]) == (3, [(5, 6), (9, 9)])
    assert advance(3, [(5, 6), (9, 9)], [4]) == (6, [(9, 9)])


def test_a_spec_with_a_binary_body_survives_json() -> None:
    request = HttpRequest(url="http://127.0.0.1/", method="POST", headers=(("A", "b"),), body=bytes(range(256)))
    spec = TaskSpec(id="t-1", name="näme", request=request, rate=0.5, duration_s=None, labels={"a": "b"})
    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec


def test_a_plan_survives_json() -> None:
    a, b = Holder("a", "1"), Holder("b", "2")
    revision = Revision(number=1, at_s=0.25, rate=500.0, holders=(a, b), table=(0, 1, 0), limit=None, why="start")
    plan = Plan(started_at=1.5, duration_s=None, revisions=(revision,), lost=(b,))
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan
    assert plan_from_json(plan_to_json(None)) is None


def test_what_is_not_a_stored_spec_is_a_protocol_error() -> None:
    for value in (None, {}, {"request": {"body": "%"}}, {"request": {"body": "", "url": "http://h/"}}):
        with pytest.raises(ProtocolError):
            spec_from_json(value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "cannot be read"),
        ("postgresql://host:port/name", "cannot be read"),
        ("mysql://host/name", "unknown scheme 'mysql'"),
        ("postgresql+asyncpg://host/name", "unknown scheme"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_clear_sentence(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        Database(url)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        Database("mysql://me:geheim@host/name")
    assert "geheim" not in str(caught.value)


def test_a_path_that_cannot_be_a_database_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is not a database, it is a letter")
    for name, says in (("missing/x.db", "does not exist"), ("", "is a directory"), ("text", "not an SQLite database")):
        with pytest.raises(ConfigError, match=says):
            Database(f"sqlite:///{tmp_path / name}")


async def test_a_server_that_is_not_there_is_unavailable(free_port: int) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreUnavailable, match="does not answer") as caught:
        async with open_store(f"postgresql://nobody@127.0.0.1:{free_port}/none"):
            pass
    assert "\n" not in str(caught.value)


async def test_a_locked_database_is_unavailable_and_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ha_stress.store.engine.BUSY_TIMEOUT_S", 0.1)
    path = tmp_path / "x.db"
    async with open_store(f"sqlite:///{path}") as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        spec = TaskSpec(id="t-1", name="n", request=HttpRequest(url="http://127.0.0.1/"), rate=1.0)
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.create_task(spec)
        assert await store.tasks() == [], "readers are not in the way of a writer, nor it in theirs"
        other.execute("ROLLBACK")
        other.close()
        await store.create_task(spec)
        assert (await store.task("t-1")).spec == spec


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
