"""The bus while its server is away, suspended, restarted, emptied, or guarded by a password."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from ha_stress.base.errors import BusUnavailable, ConfigError
from ha_stress.base.limits import HINT_QUEUE_MAX
from ha_stress.bus import feed
from ha_stress.bus.client import Bus, Hint, Resubscribed, open_bus
from ha_stress.bus.embedded import EmbeddedRedis
from ha_stress.cluster.events import Event
from ha_stress.cluster.mastership import NOBODY, Mastership
from tests.redis_server import (
    DEBIAN_REDIS,
    cluster,
    eventually,
    expect,
    own_valkey,
    plain_client,
    redis_process,
    valkey,
)

__all__ = ["cluster", "own_valkey", "valkey"]

needs_debian_redis = pytest.mark.skipif(DEBIAN_REDIS is None, reason="redis-server is not installed")


async def publish_until_heard(bus: Bus, hints: trio.MemoryReceiveChannel[Hint | Resubscribed], channel: str) -> None:
    """Messages published from now on arrive."""
    assert await bus._link.call(lambda client: client.publish(channel, "now")) == 1, (
        "the server must know the subscriber"
    )
    await expect(hints, Hint(channel, b"now"))


async def test_opening_a_bus_does_not_need_a_server_and_calls_say_that_there_is_none(cluster: str) -> None:
    async with open_bus("redis://user:hunter2@127.0.0.1:1/0", cluster) as bus, bus.subscribe("x"):
        with pytest.raises(BusUnavailable, match=r"redis://127\.0\.0\.1:1/0 cannot be reached") as caught:
            await bus.ping()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://h",
        "redis://",
        "redis://h:port",
        "redis://h:0",
        "redis://h:99999",
        "unix://",
        "rediss:///0",
        "redis://h?typo=1",
        "rediss://h?ssl_ca_certs=/no/such",
    ],
)
async def test_a_url_that_cannot_be_used_is_a_configuration_error(url: str, cluster: str) -> None:
    with pytest.raises(ConfigError):
        async with open_bus(url, cluster):
            raise AssertionError("unreachable")


async def test_the_password_is_never_in_a_message_about_the_url(cluster: str) -> None:
    with pytest.raises(ConfigError) as caught:
        async with open_bus("redis://u:hunter2@host:port/0", cluster):
            raise AssertionError("unreachable")
    assert "hunter2" not in str(caught.value)


async def test_a_suspended_server_is_unavailable_in_time_and_serves_again_when_it_goes_on(
    own_valkey: EmbeddedRedis, cluster: str
) -> None:
    async with open_bus(own_valkey.url, cluster) as bus:
        await bus.ping()
        os.kill(own_valkey.pid, signal.SIGSTOP)
        started = time.monotonic()

        async def call() -> None:
            with pytest.raises(BusUnavailable, match="did not answer"):
                await bus.mastership()

        async with trio.open_nursery() as nursery:
            for _ in range(20):  # more than there are threads
                nursery.start_soon(call)
        took_s = time.monotonic() - started
        os.kill(own_valkey.pid, signal.SIGCONT)

        async def serves() -> bool:
            return await bus.mastership() == NOBODY

        await eventually(serves, "the server answers again")
    assert 0.8 < took_s < 2.9, "all of them at once, not as many as there are threads"


async def test_after_a_restart_the_next_call_succeeds_at_once_and_the_data_is_there(
    own_valkey: EmbeddedRedis, cluster: str
) -> None:
    record = Mastership(epoch=4, node="a", incarnation="1", why="test")
    async with open_bus(own_valkey.url, cluster) as bus:
        await bus.award(record, failover={}, source="s1")
        own_valkey.restart()
        assert await bus.mastership() == record
        assert (await bus.hold_lease(record, 3.0)).held, "a script that the new server does not know is sent again"


async def test_writes_that_are_not_repeated_do_not_meet_connections_of_a_dead_server(
    own_valkey: EmbeddedRedis, cluster: str
) -> None:
    async with open_bus(own_valkey.url, cluster) as bus:
        async with trio.open_nursery() as nursery:
            for _ in range(8):  # several pooled connections
                nursery.start_soon(bus.ping)
        own_valkey.kill()
        own_valkey.restart()
        for epoch in range(1, 9):
            award = Mastership(epoch=epoch, node="a", incarnation="1")
            assert (await bus.award(award, failover={}, source="s1")).won
            assert (await bus.add_event(Event(name="+acting", source="a", epoch=epoch))).sequence == 2 * epoch


@pytest.mark.parametrize("again", [True, False])
async def test_a_connection_that_dies_under_a_call_is_replaced_once_if_the_call_may_be_repeated(
    valkey: EmbeddedRedis, cluster: str, again: bool
) -> None:
    attempts = 0

    def work(client: Any) -> Any:
        nonlocal attempts
        attempts += 1
        with client.client() as single:  # one connection, which the server closes before it is used again
            own_id = single.client_id()
            if attempts == 1:
                client.client_kill_filter(_id=str(own_id), skipme=False)
            return single.ping()

    async with open_bus(valkey.url, cluster) as bus:
        if again:
            assert await bus._link.call(work)
        else:
            with pytest.raises(BusUnavailable):
                await bus._link.call(work, again=False)
    assert attempts == (2 if again else 1)


async def test_a_subscription_survives_a_restart_and_says_so(own_valkey: EmbeddedRedis, cluster: str) -> None:
    async with open_bus(own_valkey.url, cluster) as bus, bus.subscribe("one", "two") as hints:
        await expect(hints, Resubscribed())
        await publish_until_heard(bus, hints, "one")
        for end in (own_valkey.stop, own_valkey.kill):
            end()
            own_valkey.restart()
            await expect(hints, Resubscribed())
            await publish_until_heard(bus, hints, "two")


async def test_a_subscription_survives_a_server_that_comes_back_empty(own_valkey: EmbeddedRedis, cluster: str) -> None:
    async with open_bus(own_valkey.url, cluster) as bus, bus.subscribe("one") as hints:
        await bus.repair(Mastership(epoch=4, node="a", incarnation="1"))
        await expect(hints, Resubscribed())
        plain_client(own_valkey.url).flushall()
        own_valkey.restart()
        await expect(hints, Resubscribed())
        assert await bus.mastership() == NOBODY
        await publish_until_heard(bus, hints, "one")


async def test_a_subscription_made_while_the_server_is_away_begins_when_it_comes(
    own_valkey: EmbeddedRedis, cluster: str
) -> None:
    own_valkey.stop()
    async with open_bus(own_valkey.url, cluster) as bus, bus.subscribe("one") as hints:
        with trio.move_on_after(0.3):
            pytest.fail(f"nothing can have been heard: {await hints.receive()}")
        own_valkey.restart()
        await expect(hints, Resubscribed())
        await publish_until_heard(bus, hints, "one")


async def test_a_suspended_server_is_noticed_by_the_subscription(
    own_valkey: EmbeddedRedis, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PING_AFTER_S", 0.2)
    monkeypatch.setattr(feed, "SILENCE_S", 0.4)
    async with open_bus(own_valkey.url, cluster) as bus, bus.subscribe("one") as hints:
        await expect(hints, Resubscribed())
        os.kill(own_valkey.pid, signal.SIGSTOP)
        with trio.move_on_after(1.0):
            pytest.fail(f"nothing can have been heard: {await hints.receive()}")
        os.kill(own_valkey.pid, signal.SIGCONT)
        await expect(hints, Resubscribed())

        async def heard() -> bool:
            return bool(await bus._link.call(lambda client: client.publish("one", "x")) == 1)

        await eventually(heard, "exactly one connection is subscribed")


async def test_subscriptions_come_and_go_while_others_listen(valkey: EmbeddedRedis, cluster: str) -> None:
    client = plain_client(valkey.url)
    channel, other = f"{cluster}.a", f"{cluster}.b"
    async with open_bus(valkey.url, cluster) as bus, bus.subscribe(channel) as first:
        await expect(first, Resubscribed())
        async with bus.subscribe(channel, other) as second:
            await expect(second, Resubscribed())
            client.publish(other, "1")
            client.publish(channel, "2")
            with trio.fail_after(5):
                assert await second.receive() == Hint(other, b"1")
                assert await second.receive() == Hint(channel, b"2")
                assert await first.receive() == Hint(channel, b"2")

        async def left() -> bool:
            return bool(client.pubsub_numsub(other) == [(other.encode(), 0)])

        await eventually(left, "the server is told that nobody wants the channel")
        assert client.publish(channel, "3") == 1
        await expect(first, Hint(channel, b"3"))


async def test_nothing_is_delivered_before_the_word_to_read_the_records(valkey: EmbeddedRedis, cluster: str) -> None:
    async with open_bus(valkey.url, cluster) as bus, bus.subscribe(cluster) as first:
        await expect(first, Resubscribed())

        async def chatter() -> None:
            while True:
                await bus._link.call(lambda client: client.publish(cluster, "x"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(chatter)
            for _ in range(50):
                async with bus.subscribe(cluster) as second:
                    with trio.fail_after(5):
                        assert await second.receive() == Resubscribed()
            nursery.cancel_scope.cancel()


async def test_hints_without_room_are_replaced_by_one_word(valkey: EmbeddedRedis, cluster: str) -> None:
    async with open_bus(valkey.url, cluster) as bus, bus.subscribe(cluster) as hints, bus.subscribe(cluster) as quick:
        await expect(hints, Resubscribed())
        await expect(quick, Resubscribed())
        for number in range(HINT_QUEUE_MAX + 10):
            await bus._link.call(partial(_publish, cluster, str(number)))
            await expect(quick, Hint(cluster, str(number).encode()))
        seen = [hints.receive_nowait() for _ in range(hints.statistics().current_buffer_used)]
        assert seen == [Resubscribed(), *(Hint(cluster, str(HINT_QUEUE_MAX + n).encode()) for n in range(1, 10))]


def _publish(channel: str, data: str, client: Any) -> int:
    return int(client.publish(channel, data))


async def test_a_reader_that_is_far_behind_is_told_to_read_the_records_again(
    valkey: EmbeddedRedis, cluster: str
) -> None:
    client = plain_client(valkey.url)
    async with open_bus(valkey.url, cluster) as bus, bus.subscribe(cluster) as hints:
        await expect(hints, Resubscribed())
        sent = 8 * HINT_QUEUE_MAX
        for index in range(sent):
            client.publish(cluster, str(index))
        await trio.lowlevel.checkpoint()
        await bus.ping()
        seen: list[Hint | Resubscribed] = []
        with trio.fail_after(5):
            while not seen or seen[-1] != Hint(cluster, b"end"):
                if hints.statistics().current_buffer_used == 0:
                    client.publish(cluster, "end")
                seen.append(await hints.receive())
        assert Resubscribed() in seen
        assert len(seen) < sent


async def test_closing_ends_the_thread_even_while_the_server_is_suspended(
    own_valkey: EmbeddedRedis, cluster: str
) -> None:
    async with open_bus(own_valkey.url, cluster) as bus, bus.subscribe("one") as hints:
        await expect(hints, Resubscribed())
        os.kill(own_valkey.pid, signal.SIGSTOP)
        started = time.monotonic()
    assert time.monotonic() - started < feed.PING_AFTER_S, "it did not wait until it would have looked by itself"
    assert not [thread for thread in threading.enumerate() if thread.name == "bus-feed"]


async def test_a_process_that_forgets_to_close_ends_anyway(own_valkey: EmbeddedRedis) -> None:
    program = f"""
import trio
from ha_stress.bus.client import open_bus
async def main():
    opened = open_bus({own_valkey.url!r}, "c")
    bus = await opened.__aenter__()
    subscribed = bus.subscribe("one")
    hints = await subscribed.__aenter__()
    await hints.receive()
    raise SystemExit(7)
trio.run(main)
"""
    with trio.fail_after(10):
        ended = await trio.run_process([sys.executable, "-c", program], check=False, capture_stderr=True)
    assert ended.returncode == 7, ended.stderr.decode()


async def test_a_cancelled_call_leaves_at_once_and_the_bus_is_usable(own_valkey: EmbeddedRedis, cluster: str) -> None:
    async with open_bus(own_valkey.url, cluster) as bus:
        await bus.ping()
        os.kill(own_valkey.pid, signal.SIGSTOP)
        with trio.move_on_after(0.1) as scope:
            await bus.ping()
        assert scope.cancelled_caught, "and not the end of the call in its thread, which is an error"
        os.kill(own_valkey.pid, signal.SIGCONT)

        async def answers() -> bool:
            await bus.ping()
            return True

        await eventually(answers, "the server answers")


@needs_debian_redis
async def test_user_and_password_in_the_url_are_used_and_a_wrong_one_is_told_without_it(
    tmp_path: Path, cluster: str
) -> None:
    with redis_process(
        tmp_path, "--requirepass", "geheim", "--user", *["ha", "on", ">hunter2", "~*", "&*", "+@all"]
    ) as url:
        plain = url.removeprefix("redis://")
        for good in (f"redis://:geheim@{plain}", f"redis://ha:hunter2@{plain}"):
            async with open_bus(good, cluster) as bus, bus.subscribe("one") as hints:
                await expect(hints, Resubscribed())
                await bus.ping()
        for bad in (url, f"redis://ha:wrong@{plain}", f"redis://:wrong@{plain}"):
            async with open_bus(bad, cluster) as bus:
                with pytest.raises(BusUnavailable, match="refuses our user or password") as caught:
                    await bus.mastership()
                assert "wrong" not in str(caught.value)


@needs_debian_redis
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_calls_and_subscriptions_go_over_tls(tmp_path: Path, cluster: str) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=test"
    made = [*request.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    await trio.run_process(made, capture_stderr=True)
    files = f"--tls-cert-file {certificate} --tls-key-file {key} --tls-ca-cert-file {certificate}"
    tls = f"--port 0 --tls-port PORT --tls-auth-clients no {files}"
    with redis_process(tmp_path, *tls.split()) as plain:
        url = plain.replace("redis://", "rediss://")
        async with open_bus(url, cluster) as bus:
            with pytest.raises(BusUnavailable):  # nobody vouches for the certificate
                await bus.ping()
        async with open_bus(f"{url}?ssl_ca_certs={certificate}", cluster) as bus, bus.subscribe("one") as hints:
            await expect(hints, Resubscribed())
            for _ in range(200):
                await bus._link.call(lambda client: client.publish("one", b"x" * 100))
            with trio.fail_after(5):
                for _ in range(200):
                    assert await hints.receive() == Hint("one", b"x" * 100)


@needs_debian_redis
async def test_a_unix_socket_will_do(tmp_path: Path, cluster: str) -> None:
    path = tmp_path / "r.sock"
    with redis_process(tmp_path, "--unixsocket", str(path)):
        async with open_bus(f"unix://{path}", cluster) as bus, bus.subscribe("one") as hints:
            await expect(hints, Resubscribed())
            assert (await bus.claim_first("a", "1", 3.0)).epoch == 1


@needs_debian_redis
async def test_a_server_that_only_reads_cannot_serve_now(tmp_path: Path, cluster: str) -> None:
    with redis_process(tmp_path, "--replicaof", "127.0.0.1 1") as url:
        async with open_bus(url, cluster) as bus:
            with pytest.raises(BusUnavailable):
                await bus.claim_first("a", "1", 3.0)


async def test_a_process_with_more_than_a_thousand_descriptors_hears_hints_after_a_restart_of_redis(
    tmp_path: Path,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2_000:
        pytest.skip("the system allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_000), hard))
    with EmbeddedRedis.start(tmp_path) as server, ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        async with open_bus(server.url, "c") as bus, bus.subscribe(bus.keys.events_channel) as hints:
            with trio.fail_after(15):
                await hints.receive()
            server.kill()
            await trio.sleep(0.2)  # its connection is closed: what is opened now takes its place
            for _ in range(1_100):
                files.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            await trio.to_thread.run_sync(server.restart)
            with trio.fail_after(15):
                assert await hints.receive() == Resubscribed()
            await bus.add_event(Event(name="+node", source="x", epoch=1))
            with trio.fail_after(15):
                while (await hints.receive()) == Resubscribed():
                    pass
