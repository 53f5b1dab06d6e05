"""The saturation benchmark: its figures, its observer on a real mesh, and how a process knows that its loop is late."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import trio

from bench.saturation_figures import Load, Samples, percentile, report_of, table, verdicts
from bench.saturation_watch import HostMeter, Observer, processes_of
from ha_stress.base.config import Timing
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.lag import LoopLag
from ha_stress.mesh.server import serve_mesh
from ha_stress.node.sampler import Sampler
from ha_stress.wire.messages import Ping, Pong
from sentinel import effects as fx
from tests.playbook import FIRST, node


def samples(**changes: Any) -> Samples:
    """A minute of calm under full load."""
    calm: dict[str, Any] = {
        "pings_s": {"n1": [0.002] * 98 + [0.004, 0.03], "n2": [0.001] * 100},
        "lag_s": {"n1": 0.0123, "s1": 0.004},
        "cpu_percent": [100.0] * 58 + [90.0, 99.0],
        "cpu_s": {"engines": 75.0, "target": 30.0},
        "seconds": 60.0,
    }
    return Samples(**calm | changes)


LOAD = Load(asked_per_s=60_000, intended=1000, started=600, dropped=399, uncovered=1, completed=600)


def met(report: dict[str, Any]) -> list[bool]:
    return [goal["met"] for goal in report["goals"]]


# --- figures ---


def test_the_document_has_the_names_that_are_promised() -> None:
    report = json.loads(json.dumps(report_of(samples(), LOAD)))
    assert report["minutes"] == 1.0
    assert report["false_failovers"] == 0
    assert {name: report["ping_ms"][name] for name in ("p50", "p99", "worst")} == {
        "p50": 1.0,
        "p99": 2.0,
        "worst": 30.0,
    }
    assert report["loop_lag_ms"] == {"n1": 12.3, "s1": 4.0}
    assert report["load"]["completed_per_s"] == 10
    assert met(report) == [True, True, True]


def test_each_failover_is_a_false_one_and_every_suspicion_is_told_with_its_cause() -> None:
    events = [
        {"name": "+sdown", "source": "s2", "subject": "n1", "cause": "silence"},
        {"name": "+switch-master", "source": "s2", "subject": "n2"},
        {"name": "+assigned", "source": "n1"},
    ]
    report = report_of(samples(events=events), LOAD)
    assert report["false_failovers"] == 1 and not met(report)[0]
    assert report["events"]["+sdown"] == 1
    assert report["sdown"] == ["s2 held n1 to be down: silence"]
    assert "s2 held n1 to be down: silence" in table(report)


def test_a_run_that_did_not_saturate_the_machine_proves_nothing() -> None:
    report = report_of(samples(cpu_percent=[100.0] * 50 + [60.0] * 10), LOAD)
    assert met(report) == [True, False, True]
    assert any(line.startswith("MISSED") for line in verdicts(report))


def test_an_arrival_that_is_in_no_book_is_found() -> None:
    load = Load(asked_per_s=1.0, intended=10, started=5, dropped=4, completed=5)
    assert met(report_of(samples(), load)) == [True, True, False]


def test_nothing_seen_is_no_error() -> None:
    report = report_of(Samples(), Load(asked_per_s=0.0))
    assert report["ping_ms"]["worst"] == 0.0 and report["cpu"]["saturated_part"] == 0.0


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 99) == 4.0
    assert percentile([], 50) == 0.0


# --- watching ---


class Noting(Observer):
    """Remembers of what it was told that connections broke."""

    def __init__(self, timing: Timing, samples: Samples) -> None:
        super().__init__(timing, samples)
        self.broken: list[fx.Happening] = []

    def take(self, happening: fx.Happening) -> None:
        if isinstance(happening, fx.NodeConnectionLost | fx.DialFailed) and not self.over:
            self.broken.append(happening)
        super().take(happening)


async def test_the_observer_counts_each_ping_once_and_every_connection_that_breaks() -> None:
    seen = Samples()
    timing = Timing(ping_period_s=0.05, down_after_s=5.0)
    pings = 0

    async def answer(connection: Connection) -> None:
        nonlocal pings
        while True:
            message = await connection.receive()
            assert isinstance(message, Ping)
            pings += 1
            if pings == 8:
                await connection.aclose()
                return
            for _ in range(2):  # the second one is news that nobody asked for
                await connection.send(Pong(number=message.number, info=node("n1"), record=FIRST))

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_mesh, "127.0.0.1", 0, "secret", answer)
        observer = Noting(timing, seen)
        nursery.start_soon(observer.run, [node("n1", mesh_port=port)], "secret")
        with trio.fail_after(10):
            while len(seen.pings_s.get("n1", ())) < 10:  # noqa: ASYNC110  the benchmark keeps figures, it tells nobody
                await trio.sleep(0.01)
        observer.over = True
        nursery.cancel_scope.cancel()
    # On a busy machine the next dial may not have been in time, which is one more.
    assert seen.broken_connections == len(observer.broken)
    assert sum(isinstance(one, fx.NodeConnectionLost) for one in observer.broken) == 1
    assert len(seen.pings_s["n1"]) <= pings - 1
    assert all(0 < second < 5 for second in seen.pings_s["n1"])


def test_a_pong_to_a_ping_of_somebody_else_is_no_round_trip() -> None:
    seen = Samples()
    Observer(Timing(), seen).take(fx.PongReceived("n1", Pong(number=99, info=node("n1"), record=FIRST)))
    assert seen.pings_s == {}


def test_the_host_is_between_idle_and_busy() -> None:
    meter = HostMeter()
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        pass
    assert 0 < meter.busy_percent() <= 100


def test_a_process_belongs_to_one_kind() -> None:
    me = os.getpid()
    assert processes_of([], [me], me, me)["engines"] == []


# --- how a process knows that its loop is late ---


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def turn(lag: LoopLag, clock: Clock, *, timeout: float, waited: float, worked: float) -> None:
    """One turn of the loop, told as trio tells it."""
    lag.before_io_wait(timeout)
    clock.now += waited
    lag.after_io_wait(timeout)
    clock.now += worked


def test_lag_is_how_late_the_loop_woke_and_how_long_its_tasks_then_took() -> None:
    clock = Clock()
    lag = LoopLag(1.0, clock)
    turn(lag, clock, timeout=0.1, waited=0.13, worked=0.02)
    turn(lag, clock, timeout=0.1, waited=0.1, worked=0.0)
    assert round(lag.worst_s, 6) == 0.05


def test_a_message_that_wakes_the_loop_before_its_timer_is_no_lag() -> None:
    clock = Clock()
    lag = LoopLag(1.0, clock)
    for _ in range(5):
        turn(lag, clock, timeout=10.0, waited=0.01, worked=0.0)
    assert lag.worst_s == 0.0


def test_the_worst_is_kept_for_a_whole_period_after_its_own_and_then_forgotten() -> None:
    clock = Clock()
    lag = LoopLag(1.0, clock)
    turn(lag, clock, timeout=0.5, waited=0.5, worked=0.25)
    for _ in range(4):
        turn(lag, clock, timeout=0.25, waited=0.25, worked=0.0)
    assert lag.worst_s == 0.25
    for _ in range(8):
        turn(lag, clock, timeout=0.25, waited=0.25, worked=0.0)
    assert lag.worst_s == 0.0


async def test_a_node_tells_of_a_blocked_loop_wherever_it_was_between_two_samples() -> None:
    sampler = Sampler(period_s=0.5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sampler.run)
        await trio.sleep(0.1)
        time.sleep(0.12)  # noqa: ASYNC251  the very thing that is to be noticed
        await trio.sleep(0.05)
        assert sampler.loop_lag_s >= 0.12
        nursery.cancel_scope.cancel()
