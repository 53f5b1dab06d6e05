"""What the store keeps besides the books: large bodies and data by digest, caps on rates, the end of everything."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
import trio

from ha_stress.base.errors import Conflict, NotFound
from ha_stress.store import blobs
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.caps import RateCaps
from ha_stress.tasks.profile import Profile, Stage
from ha_stress.tasks.scenario import Feeder, Scenario
from ha_stress.tasks.spec import HttpRequest, Status, TaskSpec, Wanted
from tests.test_store import FIRST, TASK, server, store, url

__all__ = ["server", "store", "url"]  # fixtures


def named(task: str, **fields: object) -> TaskSpec:
    return replace(TASK, id=task, **fields)  # type: ignore[arg-type]


async def end(store: Store, task: str) -> None:
    await store.take_over(FIRST)
    await store.save_state(FIRST, task, status=Status.ENDED, plan=None, seen_intent=1)


async def test_a_blob_is_kept_under_its_digest_and_may_be_sent_again(store: Store) -> None:
    data = bytes(range(256)) * 1000
    digest = await store.put_blob(data)
    assert digest == sha256(data).hexdigest() == await store.put_blob(data)
    assert await store.blob(digest) == data
    with pytest.raises(NotFound):
        await store.blob("0" * 64)


async def test_a_blob_of_many_megabytes_is_kept(store: Store) -> None:
    data = b"\xff" * (16 << 20)
    assert await store.blob(await store.put_blob(data)) == data


async def test_what_no_open_task_names_goes_when_the_next_blob_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, rows, unused = [await store.put_blob(data) for data in (b"body", b"rows", b"unused")]
    scenario = Scenario(name="s", source="", feeders=(Feeder(name="f", blob=rows, rows=1),))
    await store.create_task(named("t-1", mix=(HttpRequest(url="http://h/", body_blob=body),)))
    await store.create_task(named("t-2", scenario=scenario))
    await store.put_blob(b"young")
    assert await store.blob(unused) == b"unused", "it may be about to be named"

    monkeypatch.setattr(blobs, "UNUSED_KEPT_S", -1.0)
    await store.put_blob(b"next")
    assert [await store.blob(digest) for digest in (body, rows)] == [b"body", b"rows"]
    with pytest.raises(NotFound):
        await store.blob(unused)

    await end(store, "t-2")
    await store.put_blob(b"one more")
    assert await store.blob(body) == b"body"
    with pytest.raises(NotFound):
        await store.blob(rows)


async def test_the_number_of_blobs_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "BLOBS_MAX", 2)
    kept = await store.put_blob(b"1")
    await store.put_blob(b"2")
    with pytest.raises(Conflict, match="stored already"):
        await store.put_blob(b"3")
    assert await store.put_blob(b"1") == kept, "what is there already is no more"


async def test_the_outcome_of_a_task_stays_until_another_one_is_given(store: Store) -> None:
    await store.create_task(TASK)
    assert (await store.task("t-1")).outcome == {}
    await store.take_over(FIRST)
    found = {"aborted": "p99 < 1ms", "at_s": 3.5}
    await store.save_state(FIRST, "t-1", status=Status.RUNNING, plan=None, seen_intent=1, outcome=found)
    await store.save_state(FIRST, "t-1", status=Status.STOPPING, plan=None, seen_intent=1)
    assert (await store.task("t-1")).outcome == found
    await store.save_state(FIRST, "t-1", status=Status.ENDED, plan=None, seen_intent=1, outcome={})
    assert (await store.task("t-1")).outcome == {}


async def test_a_task_above_a_cap_is_not_stored(store: Store) -> None:
    caps = RateCaps(task=15.0, cluster=25.0)
    await store.create_task(named("t-1", rate=15.0), caps)
    with pytest.raises(Conflict, match="capped at 15/s"):
        await store.create_task(named("t-2", rate=16.0), caps)
    with pytest.raises(Conflict, match="of which 15/s are taken"):
        await store.create_task(named("t-2", rate=11.0), caps)
    with pytest.raises(NotFound):
        await store.task("t-2")
    await store.create_task(named("t-2", rate=10.0), caps)
    await store.create_task(named("t-1", rate=15.0), caps)  # the same again takes no more room

    with pytest.raises(Conflict, match="capped"):
        await store.set_rate("t-2", 11.0, caps)
    await store.set_rate("t-1", 5.0, caps)
    await store.set_rate("t-2", 15.0, caps)


async def test_a_profile_whose_place_a_rate_has_taken_is_still_of_the_same_task(store: Store) -> None:
    ramp = named("ramp", rate=0.0, profile=Profile(stages=(Stage(duration_s=10, begin=0, end=100),)))
    await store.create_task(ramp)
    await store.set_rate("ramp", 5.0)
    await store.create_task(ramp)
    assert (await store.task("ramp")).spec.rate == 5.0
    with pytest.raises(Conflict, match="something else"):
        await store.create_task(replace(ramp, duration_s=1.0))
    with pytest.raises(Conflict, match="has users"):
        await store.create_task(named("users", rate=0.0, users=3))
        await store.set_rate("users", 5.0)


async def test_what_was_stopped_or_has_ended_leaves_its_room_to_others(store: Store) -> None:
    caps = RateCaps(cluster=10.0)
    await store.create_task(named("t-1"), caps)
    await store.stop_task("t-1")
    await store.create_task(named("t-2"), caps)
    await end(store, "t-2")
    await store.create_task(named("t-3"), caps)


async def test_of_callers_that_come_at_once_only_as_many_are_admitted_as_there_is_room_for(url: str) -> None:
    admitted = []

    async def create(store: Store, number: int) -> None:
        try:
            await store.create_task(named(f"t-{number}"), RateCaps(cluster=30.0))
        except Conflict:
            return
        admitted.append(number)

    async with open_store(url) as one, open_store(url) as other, trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(create, (one, other)[number % 2], number)
    assert len(admitted) == 3


async def test_everything_is_stopped_at_once(store: Store) -> None:
    for number in range(4):
        await store.create_task(named(f"t-{number}"))
    await end(store, "t-0")
    await store.stop_task("t-1")
    assert sorted(await store.stop_all()) == ["t-1", "t-2", "t-3"]
    records = {record.spec.id: record for record in await store.tasks()}
    assert [records[f"t-{n}"].wanted for n in range(4)] == [Wanted.RUN, Wanted.STOP, Wanted.STOP, Wanted.STOP]
    assert [records[f"t-{n}"].intent for n in range(4)] == [1, 2, 2, 2], "asking twice changes nothing"
    assert sorted(await store.stop_all()) == ["t-1", "t-2", "t-3"]
