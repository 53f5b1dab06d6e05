"""The mesh over real sockets and with real processes that die."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import pytest
import trio

from ha_stress.base.errors import ConfigError, MeshUnavailable, ProtocolError
from ha_stress.base.limits import MESH_BAD_MESSAGES_MAX, MESH_MESSAGE_BYTES_MAX
from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.mesh.client import connect_mesh
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.server import serve_mesh
from ha_stress.wire.messages import Ping, VoteReply

HOST = "127.0.0.1"


def ping(number: int = 1, sender: str = "s1") -> Ping:
    return Ping(sender=sender, number=number, record=NOBODY, voted_epoch=0, sentinels=3)


async def echo(connection: Connection) -> None:
    while True:
        await connection.send(await connection.receive())


@asynccontextmanager
async def serving(handler: Callable[[Connection], Awaitable[None]] = echo, secret: str = "") -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(serve_mesh, HOST, 0, secret, handler)
        yield port
        nursery.cancel_scope.cancel()


async def round_trip(port: int, secret: str = "") -> None:
    with trio.fail_after(5):
        async with connect_mesh(HOST, port, secret, connect_timeout_s=2) as connection:
            await connection.send(ping())
            assert await connection.receive() == ping()


async def test_messages_go_both_ways_in_order() -> None:
    async with serving() as port:
        with trio.fail_after(5):
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                for number in range(50):
                    await connection.send(ping(number))
                assert [await connection.receive() for _ in range(50)] == [ping(number) for number in range(50)]


async def test_the_right_secret_enters_and_a_wrong_or_missing_one_does_not() -> None:
    async with serving(secret="s3cret é") as port:
        await round_trip(port, "s3cret é")
        for wrong in ("", "s3cret", "S3CRET é"):
            with pytest.raises(MeshUnavailable, match="refused our secret") as caught:
                await round_trip(port, wrong)
            assert not caught.value.refused
        await round_trip(port, "s3cret é")


async def test_an_open_mesh_takes_any_secret() -> None:
    async with serving() as port:
        await round_trip(port, "whatever")


async def test_a_port_where_nothing_listens_is_a_refused_dial() -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
        with pytest.raises(MeshUnavailable, match="nothing listens") as caught:
            await round_trip(port)
    assert caught.value.refused


async def test_a_name_with_several_addresses_is_refused_only_if_all_are() -> None:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        with pytest.raises(MeshUnavailable) as caught:
            async with connect_mesh("localhost", probe.getsockname()[1], "", connect_timeout_s=2):
                raise AssertionError("unreachable")
    assert caught.value.refused


async def test_a_listener_that_never_answers_is_a_timeout_and_not_a_refusal() -> None:
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(MeshUnavailable) as caught:
            async with connect_mesh(HOST, silent.getsockname()[1], "", connect_timeout_s=0.2):
                raise AssertionError("unreachable")
    assert not caught.value.refused
    assert 0.1 < time.monotonic() - started < 5.0


async def test_a_host_without_address_is_unreachable_and_not_a_refusal() -> None:
    with pytest.raises(MeshUnavailable) as caught:
        async with connect_mesh("no-such-host.invalid", 1, "", connect_timeout_s=2):
            raise AssertionError("unreachable")
    assert not caught.value.refused


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\x00\xff garbage\r\n\r\n"])
async def test_a_server_that_is_no_mesh_is_told_from_one_at_once(answer: bytes) -> None:
    async def other(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if answer:
            await stream.send_all(answer)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, other, 0, host=HOST))
        started = time.monotonic()
        with pytest.raises(MeshUnavailable):
            async with connect_mesh(HOST, listener.socket.getsockname()[1], "", connect_timeout_s=30):
                raise AssertionError("unreachable")
        nursery.cancel_scope.cancel()
    assert time.monotonic() - started < 5.0


@pytest.mark.parametrize(
    "noise", [b"", b"\x16\x03\x01\x00\xff" * 50, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\n" * 70_000]
)
async def test_a_port_scanner_does_not_disturb_the_server(noise: bytes) -> None:
    async with serving(secret="x") as port:
        for _ in range(3):
            stream = await trio.open_tcp_stream(HOST, port)
            try:
                await stream.send_all(noise)
            except trio.BrokenResourceError:
                assert noise, "the server hung up early"
            await stream.aclose()
        await round_trip(port, "x")


class Child(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int


SERVER = f"""
import trio
from ha_stress.mesh.server import serve_mesh
async def echo(connection):
    while True:
        await connection.send(await connection.receive())
async def main():
    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve_mesh, {HOST!r}, 0, "", echo), flush=True)
trio.run(main)
"""


@pytest.fixture
def child() -> Iterator[Child]:
    """An echo server in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield Child(process, int(process.stdout.readline()))
        finally:
            process.kill()


async def test_a_peer_that_is_killed_is_noticed_at_once_and_its_port_refuses(child: Child) -> None:
    async with connect_mesh(HOST, child.port, "", connect_timeout_s=2) as connection:
        await connection.send(ping())
        with trio.fail_after(5):
            await connection.receive()
        child.process.kill()
        with trio.fail_after(5), pytest.raises(MeshUnavailable, match="closed"):
            await connection.receive()
        with pytest.raises(MeshUnavailable):
            await connection.send(ping())
    await trio.to_thread.run_sync(child.process.wait)
    with pytest.raises(MeshUnavailable) as caught:
        await round_trip(child.port)
    assert caught.value.refused


async def test_sending_to_a_peer_that_does_not_read_ends_in_time(child: Child) -> None:
    async with connect_mesh(HOST, child.port, "", connect_timeout_s=2) as connection:
        child.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with trio.fail_after(10), pytest.raises(MeshUnavailable, match="did not take"):
            while True:
                began = time.monotonic()
                await connection.send(ping(sender="x" * 500_000))
        assert time.monotonic() - began < 5.0
        with trio.fail_after(5), pytest.raises(MeshUnavailable):
            await connection.receive()


async def test_dialling_a_suspended_process_is_a_timeout_and_not_a_refusal(child: Child) -> None:
    child.process.send_signal(signal.SIGSTOP)
    with pytest.raises(MeshUnavailable) as caught:
        async with connect_mesh(HOST, child.port, "", connect_timeout_s=0.2):
            raise AssertionError("unreachable")
    assert not caught.value.refused


async def test_closing_is_bounded_when_the_other_side_does_not_say_goodbye(child: Child) -> None:
    async with connect_mesh(HOST, child.port, "", connect_timeout_s=2) as connection:
        child.process.send_signal(signal.SIGSTOP)
        with trio.fail_after(5):
            await connection.aclose()
            await connection.aclose()


async def test_a_message_over_the_limit_is_refused_by_the_sender_and_ends_a_connection_at_the_receiver() -> None:
    ended: list[Exception] = []

    async def listen(connection: Connection) -> None:
        try:
            await connection.receive()
        except MeshUnavailable as error:
            ended.append(error)
            raise

    async with serving(listen) as port:
        with trio.fail_after(5):
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                with pytest.raises(ProtocolError, match="over the limit"):
                    await connection.send(ping(sender="x" * MESH_MESSAGE_BYTES_MAX))
                await connection._websocket.send_message(b"x" * (MESH_MESSAGE_BYTES_MAX + 1))
                with pytest.raises(MeshUnavailable):
                    await connection.receive()
        assert ended


@pytest.mark.parametrize("bad", [b"", b"\xc1", b"\x93\x01\x02\x03", "text"])
async def test_bytes_that_are_no_message_are_a_protocol_error_and_the_server_goes_on(bad: bytes | str) -> None:
    seen: list[ProtocolError] = []

    async def listen(connection: Connection) -> None:
        try:
            await connection.send(await connection.receive())
        except ProtocolError as error:
            seen.append(error)
            raise

    async with serving(listen) as port:
        with trio.fail_after(5):
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                await connection._websocket.send_message(bad)
                with pytest.raises(MeshUnavailable):
                    await connection.receive()
        assert len(seen) == 1
        await round_trip(port)


async def test_a_bug_in_a_handler_ends_the_server() -> None:
    async def broken(connection: Connection) -> None:
        await connection.receive()
        raise RuntimeError("a bug")

    with trio.fail_after(5), pytest.raises(BaseExceptionGroup) as caught:
        async with serving(broken) as port, connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
            await connection.send(ping())
            await trio.sleep_forever()
    assert caught.group_contains(RuntimeError)


async def test_an_error_in_the_block_of_a_client_comes_out_as_it_is() -> None:
    async with serving() as port:
        with pytest.raises(KeyError):
            async with connect_mesh(HOST, port, "", connect_timeout_s=2):
                raise KeyError("mine")


async def test_a_client_can_be_cancelled_in_the_middle_of_anything() -> None:
    async with serving() as port:
        for timeout_s in (0.0, 0.001, 0.003, 0.01, 0.05):
            with trio.move_on_after(timeout_s) as scope:
                async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                    await connection.receive()
            assert scope.cancelled_caught
        await round_trip(port)


async def test_several_tasks_may_send_at_once() -> None:
    async with serving() as port:
        with trio.fail_after(5):
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                async with trio.open_nursery() as nursery:
                    for number in range(30):
                        nursery.start_soon(connection.send, ping(number))
                got = [await connection.receive() for _ in range(30)]
    assert sorted(m.number for m in got if isinstance(m, Ping)) == list(range(30))


async def test_small_messages_are_not_held_back() -> None:
    options: list[int] = []

    async def look(connection: Connection) -> None:
        options.append(connection._stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await connection.send(VoteReply(sender="s", epoch=1, granted=True, reason="", voted_epoch=1))

    async with serving(look) as port:
        with trio.fail_after(5):
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                await connection.receive()
                options.append(connection._stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert all(options)


async def test_a_port_that_is_taken_is_a_configuration_error() -> None:
    async with serving() as port:
        with pytest.raises(ConfigError, match="cannot listen"):
            await serve_mesh(HOST, port, "", echo)


async def test_the_end_of_the_server_ends_its_connections_at_once() -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def server(task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
                with scope:
                    await serve_mesh(HOST, 0, "", echo, task_status=task_status)

            port = await nursery.start(server)
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                await connection.send(ping())
                await connection.receive()
                scope.cancel()
                with pytest.raises(MeshUnavailable):
                    await connection.receive()


async def test_a_peer_that_is_never_understood_is_cut_off() -> None:
    understood = 0

    async def patient(connection: Connection) -> None:
        nonlocal understood
        while True:
            try:
                await connection.receive()
                understood += 1
            except ProtocolError:
                continue

    async with serving(patient) as port:
        with trio.fail_after(10):
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                for number in range(2 * MESH_BAD_MESSAGES_MAX):  # a good one now and then makes up for the rest
                    await connection._websocket.send_message(b"nonsense")
                    if number % 50 == 0:
                        await connection.send(ping())
            assert understood == 4
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                with pytest.raises(MeshUnavailable):
                    for _ in range(MESH_BAD_MESSAGES_MAX + 1):
                        await connection._websocket.send_message("text")
                    await connection.receive()


async def test_an_epoch_that_no_cluster_reaches_is_not_adopted() -> None:
    async with serving() as port:
        with trio.fail_after(5):
            async with connect_mesh(HOST, port, "", connect_timeout_s=2) as connection:
                absurd = Mastership(epoch=(1 << 64) - 1, node="ghost", incarnation="g")
                await connection.send(Ping(sender="s1", number=1, record=absurd, voted_epoch=0, sentinels=3))
                with pytest.raises(MeshUnavailable):  # the echo ends with the ProtocolError that it met
                    await connection.receive()


async def test_who_is_refused_for_the_secret_is_told_so() -> None:
    async with serving(secret="right") as port:
        with pytest.raises(MeshUnavailable) as refused:
            await round_trip(port, "wrong")
        assert refused.value.refused_secret and not refused.value.refused
    with pytest.raises(MeshUnavailable) as nobody:
        await round_trip(port, "right")
    assert nobody.value.refused and not nobody.value.refused_secret
