"""Migrations, and what happens when the database server goes away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from ha_stress.base.errors import ConfigError, StoreUnavailable
from ha_stress.cluster.mastership import Mastership
from ha_stress.store import migrate, schema, state
from ha_stress.store.engine import Database
from ha_stress.store.faults import mapped
from ha_stress.store.store import open_store
from tests.postgresql import NoPostgreSQL, PostgreSQL, private_postgresql

FIRST = Mastership(epoch=1, node="a", incarnation="a1")
OPEN: str = """
import sys, trio
from ha_stress.store.store import open_store

async def main():
    async with open_store(sys.argv[1]) as store:
        await store.tasks()
    print("alembic" in sys.modules, "hdrh" in sys.modules)

trio.run(main)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    pytest.importorskip("psycopg")
    try:
        with private_postgresql() as running:
            yield running
    except NoPostgreSQL as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'with % and space.db'}"
    running: PostgreSQL = request.getfixturevalue("server")
    name = request.node.originalname[-60:]
    running.create_database(name)
    return running.url(name)


def test_the_packaged_head_is_the_newest_script() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_heads() == [schema.HEAD]


def test_the_scripts_make_the_tables_that_the_program_uses(url: str) -> None:
    database = Database(url)
    try:
        assert migrate.migrate(database) is True
        assert migrate.migrate(database) is False
        with database.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, schema.metadata) == []
    finally:
        database.dispose()


def test_processes_that_start_at_once_on_an_empty_database_all_come_up(url: str) -> None:
    command = [sys.executable, "-c", OPEN, url]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * 4, answers
    later = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert later.stdout.split() == ["False", "False"], "a start with an up-to-date database loads neither library"


async def test_stores_of_one_process_that_open_at_once_all_come_up(url: str) -> None:
    async def use() -> None:
        async with open_store(url) as store:
            await store.take_over(FIRST)

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(use)


async def test_a_migration_that_fails_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Exception):
        pass

    upgrade = migrate._upgrade

    def fail_at_the_end(connection: object) -> None:
        upgrade(connection)  # type: ignore[arg-type]
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_upgrade", fail_at_the_end)
        with pytest.raises(Broken):
            async with open_store(url):
                pass
    async with open_store(url) as store:
        assert await store.position() == ""


async def test_a_database_of_a_newer_program_is_refused(url: str) -> None:
    async with open_store(url):
        pass
    database = Database(url)
    with database.writer.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    database.dispose()
    with pytest.raises(ConfigError, match="schema 0999, this program knows up to"):
        async with open_store(url):
            pass


async def test_a_restarted_server_is_used_again_by_the_same_store(server: PostgreSQL) -> None:
    server.create_database("restarted")
    async with open_store(server.url("restarted")) as store:
        await store.take_over(FIRST)
        server.stop()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.fence()
        await trio.to_thread.run_sync(server.start)
        assert await store.fence() == FIRST


async def test_a_frozen_server_holds_up_not_even_a_cancelled_caller_for_ever(server: PostgreSQL) -> None:
    server.create_database("frozen")
    async with open_store(f"{server.url('frozen')}?connect_timeout=2") as store:

        def ask() -> None:
            with store._database.engine.begin() as connection:
                connection.execute(text("SELECT 1"))

        await store.in_thread(ask)
        server.freeze()
        try:
            started = trio.current_time()
            with trio.move_on_after(0.05) as scope, suppress(StoreUnavailable):  # the thread's answer, if it is first
                await store.in_thread(ask, timeout_s=0.2)
            assert scope.cancel_called
            assert 0.2 <= trio.current_time() - started < 5.0, "one deadline and one attempt to connect anew"
        finally:
            server.thaw()
        await store.take_over(FIRST)
        assert await store.fence() == FIRST


async def test_a_master_that_is_stopped_inside_a_transaction_does_not_keep_its_successor_out(
    server: PostgreSQL,
) -> None:
    """Regression: it held the fence row for up to 30 s."""
    server.create_database("stopped")
    second = Mastership(epoch=2, node="b", incarnation="b1")
    async with open_store(server.url("stopped")) as stopped, open_store(server.url("stopped")) as successor:
        await stopped.take_over(FIRST)
        open_transaction = stopped._database.writer.connect()
        state.move_fence(open_transaction, FIRST, "what it was doing when it was stopped")
        with trio.fail_after(4.5):
            await successor.take_over(second)
        with pytest.raises(StoreUnavailable), mapped():
            open_transaction.commit()
        open_transaction.invalidate()
        open_transaction.close()
        assert await stopped.fence() == second


async def test_a_file_that_was_moved_away_or_replaced_under_a_running_process_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ha.db"
    async with open_store(f"sqlite:///{path}") as store:
        assert await store.misplaced() == ""
        path.rename(tmp_path / "old.db")
        assert "is not where it was opened" in await store.misplaced()
        path.touch()
        assert "another file by now" in await store.misplaced()
        (tmp_path / "old.db").replace(path)
        assert await store.misplaced() == ""
