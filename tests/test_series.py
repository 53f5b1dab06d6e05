"""The course of a task: exact sums over stretches of time, in answers of bounded size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.api import series as api_series
from ha_stress.base.limits import SERIES_BUCKETS_MAX
from ha_stress.cli.client import Client
from ha_stress.cli.main import main
from ha_stress.cluster.mastership import Mastership
from ha_stress.report import KINDS, Run, gather, write
from ha_stress.store import pages
from ha_stress.store.series import Buckets, before
from ha_stress.store.store import Store, open_store
from ha_stress.tasks.distribution import distribution
from ha_stress.tasks.ledger import Counters, Frame
from tests.api_support import RECORD, TASK, Api
from tests.report_support import blob_of

MASTER = Mastership(epoch=1, node="n1", incarnation="i1", why="first")
NODES = ("a", "b")


def frames(seconds: Iterable[int], task: str = "t-1") -> list[Frame]:
    """One of each node for each second in which things happened, labelled with the second that ends it."""
    return [
        Frame(
            node=node,
            incarnation=f"{node}1",
            sequence=number,
            epoch=1,
            task=task,
            revision=1,
            engine=0,
            second=second + 1,
            counters=Counters(intended=10, started=10, completed=9, failed={"reset": 1}, statuses={"200": 9}),
            response_us=blob_of([1000 * (second % 100 + 1)] * 9),
            service_us=blob_of([100] * 9),
        )
        for number, second in enumerate(seconds, 1)
        for node in NODES
    ]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(f"sqlite:///{tmp_path / 'series.db'}") as opened:
        yield opened


async def test_pages_follow_each_other_without_gap_or_repetition(store: Store) -> None:
    await store.commit_frames(MASTER, frames(range(100, 120)), "")
    await store.commit_frames(MASTER, [replace(one, node="z") for one in frames(range(5), task="other")], "")
    place, found = before(0), []
    while page := await store.series("t-1", after=place, limit=7):
        assert len(page) <= 7
        found += page
        place = page[-1].place
    assert [(piece.second, piece.node) for piece in found] == [(s, n) for s in range(100, 120) for n in NODES]
    span = await store.series_span("t-1")
    assert span is not None
    assert (span.first, span.last) == (100, 119)
    assert await store.series_span("unknown") is None


async def test_stretches_add_counters_workers_and_histograms(store: Store) -> None:
    await store.commit_frames(MASTER, frames([100, 101, 102, 105]), "")
    sums = Buckets(100, 2)
    sums.add(await store.series("t-1", after=before(100), limit=3))
    sums.add(await store.series("t-1", after=before(101), limit=100))  # the page began in the middle of a stretch
    found = {bucket.second: bucket for bucket in sums.taken()}
    assert list(found) == [100, 102, 104]
    assert found[104].counters.started == 20
    assert found[104].counters.failed == {"reset": 2}
    assert found[104].started == {"a": 10, "b": 10}
    assert found[102].response.distribution().at(50) == pytest.approx(3000, rel=0.001)


async def filled(api: Api, seconds: Iterable[int]) -> None:
    await api.call("POST", "/tasks", TASK, expect=201)
    every = frames(seconds)
    await api.node.store.commit_frames(RECORD, every, "")


async def test_a_short_task_has_a_stretch_for_each_second(api: Api) -> None:
    await filled(api, range(1000, 1004))
    found = await api.call("GET", "/tasks/t-1/series")
    assert (found["width_s"], found["first"], found["last"], found["next_after"]) == (1, 1000, 1003, None)
    assert [bucket["second"] for bucket in found["buckets"]] == [1000, 1001, 1002, 1003]
    first = found["buckets"][0]
    assert (first["started"], first["completed"], first["failed"]) == (20, 18, 2)
    assert (first["failures"], first["statuses"], first["workers"]) == ({"reset": 2}, {"200": 18}, {"a": 10, "b": 10})
    assert first["response"]["p50_ms"] == pytest.approx(1.0, rel=0.001)
    assert first["response_us"] is None


async def test_a_percentile_of_a_stretch_is_that_of_all_its_responses(api: Api) -> None:
    await filled(api, range(1000, 1100))
    found = await api.call("GET", "/tasks/t-1/series?buckets=1&histograms=1")
    assert found["width_s"] == 100
    (bucket,) = found["buckets"]
    whole = distribution([bucket["response_us"].encode()])
    assert whole.total == bucket["response"]["count"] == 1800
    assert bucket["response"]["p99_ms"] == pytest.approx(99.0, rel=0.001)
    assert bucket["started"] == 2000


async def test_a_task_of_which_nothing_is_known_yet_has_an_empty_course(api: Api) -> None:
    await api.call("POST", "/tasks", TASK, expect=201)
    found = await api.call("GET", "/tasks/t-1/series")
    assert (found["first"], found["buckets"], found["next_after"]) == (None, [], None)
    assert "there is no task" in await api.refused("GET", "/tasks/nobody/series", status=404)
    for wrong in ("buckets=0", f"buckets={SERIES_BUCKETS_MAX + 1}", "width_s=0", "after=-2", "width_s=x"):
        await api.refused("GET", f"/tasks/t-1/series?{wrong}", status=400)


async def test_the_client_gathers_a_run_of_which_every_report_is_made(api: Api, tmp_path: Path) -> None:
    await filled(api, range(1000, 1012))

    def gathered() -> Run:
        with Client([str(api.http.base_url)]) as client:
            return gather(client, "t-1")

    run = await trio.to_thread.run_sync(gathered)
    assert [one.second for one in run.stretches] == list(range(1000, 1012))
    assert run.course(4)[1].numbers["started"] == 60
    for kind in KINDS:
        assert write(run, kind, tmp_path / kind)
    with pytest.raises(SystemExit) as left:
        main(["report", str(tmp_path / "run.json"), "--csv", str(tmp_path / "r.csv")])
    assert left.value.code == 2  # there is no such file yet
    write(run, "json", tmp_path / "run.json")
    with pytest.raises(SystemExit) as left:
        main(
            ["report", str(tmp_path / "run.json"), "--csv", str(tmp_path / "r.csv"), "--html", str(tmp_path / "r.html")]
        )
    assert left.value.code == 0
    assert (tmp_path / "r.csv").read_bytes() == (tmp_path / "csv").read_bytes()
    assert (tmp_path / "r.html").stat().st_size > 10_000


async def all_of(api: Api, query: str) -> tuple[int, list[dict[str, Any]]]:
    answers, buckets, after = 0, [], -1
    while True:
        found = await api.call("GET", f"/tasks/t-1/series?{query}&after={after}")
        answers += 1
        buckets += found["buckets"]
        if found["next_after"] is None:
            return answers, buckets
        assert found["next_after"] > after
        after = found["next_after"]


async def test_answers_are_bounded_and_put_together_are_the_whole(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [*range(1000, 1030), *range(1050, 1060)]  # with a hole, as a pause of the load makes it
    await filled(api, seconds)
    _, whole = await all_of(api, "width_s=4")
    answers, by_buckets = await all_of(api, "width_s=4&buckets=3")
    assert answers == 5
    monkeypatch.setattr(api_series, "SERIES_HISTOGRAMS_MAX", 5)
    answers, by_histograms = await all_of(api, "width_s=4&histograms=1")
    assert answers == 3
    assert all(bucket.pop("response_us") and bucket.pop("service_us") for bucket in by_histograms)
    assert [bucket["started"] for bucket in by_histograms] == [bucket["started"] for bucket in whole]
    monkeypatch.setattr(pages, "SERIES_PAGE_FRAMES", 5)
    monkeypatch.setattr(api_series, "SERIES_FRAMES_MAX", 10)
    answers, by_frames = await all_of(api, "width_s=4")
    assert answers > 3
    assert by_buckets == by_frames == whole
    assert sum(bucket["started"] for bucket in whole) == 20 * len(seconds)
    assert [bucket["second"] for bucket in whole] == [*range(1000, 1030, 4), 1048, 1052, 1056]
