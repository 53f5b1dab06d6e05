"""What sentinels and nodes tell Prometheus, read with Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.members import Role
from ha_stress.tasks.ledger import Counters, Frame
from ha_stress.tasks.spec import Status
from sentinel.metrics import CAUSES, NAMES
from tests.api_support import RECORD, TASK, Api, open_api
from tests.redis_server import cluster, own_valkey, valkey
from tests.test_sentinel_hooks import Receiver, event, holds, receiver
from tests.test_sentinel_http import Asked, sentinel

__all__ = ["cluster", "own_valkey", "receiver", "valkey"]

Labels = dict[str, str]


class Scrape:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, sample: str, /, **labels: str) -> float:
        found = [s.value for s in self.samples if s.name == sample and s.labels == labels]
        assert len(found) == 1, f"{sample} {labels}: {len(found)} samples"
        return float(found[0])

    def labels(self, name: str) -> list[Labels]:
        return [sample.labels for sample in self.samples if sample.name == name]

    def problems(self) -> Iterator[str]:
        """What Prometheus' conventions do not allow."""
        seen = set()
        for sample in self.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            if key in seen:
                yield f"{sample.name} comes twice"
            seen.add(key)
        for family in self.families:
            if not family.name.startswith(("ha_stress_", "process_")):
                yield f"{family.name} is not ours"
            if not family.documentation:
                yield f"{family.name} does not say what it is"
            if family.type == "counter" and not all(s.name.endswith("_total") for s in family.samples):
                yield f"{family.name} is a counter without _total"
            if any(family.name.endswith(unit) for unit in ("_ms", "_percent", "_mb", "_s")):
                yield f"{family.name} is not in a base unit"


async def scrape(asked: Asked | Api, path: str = "/metrics") -> Scrape:
    answer = await asked.http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = Scrape(answer.text)
    assert not list(found.problems())
    return found


# --- sentinels ------------------------------------------------------------------------------------------------


async def test_a_sentinel_tells_who_it_is_and_how_it_stands(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with sentinel(valkey.url, cluster, tmp_path, ("s1", "s2", "s3")) as asked:
        await asked.until("/readiness", 503, "it hears 1 of 3")
        found = await scrape(asked)
    info = asked.server.info()
    about = {"sentinel": "s1", "incarnation": info.incarnation, "version": info.version}
    assert found.value("ha_stress_sentinel_info", **about) == 1
    assert found.value("ha_stress_epoch") == 0
    assert found.value("ha_stress_sentinel_voted_epoch") == 0
    assert found.value("ha_stress_sentinel_tilt") == 0
    assert found.value("ha_stress_sentinel_paused") == 0
    assert found.value("ha_stress_sentinel_leading") == 0
    assert found.value("ha_stress_sentinel_vote_file_ok") == 1
    assert found.value("ha_stress_redis_up") == 1
    assert found.value("ha_stress_loop_lag_seconds") >= 0
    assert found.value("ha_stress_sentinel_members") == 3
    assert found.value("ha_stress_sentinel_members_heard") == 1
    assert found.value("ha_stress_sentinel_members_version") == 0
    assert found.value("ha_stress_sentinel_majority") == 2
    assert found.value("ha_stress_sentinel_quorum") == 2
    assert found.value("process_resident_memory_bytes") > 10_000_000


async def test_what_has_not_happened_yet_is_there_as_zero(valkey: EmbeddedRedis, cluster: str, tmp_path: Path) -> None:
    async with sentinel(valkey.url, cluster, tmp_path, ("s1", "s2", "s3")) as asked:
        found = await scrape(asked)
    assert [found.value("ha_stress_sentinel_nodes_down", cause=cause) for cause in CAUSES] == [0] * len(CAUSES)
    assert [found.value("ha_stress_events_total", name=name) for name in NAMES] == [0] * len(NAMES)
    assert found.value("ha_stress_sentinel_peer_messages_dropped_total", peer="s2") >= 0
    assert not found.labels("ha_stress_notifications_total"), "it has no hooks"


async def test_a_sentinel_counts_what_it_says_and_what_it_sees_down(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with sentinel(valkey.url, cluster, tmp_path) as asked:
        await asked.bus.claim_first("n1", "i1", 3.0)  # a master that does not exist

        def elected() -> bool:
            return asked.server.outbox.said["-failover-abort-no-good-node"] > 0

        await holds(elected, "it is down, the sentinel is elected, and there is nobody to choose")
        found = await scrape(asked)
    said = asked.server.outbox.said
    assert found.value("ha_stress_epoch") == 1
    assert found.value("ha_stress_sentinel_voted_epoch") >= 2
    assert found.value("ha_stress_sentinel_nodes") == 1
    assert found.value("ha_stress_sentinel_nodes_connected") == 0
    assert found.value("ha_stress_sentinel_nodes_objectively_down") == 1
    assert found.value("ha_stress_sentinel_nodes_down", cause="silence") == 1
    assert found.value("ha_stress_sentinel_master_down", view="subjective") == 1
    assert found.value("ha_stress_sentinel_master_down", view="objective") == 1
    assert found.value("ha_stress_events_total", name="+elected-leader") == said["+elected-leader"] >= 1
    assert found.value("ha_stress_events_total", name="+sdown") == 1
    assert found.value("ha_stress_events_dropped_total") == 0


async def test_a_sentinel_tells_of_an_outage_of_redis(own_valkey: EmbeddedRedis, tmp_path: Path) -> None:
    async with sentinel(own_valkey.url, "c", tmp_path) as asked:
        await asked.until("/readiness", 200, "ok")
        own_valkey.kill()
        await holds(lambda: asked.server.outbox.said["+bus-down"] == 1, "the outage is said")
        found = await scrape(asked)
    assert found.value("ha_stress_redis_up") == 0
    assert found.value("ha_stress_events_total", name="+bus-down") == 1
    assert found.value("ha_stress_events_waiting") >= 1


async def test_a_sentinel_counts_its_notifications(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answers = [204, 400]
    async with sentinel(valkey.url, cluster, tmp_path, notify_url=receiver.url) as asked:
        await asked.bus.add_event(event())
        await holds(lambda: len(receiver.posts) == 1, "the first is delivered")
        await asked.bus.add_event(event())
        await holds(lambda: asked.server.outbox.said["+hook-failed"] == 1, "the second is refused for good")
        found = await scrape(asked)
    assert found.value("ha_stress_notifications_total", hook="webhook", outcome="delivered") == 1
    assert found.value("ha_stress_notifications_total", hook="webhook", outcome="failed") == 1
    assert found.value("ha_stress_notification_retries_total", hook="webhook") == 0
    assert found.value("ha_stress_notifications_waiting") == 0
    assert found.value("ha_stress_events_total", name="+hook-failed") == 1


# --- nodes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/metrics"])
async def test_a_worker_tells_of_itself_and_not_of_the_tasks(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path, path: str
) -> None:
    async with open_api(valkey.url, tmp_path, cluster) as api:
        await api.call("POST", "/tasks", TASK, expect=201)
        found = await scrape(api, path)
    assert found.value("ha_stress_node_info", node="n1", incarnation="i1", version="") == 1
    assert found.value("ha_stress_node_role", role="worker") == 1
    assert found.value("ha_stress_node_role", role="master") == 0
    assert found.value("ha_stress_node_acting") == 0
    assert found.value("ha_stress_node_lease_left_seconds") == 0
    assert found.value("ha_stress_redis_up") == 1
    assert found.value("ha_stress_database_up") == 1
    assert found.value("ha_stress_node_engines") == 1
    assert found.value("ha_stress_node_frames_lost_total") == 0
    assert not found.labels("ha_stress_node_host_cpu_ratio"), "unknown is not zero"
    assert not found.labels("ha_stress_tasks")


async def test_the_acting_master_tells_the_books_of_each_task(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path
) -> None:
    async with open_api(valkey.url, tmp_path, cluster) as api:
        api.node.role, api.node.acting, api.node.known = Role.MASTER, True, RECORD
        await api.call("POST", "/tasks", TASK, expect=201)
        await api.node.store.take_over(RECORD)
        counters = Counters(
            intended=10,
            started=8,
            completed=6,
            dropped=2,
            late=1,
            bytes_in=600,
            failed={"timeout": 1},
            statuses={"200": 6},
        )
        frame = Frame(
            node="n1",
            incarnation="i1",
            sequence=1,
            epoch=1,
            task="t-1",
            revision=1,
            engine=0,
            second=1,
            counters=counters,
        )
        await api.node.store.commit_frames(RECORD, [frame], "")
        found = await scrape(api)
    assert found.value("ha_stress_epoch") == 1
    assert found.value("ha_stress_node_acting") == 1
    assert found.value("ha_stress_tasks", status="pending") == 1
    assert found.value("ha_stress_tasks", status="running") == 0
    assert found.value("ha_stress_task_rate", task="t-1") == 100
    kinds = {"intended": 10, "started": 8, "completed": 6, "failed": 1, "dropped": 2, "late": 1}
    assert {kind: found.value("ha_stress_task_arrivals_total", task="t-1", kind=kind) for kind in kinds} == kinds
    assert found.value("ha_stress_task_uncovered_arrivals", task="t-1") == 0
    assert found.value("ha_stress_task_received_bytes_total", task="t-1") == 600


async def test_a_task_is_told_of_for_a_while_after_its_end(valkey: EmbeddedRedis, cluster: str, tmp_path: Path) -> None:
    async with open_api(valkey.url, tmp_path, cluster) as api:
        api.node.role, api.node.acting, api.node.known = Role.MASTER, True, RECORD
        await api.node.store.take_over(RECORD)
        for task, ended_at in (("t-old", 1_000.0), ("t-new", 4e9)):
            await api.call("POST", "/tasks", TASK | {"id": task}, expect=201)
            await api.node.store.save_state(
                RECORD, task, status=Status.ENDED, plan=None, seen_intent=1, ended_at=ended_at
            )
        found = await scrape(api)
    assert found.labels("ha_stress_task_rate") == [{"task": "t-new"}]
    assert found.value("ha_stress_task_rate", task="t-new") == 0
    assert sum(found.value("ha_stress_tasks", status=status) for status in ("pending", "running", "stopping")) == 0


async def test_a_node_whose_redis_is_away_still_answers(own_valkey: EmbeddedRedis, tmp_path: Path) -> None:
    async with open_api(own_valkey.url, tmp_path) as api:
        own_valkey.kill()
        with trio.fail_after(10):
            found = await scrape(api)
    assert found.value("ha_stress_redis_up") == 0
    assert found.value("ha_stress_database_up") == 1
