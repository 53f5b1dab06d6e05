"""The pool and its processes: exact books, the end of processes, stalls."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
import trio

from ha_stress.engines import histogram
from ha_stress.engines.entry import NICENESS
from ha_stress.engines.pool import EngineDied, EnginePool
from ha_stress.tasks.schedule import TaskShare, owned_below
from tests.engine_support import (
    Rig,
    part,
    raw_server,
    read_request,
    running_pool,
    share,
    target_process,
)


def silent(sock: socket.socket, _number: int) -> None:
    read_request(sock)
    sock.recv(1)


def with_parts(old: TaskShare, *parts: object) -> TaskShare:
    return TaskShare(
        task=old.task,
        request=old.request,
        in_flight_max=old.in_flight_max,
        started_at=old.started_at,
        parts=parts,  # type: ignore[arg-type]
    )


async def test_every_arrival_is_sent_once_and_counted_once_by_both_sides() -> None:
    with target_process() as target:
        async with running_pool(engines=2) as rig:
            await rig.pool.apply([share(target.url, part(4000, 4001))])
            books = await rig.settled()
            assert (books.started, books.completed, books.dropped) == (4001, 4001, 0)
            assert target.counted() == 4001
            assert books.statuses == {"200": 4001}
            assert {r.engine for r in rig.reports} == {0, 1}
            for blobs in ([r.response_us for r in rig.reports], [r.service_us for r in rig.reports]):
                assert histogram.summary(histogram.merge(blobs)).count == 4001


async def test_an_engine_runs_below_its_node_so_that_it_never_delays_a_heartbeat() -> None:
    with target_process() as target:
        async with running_pool(engines=2) as rig:
            await rig.pool.apply([share(target.url, part(100, 1))])
            await rig.settled()
            mine = os.getpriority(os.PRIO_PROCESS, 0)
            wanted = min(19, mine + NICENESS)
            assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in rig.pool.pids] == [wanted, wanted]


async def test_a_share_is_exactly_the_slots_it_names() -> None:
    with target_process() as target:
        async with running_pool(engines=3) as rig:
            slots = (1, 2, 5)
            await rig.pool.apply([share(target.url, part(2000, 1003, modulus=7, slots=slots))])
            books = await rig.settled()
            assert books.started == target.counted() == owned_below(slots, 7, 1003)


async def test_no_arrival_is_lost_or_doubled_over_a_change_of_revision() -> None:
    with target_process() as target:
        async with running_pool(engines=2) as rig:
            first = share(target.url, part(1000, None))
            await rig.pool.apply([first])
            await rig.until(lambda: rig.books().started > 0)
            at_s = time.time() - first.started_at + 0.25
            limit = round(at_s * 1000)
            changed = with_parts(first, part(1000, limit), part(3000, 900, revision=2, at_s=limit / 1000))
            for _ in range(3):  # saying it again changes nothing
                await rig.pool.apply([changed])
            await rig.until(lambda: rig.books(2).started > 0)
            await rig.pool.apply([changed])
            await rig.settled()
            assert rig.books(1).started == limit
            assert rig.books(2).started == 900
            assert target.counted() == limit + 900


async def test_a_limit_in_the_past_does_not_bring_anything_back() -> None:
    with target_process() as target:
        async with running_pool() as rig:
            first = share(target.url, part(500, None))
            await rig.pool.apply([first])
            await rig.until(lambda: rig.books().started > 0)
            await rig.pool.apply([with_parts(first, part(500, 1))])
            books = await rig.settled()
            assert 1 < books.started == books.completed == target.counted()
            await rig.pool.apply([with_parts(first, part(500, 10_000_000))])
            await rig.until(lambda: rig.pool.idle)
            assert target.counted() == books.started


async def test_arrivals_above_the_in_flight_limit_are_dropped_and_counted() -> None:
    with raw_server(silent) as server:
        async with running_pool() as rig:
            await rig.pool.apply([share(server.url, part(500, 100), in_flight_max=7, timeout_s=1)])
            books = await rig.settled()
            assert books.intended == 100
            assert books.failed == {"timeout": books.started}
            assert books.dropped == 100 - books.started
            assert 7 <= books.started < 40


async def test_a_frozen_target_shows_in_the_response_times() -> None:
    with target_process() as target:
        async with running_pool() as rig:
            await rig.pool.apply([share(target.url, part(400, 600), in_flight_max=1000)])
            await rig.until(lambda: target.counted() > 0)
            target.process.send_signal(signal.SIGSTOP)
            try:
                await trio.sleep(0.5)  # the length of the freeze is what is measured
            finally:
                target.process.send_signal(signal.SIGCONT)
            books = await rig.settled()
            assert books.completed == 600
            said = histogram.summary(histogram.merge(r.response_us for r in rig.reports), [80])
            assert said.max_us > 400_000
            assert said.percentiles_us[80] > 50_000  # not one slow request: all that were due meanwhile


async def test_a_task_that_is_taken_away_is_cancelled_and_its_books_close() -> None:
    with raw_server(silent) as server:
        async with running_pool() as rig:
            await rig.pool.apply([share(server.url, part(200, None))])
            await rig.until(lambda: rig.books().started >= 20)
            await rig.pool.apply([])
            books = await rig.settled()
            assert books.failed == {"cancelled": books.started}
            assert books.under_way == 0


async def test_a_task_that_comes_back_goes_on_where_it_was() -> None:
    with target_process() as target:
        async with running_pool() as rig:
            whole = share(target.url, part(500, 400))
            await rig.pool.apply([whole])
            await rig.until(lambda: rig.books().started > 0)
            await rig.pool.apply([])
            await rig.until(lambda: rig.pool.idle)
            await rig.pool.apply([whole])
            books = await rig.settled()
            assert books.started == 400
            assert books.completed + books.failed_total == 400


async def test_reports_come_on_the_second_and_once_more_at_the_end() -> None:
    with target_process() as target:
        async with running_pool() as rig:
            began = int(time.time())
            await rig.pool.apply([share(target.url, part(100, 250))])
            await rig.settled()
            ended = int(time.time())
            seconds = [report.second for report in rig.reports]
            assert seconds == sorted(seconds)
            assert began < seconds[0] and seconds[-1] <= ended + 1
            assert len(seconds) <= ended - began + 1, "one that is late has the label of the next second"
            assert all(report.counters.started or report.counters.completed for report in rig.reports)


async def test_two_tasks_have_separate_books() -> None:
    with target_process() as target, target_process("--status", "503") as other:
        async with running_pool() as rig:
            shares = [share(target.url, part(500, 200), task="a"), share(other.url, part(300, 100), task="b")]
            await rig.pool.apply(shares)
            await rig.settled()
            assert {r.task for r in rig.reports} == {"a", "b"}
            assert sum(r.counters.statuses.get("503", 0) for r in rig.reports if r.task == "b") == 100
            assert (target.counted(), other.counted()) == (200, 100)


async def test_an_idle_pool_has_no_processes_and_a_pool_that_ran_leaves_none() -> None:
    async with running_pool(warm=False) as rig:
        await rig.pool.apply([])
        assert rig.pool.idle
        assert rig.pool.pids == ()
        await rig.pool.apply([share("http://127.0.0.1:9/", part(0, 0))])
        pids: tuple[int, ...] = rig.pool.pids
        assert [os.getpgid(pid) for pid in pids] == [os.getpgid(0)]
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_an_engine_that_dies_ends_the_pool() -> None:
    async def run_and_kill() -> None:
        pool = EnginePool(1, trio.lowlevel.checkpoint)
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            await pool.apply([share("http://127.0.0.1:9/", part(0, 0))])
            os.kill(pool.pids[0], signal.SIGKILL)

    with trio.fail_after(10), pytest.raises(BaseExceptionGroup) as caught:
        await run_and_kill()
    assert caught.group_contains(EngineDied, depth=1)


def test_an_engine_ends_when_its_control_socket_closes() -> None:
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [sys.executable, "-m", "ha_stress.engines.child", str(theirs.fileno()), "0", "1"], pass_fds=(theirs.fileno(),)
    ) as child:
        theirs.close()
        assert _ignores_interrupt(child.pid)
        child.send_signal(signal.SIGINT)
        ours.close()
        assert child.wait(5) == 0


def _ignores_interrupt(pid: int) -> bool:
    """Wait until the process has got so far that it ignores SIGINT."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/status") as status:
            ignored = next(int(line.split()[1], 16) for line in status if line.startswith("SigIgn"))
        if ignored >> (signal.SIGINT - 1) & 1:
            return True
    return False


async def test_a_stopped_engine_asks_before_it_goes_on() -> None:
    asked: list[float] = []
    rigs: list[Rig] = []

    async def on_stall() -> None:
        asked.append(rigs[0].books().started)
        await rigs[0].pool.apply([])  # the share was handed over meanwhile

    with target_process() as target:
        async with running_pool(on_stall=on_stall) as rig:
            rigs.append(rig)
            await rig.pool.apply([share(target.url, part(100, None))])
            await rig.until(lambda: rig.books().started > 0)
            os.kill(rig.pool.pids[0], signal.SIGSTOP)
            await trio.sleep(1.6)  # longer than an engine takes for chance
            before = target.counted()
            os.kill(rig.pool.pids[0], signal.SIGCONT)
            await rig.until(lambda: bool(asked))
            books = await rig.settled()
            assert target.counted() == before  # none of the 160 arrivals of the stop went out
            assert books.started == target.counted()


async def test_an_engine_whose_node_does_not_answer_a_stall_goes_on_by_itself() -> None:
    asked: list[bool] = []

    async def on_stall() -> None:
        asked.append(True)
        await trio.sleep_forever()

    with target_process() as target:
        async with running_pool(on_stall=on_stall) as rig:
            await rig.pool.apply([share(target.url, part(100, 300))])
            await rig.until(lambda: rig.books().started > 0)
            os.kill(rig.pool.pids[0], signal.SIGSTOP)
            await trio.sleep(1.6)
            os.kill(rig.pool.pids[0], signal.SIGCONT)
            books = await rig.settled()
            assert asked == [True]
            assert books.started == target.counted() == 300
            assert books.late > 0


async def test_a_slow_reader_of_the_reports_loses_nothing() -> None:
    pool = EnginePool(1, trio.lowlevel.checkpoint)
    with target_process() as target:
        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            shares = [share(target.url, part(40, 40), task=f"t{i}") for i in range(100)]
            await pool.apply(shares)
            with trio.fail_after(15):
                while target.counted() < 4000:  # noqa: ASYNC110  the target is another process
                    await trio.sleep(0.05)
            started = 0
            with trio.fail_after(15):
                while started < 4000:
                    started += (await pool.reports.receive()).counters.started
                while not pool.idle:
                    with trio.move_on_after(0.05):
                        started += (await pool.reports.receive()).counters.started
            assert started == 4000
            nursery.cancel_scope.cancel()
