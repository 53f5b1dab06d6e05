"""What a node's engines are told to run: files first, and nothing while nobody governs the node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ha_stress.base.errors import StoreUnavailable
from ha_stress.base.limits import WORKER_BLOBS_BYTES_MAX
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.drivers.stress import load as loads
from ha_stress.drivers.stress.load import Load
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.ledger import Counters, add
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from tests.engine_support import Rig, part, running_pool, share, target_process
from tests.redis_server import cluster, own_valkey, plain_client, valkey
from tests.stress_support import TIMING, ended, small_cluster, until

__all__ = ["cluster", "own_valkey", "valkey"]  # fixtures


@asynccontextmanager
async def a_load(folder: Path) -> AsyncIterator[tuple[Load, Rig, Store]]:
    async with open_store(f"sqlite:///{folder / 'store.db'}") as store, running_pool() as rig:
        load = Load(rig.pool, store)
        rig.pool.on_idle = load.on_idle
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.fetch)
            yield load, rig, store
            nursery.cancel_scope.cancel()


def of(rig: Rig, task: str) -> Counters:
    return add(report.counters for report in rig.reports if report.task == task)


async def test_a_share_waits_for_its_files_and_the_others_do_not(tmp_path: Path) -> None:
    with target_process() as target:
        async with a_load(tmp_path) as (load, rig, store):
            digest = await store.put_blob(b"x" * 50_000)
            reading = trio.Event()
            stored, store_blob = store.blob, trio.Event()

            async def slow(digest: str) -> bytes:
                reading.set()
                await store_blob.wait()
                return await stored(digest)

            store.blob = slow  # type: ignore[method-assign]
            large = share(target.url, part(200, 20), task="large", in_s=0.0, method="POST", body_blob=digest)
            with trio.fail_after(10):
                await load.run([large, share(target.url, part(200, 20), task="small", in_s=0.0)])
                await reading.wait()
                await rig.until(lambda: of(rig, "small").completed == 20)
                assert of(rig, "large").intended == 0
                store_blob.set()
                await rig.until(lambda: of(rig, "large").completed == 20)
            assert of(rig, "large").bytes_out > 20 * 50_000


async def test_a_database_that_does_not_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "_RETRY_S", 0.01)
    with target_process() as target:
        async with a_load(tmp_path) as (load, rig, store):
            digest = await store.put_blob(b"x")
            stored, tries = store.blob, 0

            async def failing(digest: str) -> bytes:
                nonlocal tries
                tries += 1
                if tries < 3:
                    raise StoreUnavailable("it is away")
                return await stored(digest)

            store.blob = failing  # type: ignore[method-assign]
            await load.run([share(target.url, part(100, 5), method="POST", body_blob=digest)])
            assert (await rig.settled()).completed == 0, "it has not begun"
            with trio.fail_after(10):
                await rig.until(lambda: rig.books().completed == 5)


async def test_a_file_that_is_gone_makes_its_arrivals_fail_and_nothing_wait_for_ever(tmp_path: Path) -> None:
    with target_process() as target:
        async with a_load(tmp_path) as (load, rig, _):
            await load.run([share(target.url, part(100, 5), method="POST", body_blob="0" * 64)])
            with trio.fail_after(10):
                await rig.until(lambda: rig.books().failed_total == 5)
            assert target.counted() == 0


async def test_files_are_held_as_long_as_a_share_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_load(tmp_path) as (load, rig, store):
        monkeypatch.setattr(loads, "WORKER_BLOBS_BYTES_MAX", 10)
        assert WORKER_BLOBS_BYTES_MAX > 10
        fits, too_much = await store.put_blob(b"x" * 8), await store.put_blob(b"y" * 8)
        first = share("http://127.0.0.1:9/", part(0, None), task="a", body_blob=fits)
        await load.run([first])
        await rig.until(lambda: list(load._blobs) == [fits])
        await load.run([first, share("http://127.0.0.1:9/", part(0, None), task="b", body_blob=too_much)])
        await rig.until(lambda: load._absent == {too_much})
        await load.run([])
        assert not load._blobs and not load._absent


async def test_an_orphan_sends_nothing_and_drops_what_comes_due(tmp_path: Path) -> None:
    with target_process() as target:
        async with a_load(tmp_path) as (load, rig, _):
            users = part(0, None, revision=2, users=3, slots=(0, 1, 2), modulus=3)
            await load.run(
                [
                    share(target.url, part(200, None), task="open", in_s=0.0),
                    share(target.url, users, task="users", in_s=0.0),
                ]
            )
            await rig.until(lambda: target.counted() > 50)
            with trio.fail_after(5):
                await load.govern(orphan=True)
            await rig.until(lambda: of(rig, "open").dropped > 50)
            counted = target.counted()
            assert counted == of(rig, "open").started + of(rig, "users").started, "all of it had ended"
            await rig.until(lambda: of(rig, "open").dropped > 200)
            assert target.counted() == counted

            await load.govern(orphan=False)
            assert not load.orphan
            seen = of(rig, "users").started
            await rig.until(lambda: target.counted() > counted and of(rig, "users").started > seen)
            books = of(rig, "open")
            assert books.intended == books.started + books.dropped


async def test_whoever_hands_out_a_share_governs_the_node(tmp_path: Path) -> None:
    with target_process() as target:
        async with a_load(tmp_path) as (load, rig, _):
            await load.run([share(target.url, part(100, None), in_s=0.0)])
            await load.govern(orphan=True)
            await rig.until(lambda: rig.books().dropped > 0)
            counted = target.counted()
            await load.run([share(target.url, part(100, None), task="new", in_s=0.0)])
            await rig.until(lambda: target.counted() > counted + 5)
            assert of(rig, "t").intended == of(rig, "t").started + of(rig, "t").dropped


async def test_a_worker_without_a_sign_of_a_master_ends_its_load_until_there_is_one(
    own_valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    with target_process() as target:
        async with small_cluster(own_valkey.url, cluster, tmp_path) as world:
            world.timing = TIMING.model_copy(update={"orphan_after_s": 0.8})
            master, worker = await world.add("m", "a")
            await world.promote(master)
            await world.run_task(master, target.url, rate=100, duration_s=None)

            async def orphan() -> bool:
                return bool(worker.said("+orphan"))

            async def runs() -> bool:
                return target.counted() > 30

            await until(runs, "the load runs")
            await trio.sleep(1.2)
            assert not await orphan(), "a lease is held"

            lease = master.bus.keys.lease
            with plain_client(own_valkey.url) as client:
                held = client.get(lease)
                client.delete(lease)
                await until(orphan, "nobody acts any more")
                await until(lambda: _still(target.counted), "the load has ended")
                counted = target.counted()
                client.set(lease, held)

            async def goes_on() -> bool:
                return target.counted() > counted and bool(worker.said("-orphan"))

            await until(goes_on, "the load goes on")


@pytest.mark.parametrize("http2", [False, True], ids=["fast", "exchange"])
async def test_engines_ask_the_allow_list_whatever_was_created(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path, http2: bool
) -> None:
    with target_process() as target:
        async with small_cluster(valkey.url, cluster, tmp_path) as world:
            world.allow = ("10.0.0.0/8",)
            (master,) = await world.add("m")
            await world.promote(master)
            for number, url in enumerate((target.url, target.url.replace("127.0.0.1", "localhost"))):
                request = HttpRequest(url=url, http2=http2)
                await master.store.create_task(
                    TaskSpec(id=f"t-{number}", name="t", request=request, rate=20.0, duration_s=0.5)
                )
                books = await ended(master.store, f"t-{number}")
                assert (books.completed, books.failures) == (0, {"not_allowed": 10}) and books.balanced
            assert target.counted() == 0


async def _still(count: Callable[[], int]) -> bool:
    before = count()
    await trio.sleep(0.2)
    return count() == before
