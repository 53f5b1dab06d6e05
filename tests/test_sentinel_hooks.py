"""Notification hooks against a real Redis, real programs and a real HTTP receiver."""

from __future__ import annotations

import json
import shlex
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.base.clock import SystemClock
from ha_stress.base.config import ALARMS, SentinelConfig, load
from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import NOTIFICATIONS_TAKEN_MAX, NOTIFICATIONS_WAITING_MAX
from ha_stress.bus.client import Bus, open_bus
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.bus.notifications import GROUP
from ha_stress.cluster.events import MEANING, Event
from sentinel.hooks import Hooks, HookTiming, hooks_of, wanted
from tests.redis_server import cluster, eventually, own_valkey, plain_client, valkey

__all__ = ["cluster", "own_valkey", "valkey"]

FAST = HookTiming(command_timeout_s=10.0, webhook_timeout_s=5.0, pause_s=0.02, take_over_s=2.0, look_again_s=0.2)


class Receiver:
    """An HTTP server that keeps what is posted to it. `answers` are used up first, then 204."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.always = 204
        self.hold = threading.Event()  # answers wait for it
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.posts.append(json.loads(body))
                receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                receiver.hold.wait(20)
                self.send_response(receiver.answers.pop(0) if receiver.answers else receiver.always)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def names(self) -> list[str]:
        return [post["name"] for post in self.posts]

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "*")
    server = Receiver()
    yield server
    server.close()


def config_of(bus: Bus, url: str, id: str = "s1", **more: Any) -> SentinelConfig:
    values = {"id": id, "members": ["s1", "s2", "s3"], "data_dir": ".", "cluster": bus.keys.cluster, "redis_url": url}
    return load(SentinelConfig, values | more)


class Rig:
    """Hooks that run, and what they said."""

    def __init__(self, bus: Bus, config: SentinelConfig, timing: HookTiming) -> None:
        self.said: list[Event] = []
        hooks = hooks_of(config, bus, SystemClock(), self.said.append, timing)
        assert hooks is not None
        self.hooks: Hooks = hooks


@asynccontextmanager
async def running(bus: Bus, config: SentinelConfig, timing: HookTiming = FAST) -> AsyncIterator[Rig]:
    rig = Rig(bus, config, timing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.hooks.run)
        yield rig
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def hooked(url: str, cluster: str, **more: Any) -> AsyncIterator[tuple[Bus, Rig]]:
    async with open_bus(url, cluster) as bus, running(bus, config_of(bus, url, **more)) as rig:
        yield bus, rig


def event(name: str = "+switch-master", **more: Any) -> Event:
    values: dict[str, Any] = {"source": "s1", "epoch": 7, "subject": "n2", "cause": "failover: crash"}
    return Event(name=name, **(values | more))


async def holds(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    async def ask() -> bool:
        return condition()

    await eventually(ask, what, timeout_s)


async def pending(bus: Bus, url: str) -> int:
    """Events that were taken and are not done with; -1 if there is no group yet."""
    client = plain_client(url)
    groups = await trio.to_thread.run_sync(client.xinfo_groups, bus.keys.events)
    return int(groups[0]["pending"]) if groups else -1


def script(code: str) -> str:
    """A command line that runs this Python code."""
    return shlex.join([sys.executable, "-c", code])


# --- which events ---------------------------------------------------------------------------------------------


def test_a_pattern_is_a_name_or_the_beginning_of_one() -> None:
    assert wanted("+tilt", ("+odown", "+tilt"))
    assert not wanted("+tilts", ("+tilt",))
    assert wanted("-failover-abort-bus", ("-failover-abort-*",))
    assert wanted("+anything", ("*",))
    assert not wanted("+tilt", ())


def test_every_default_alarm_is_an_event() -> None:
    assert all(any(wanted(name, (alarm,)) for name in MEANING) for alarm in ALARMS)


async def test_an_alarm_that_no_event_is_called_is_refused(valkey: EmbeddedRedis, cluster: str) -> None:
    async with open_bus(valkey.url, cluster) as bus:
        config = config_of(bus, valkey.url, notify_command="true", notify_events=("+odwn", "+tilt"))
        with pytest.raises(ConfigError, match=r"'\+odwn'"):
            hooks_of(config, bus, SystemClock(), print)


async def test_a_sentinel_without_hooks_has_none(valkey: EmbeddedRedis, cluster: str) -> None:
    async with open_bus(valkey.url, cluster) as bus:
        assert hooks_of(config_of(bus, valkey.url), bus, SystemClock(), print) is None


async def test_a_proxy_that_cannot_be_used_is_a_sentence(
    valkey: EmbeddedRedis, cluster: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "carrier-pigeon://roof")
    with pytest.raises(ExceptionGroup) as caught:
        async with hooked(valkey.url, cluster, notify_url=receiver.url):
            await trio.sleep(10)
    assert caught.group_contains(ConfigError, match="no webhook with this environment")


# --- the group ------------------------------------------------------------------------------------------------


async def test_of_two_sentinels_one_notifies_of_each_event(
    valkey: EmbeddedRedis, cluster: str, receiver: Receiver
) -> None:
    async with open_bus(valkey.url, cluster) as one, open_bus(valkey.url, cluster) as two:
        first = config_of(one, valkey.url, notify_url=receiver.url)
        second = config_of(two, valkey.url, "s2", notify_url=receiver.url)
        async with running(one, first), running(two, second):
            for number in range(20):
                await one.add_event(event(detail={"number": number}))
                await one.add_event(event("+task"))
            await holds(lambda: len(receiver.posts) >= 20, "all are notified of")

            async def done() -> bool:
                return await pending(one, valkey.url) == 0

            await eventually(done, "all are done with")
    assert sorted(post["detail"]["number"] for post in receiver.posts) == list(range(20))
    assert set(receiver.names()) == {"+switch-master"}, "+task is no alarm"


async def test_the_document_is_the_event_with_its_meaning_and_a_line_for_people(
    valkey: EmbeddedRedis, cluster: str, receiver: Receiver
) -> None:
    async with open_bus(valkey.url, cluster) as bus:
        config = config_of(bus, valkey.url, notify_url=receiver.url, notify_headers={"Authorization": "Bearer x y"})
        async with running(bus, config):
            added = await bus.add_event(event(detail={"from_node": "n1"}))
            await holds(lambda: bool(receiver.posts), "it is notified of")
    assert receiver.posts[0] == {
        "text": f"{cluster}: +switch-master n2 (failover: crash), epoch 7: {MEANING['+switch-master']}",
        "cluster": cluster,
        "sentinel": "s1",
        "meaning": MEANING["+switch-master"],
        "name": "+switch-master",
        "source": "s1",
        "epoch": 7,
        "subject": "n2",
        "cause": "failover: crash",
        "detail": {"from_node": "n1"},
        "sequence": added.sequence,
        "at_ms": added.at_ms,
    }
    assert receiver.headers[0]["authorization"] == "Bearer x y"
    assert receiver.headers[0]["content-type"] == "application/json"


async def test_what_a_dead_sentinel_had_in_hand_is_taken_over(
    valkey: EmbeddedRedis, cluster: str, receiver: Receiver
) -> None:
    receiver.hold.clear()
    async with open_bus(valkey.url, cluster) as one, open_bus(valkey.url, cluster) as two:
        async with running(one, config_of(one, valkey.url, notify_url=receiver.url)):
            await one.add_event(event())
            await holds(lambda: len(receiver.posts) == 1, "the first sentinel has it in hand")
        receiver.hold.set()
        assert await pending(two, valkey.url) == 1
        async with running(two, config_of(two, valkey.url, "s2", notify_url=receiver.url)):
            await holds(lambda: len(receiver.posts) == 2, "the second sentinel notifies of it")
    assert [post["sentinel"] for post in receiver.posts] == ["s1", "s2"]
    assert receiver.posts[0]["sequence"] == receiver.posts[1]["sequence"]


async def test_what_a_living_sentinel_has_in_hand_is_not_taken_over_however_long_it_takes(
    valkey: EmbeddedRedis, cluster: str, receiver: Receiver
) -> None:
    receiver.hold.clear()
    async with (
        open_bus(valkey.url, cluster) as one,
        open_bus(valkey.url, cluster) as two,
        running(one, config_of(one, valkey.url, notify_url=receiver.url)),
        running(two, config_of(two, valkey.url, "s2", notify_url=receiver.url)),
    ):
        await one.add_event(event())
        await holds(lambda: bool(receiver.posts), "one has it in hand")
        await trio.sleep(1.5 * FAST.take_over_s)
        receiver.hold.set()
        await trio.sleep(FAST.take_over_s / 2)
    assert len(receiver.posts) == 1


async def test_a_new_group_begins_with_what_was_said_just_now_and_not_with_history(
    own_valkey: EmbeddedRedis, receiver: Receiver
) -> None:
    async with open_bus(own_valkey.url, "c") as bus:
        fields = {"name": "+tilt", "epoch": 1, "source": "s1", "subject": "", "cause": "old", "detail": "{}"}
        client = plain_client(own_valkey.url)
        old_ms = int(time.time() * 1000) - 3_600_000
        await trio.to_thread.run_sync(
            lambda: client.xadd(bus.keys.events, fields | {"sequence": 1, "at_ms": old_ms}, id="1-0")
        )
        await bus.add_event(event("+tilt", cause="new"))
        async with running(bus, config_of(bus, own_valkey.url, notify_url=receiver.url)):
            await holds(lambda: bool(receiver.posts), "the new one is notified of")
    assert [post["cause"] for post in receiver.posts] == ["new"]


async def test_after_a_loss_of_all_data_the_group_is_made_anew_and_misses_nothing(
    own_valkey: EmbeddedRedis, receiver: Receiver
) -> None:
    async with (
        open_bus(own_valkey.url, "c") as bus,
        running(bus, config_of(bus, own_valkey.url, notify_url=receiver.url)),
    ):
        await bus.add_event(event(cause="before"))
        await holds(lambda: len(receiver.posts) == 1, "the first is notified of")
        client = plain_client(own_valkey.url)
        await trio.to_thread.run_sync(client.flushall)
        await bus.add_event(event("+repaired", cause="after"))  # has the number of the first
        await holds(lambda: len(receiver.posts) == 2, "so is the first after the loss")
        groups = await trio.to_thread.run_sync(client.xinfo_groups, bus.keys.events)
        assert [group["name"] for group in groups] == [GROUP.encode()]
    assert [post["cause"] for post in receiver.posts] == ["before", "after"]
    assert [post["sequence"] for post in receiver.posts] == [1, 1]


async def test_one_sentinel_takes_only_so_many_and_leaves_the_rest_to_others(
    valkey: EmbeddedRedis, cluster: str, receiver: Receiver
) -> None:
    receiver.hold.clear()
    async with hooked(valkey.url, cluster, notify_url=receiver.url) as (bus, rig):
        for _ in range(2 * NOTIFICATIONS_TAKEN_MAX):
            await bus.add_event(event())

        async def full() -> bool:
            return await pending(bus, valkey.url) == NOTIFICATIONS_TAKEN_MAX

        await eventually(full, "its hands are full")
        for _ in range(NOTIFICATIONS_WAITING_MAX):
            rig.hooks.offer(event("+bus-down"))
        assert rig.hooks.dropped > 0 and rig.hooks.waiting == NOTIFICATIONS_WAITING_MAX
        await trio.sleep(FAST.look_again_s)
        assert await full()
        receiver.hold.set()
        await holds(lambda: receiver.names().count("+switch-master") == 2 * NOTIFICATIONS_TAKEN_MAX, "all", 20.0)


# --- tries ----------------------------------------------------------------------------------------------------


async def test_a_webhook_that_fails_is_tried_again(valkey: EmbeddedRedis, cluster: str, receiver: Receiver) -> None:
    receiver.answers = [500, 429, 503]
    async with hooked(valkey.url, cluster, notify_url=receiver.url) as (bus, rig):
        await bus.add_event(event())
        await holds(lambda: rig.hooks.delivered["webhook"] == 1, "it is delivered")
    assert len(receiver.posts) == 4
    assert rig.hooks.retries["webhook"] == 3
    assert not rig.said


@pytest.mark.parametrize(("status", "tries"), [(500, 5), (404, 1), (302, 1)])
async def test_a_notification_is_given_up_and_said_so_and_nobody_is_notified_of_that(
    valkey: EmbeddedRedis, cluster: str, receiver: Receiver, status: int, tries: int
) -> None:
    receiver.always = status
    async with open_bus(valkey.url, cluster) as bus:
        config = config_of(bus, valkey.url, notify_url=receiver.url, notify_events=["*"])
        async with running(bus, config) as rig:
            added = await bus.add_event(event())
            await holds(lambda: bool(rig.said), "it is given up")
            failed = rig.said[0]
            await bus.add_event(failed)

            async def done() -> bool:
                return await pending(bus, valkey.url) == 0

            await eventually(done, "both are done with")
    assert len(receiver.posts) == tries
    assert (failed.name, failed.subject, failed.cause) == ("+hook-failed", "webhook", f"it answered {status}")
    where = receiver.url.removesuffix("/hook")
    assert failed.detail == {"where": where, "of": "+switch-master", "sequence": added.sequence, "tries": tries}
    assert rig.hooks.failed["webhook"] == 1 and len(rig.said) == 1


async def test_a_webhook_that_nobody_answers_at_is_given_up(valkey: EmbeddedRedis, cluster: str) -> None:
    async with open_bus(valkey.url, cluster) as bus:
        with socket.socket() as taken:  # bound, and not listening
            taken.bind(("127.0.0.1", 0))
            config = config_of(bus, valkey.url, notify_url=f"http://127.0.0.1:{taken.getsockname()[1]}/")
            async with running(bus, config) as rig:
                await bus.add_event(event())
                await holds(lambda: bool(rig.said), "it is given up")
    assert rig.said[0].cause.startswith("ConnectError: ")


async def test_a_command_gets_the_event_on_its_input_and_in_its_environment(
    valkey: EmbeddedRedis, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HA_STRESS_SECRET", "hidden")
    out = tmp_path / "out.json"
    code = f"""
import json, os, sys
told = {{name: value for name, value in os.environ.items() if name.startswith("HA_STRESS_")}}
open({str(out)!r} + ".new", "w").write(json.dumps([json.load(sys.stdin), told]))
os.rename({str(out)!r} + ".new", {str(out)!r})
"""
    async with hooked(valkey.url, cluster, notify_command=script(code)) as (bus, rig):
        added = await bus.add_event(event(detail={"deep": [1, 2]}))
        await holds(lambda: rig.hooks.delivered["command"] == 1, "it is run")
    document, environment = json.loads(out.read_text())
    assert document["name"] == "+switch-master" and document["detail"] == {"deep": [1, 2]}
    assert environment == {
        "HA_STRESS_CLUSTER": cluster,
        "HA_STRESS_SENTINEL": "s1",
        "HA_STRESS_EVENT_TEXT": document["text"],
        "HA_STRESS_EVENT_NAME": "+switch-master",
        "HA_STRESS_EVENT_SOURCE": "s1",
        "HA_STRESS_EVENT_EPOCH": "7",
        "HA_STRESS_EVENT_SUBJECT": "n2",
        "HA_STRESS_EVENT_CAUSE": "failover: crash",
        "HA_STRESS_EVENT_SEQUENCE": str(added.sequence),
        "HA_STRESS_EVENT_AT_MS": str(added.at_ms),
    }


async def test_command_and_webhook_fail_each_on_its_own(
    valkey: EmbeddedRedis, cluster: str, receiver: Receiver
) -> None:
    async with open_bus(valkey.url, cluster) as bus:
        command = script("import sys; sys.exit('no pager here')")
        config = config_of(bus, valkey.url, notify_url=receiver.url, notify_command=command)
        async with running(bus, config) as rig:
            await bus.add_event(event())
            await holds(lambda: bool(rig.said), "the command is given up")
    assert len(receiver.posts) == 1
    assert (rig.said[0].subject, rig.said[0].cause) == ("command", "exit status 1: no pager here")


async def test_a_redis_that_is_away_is_notified_of_past_the_stream_and_only_once(
    own_valkey: EmbeddedRedis, receiver: Receiver
) -> None:
    async with open_bus(own_valkey.url, "c") as bus:
        config = config_of(bus, own_valkey.url, notify_url=receiver.url, notify_events=["*"])
        async with running(bus, config) as rig:
            await bus.add_event(event(cause="before"))
            await holds(lambda: len(receiver.posts) == 1, "the hooks work")
            own_valkey.kill()
            down = event("+bus-down", subject="", cause="no answer from Redis")
            rig.hooks.offer(down)
            await holds(lambda: len(receiver.posts) == 2, "it is notified of while Redis is away")
            assert receiver.posts[1]["name"] == "+bus-down" and receiver.posts[1]["sequence"] == 0
            own_valkey.restart()
            await eventually(lambda: _added(bus, down), "Redis has it too")
            await eventually(lambda: _added(bus, event(cause="after")), "and what comes after")
            await holds(lambda: len(receiver.posts) >= 3, "the hooks work again")
    assert [post["cause"] for post in receiver.posts] == ["before", "no answer from Redis", "after"]


async def _added(bus: Bus, what: Event) -> bool:
    await bus.add_event(what)
    return True
