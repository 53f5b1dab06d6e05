"""Each sentence of the algorithm in ARCHITECTURE.md carries the name of the test that holds it: this is the test of that,
and the tests of those sentences that had none elsewhere."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import trio

from ha_stress.base.config import Timing
from ha_stress.mesh.connection import Connection
from ha_stress.mesh.server import serve_mesh
from ha_stress.wire.messages import Ping, Pong
from sentinel import effects as fx
from sentinel.probe import PING_SLICE_S, SPARE_DIALS, WASTED_DIAL_PAUSE_S, Dialler, Lines, NodeProbe
from tests.playbook import FIRST, Play, node, said

TESTS: Final = Path(__file__).parent
PAGE: Final = TESTS.parent / "ARCHITECTURE.md"
#: From the heading to the table of differences, or to the next chapter.
CHAPTER: Final = re.compile(
    r"^## The sentinel's algorithm\n(.*?)(?=^### Where we differ|^## )", re.MULTILINE | re.DOTALL
)
ITEM: Final = re.compile(r"^- (.*(?:\n  .*)*)", re.MULTILINE)
TEST: Final = re.compile(r"`(test_\w+)\.py::(test_\w+)`")
INVARIANT: Final = re.compile(r"sim: `([^`]+)`")


@dataclass(frozen=True, slots=True)
class Sentence:
    """`number` is "4.2"; `tests` are (module, function)."""

    number: str
    text: str
    tests: tuple[tuple[str, str], ...]
    invariants: tuple[str, ...]


def sentences(page: str) -> list[Sentence]:
    """Every item of the chapter; an AssertionError names one that is not of the form `- **4.2** Sentence.<br> tests`."""
    chapter = CHAPTER.search(page)
    assert chapter, "the page has no chapter on the sentinel's algorithm"
    found = []
    for item in ITEM.findall(chapter.group(1)):
        head, _, tail = item.partition("<br>")
        shape = re.fullmatch(r"\*\*(\d+\.\d+)\*\* (.+)", head, re.DOTALL)
        assert shape, f"not of the form '**4.2** Sentence.<br>': {head[:80]}"
        number, text = shape.groups()
        found.append(Sentence(number, text, tuple(TEST.findall(tail)), tuple(INVARIANT.findall(tail))))
    return found


@cache
def functions_of(module: str) -> frozenset[str]:
    path = TESTS / f"{module}.py"
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@cache
def invariants() -> frozenset[str]:
    """Every string constant of the simulation; its invariants are among them."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((TESTS / "sim").glob("*.py"))]
    return frozenset(
        n.value for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    )


def problems(page: str) -> list[str]:
    """What is wrong with the chapter, each in a sentence."""
    found = []
    for sentence in sentences(page):
        where = f"{sentence.number} '{sentence.text[:50]}...'"
        if not sentence.text.endswith(".") or ". " in sentence.text:
            found.append(f"{where} is not exactly one sentence")
        if not sentence.tests and not sentence.invariants:
            found.append(f"{where} carries no test")
        found += [
            f"{where} names {module}.py::{name}, which does not exist"
            for module, name in sentence.tests
            if name not in functions_of(module)
        ]
        found += [
            f"{where} names the invariant {name!r}, which the simulation does not know"
            for name in sentence.invariants
            if name not in invariants()
        ]
    return found


# --- the page ---


def test_every_sentence_of_the_algorithm_carries_tests_that_exist() -> None:
    assert not problems(PAGE.read_text(encoding="utf-8"))


def test_the_sentences_are_numbered_in_order_and_there_are_many() -> None:
    numbers = [tuple(map(int, one.number.split("."))) for one in sentences(PAGE.read_text(encoding="utf-8"))]
    assert len(numbers) >= 70
    for before, after in pairwise(numbers):
        assert after in ((before[0], before[1] + 1), (before[0] + 1, 1)), f"{after} follows {before}"


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("- **1.1** A claim.<br>\n  `test_sentences.py::test_that_is_not_there`", "does not exist"),
        ("- **1.1** A claim.<br>\n  `test_nowhere.py::test_x`", "does not exist"),
        ("- **1.1** A claim.<br>\n  sim: `all is well`", "does not know"),
        ("- **1.1** A claim.<br>", "carries no test"),
        ("- **1.1** A claim. And another.<br>\n  sim: `one vote per epoch`", "not exactly one sentence"),
        ("- **1.1** A claim.<br>\n  sim: `one vote per epoch`", ""),
    ],
)
def test_the_check_finds_what_it_is_there_for(item: str, problem: str) -> None:
    found = problems(f"## The sentinel's algorithm\n\n{item}\n\n### Where we differ\n")
    assert [problem in sentence for sentence in found] == ([True] if problem else [])


# --- 1. Probe ---


async def test_a_probe_pings_each_period_and_reports_every_pong() -> None:
    timing = Timing(ping_period_s=0.05, down_after_s=5.0)
    pinged: list[tuple[float, int]] = []
    heard: list[fx.Happening] = []
    enough = trio.Event()

    async def answer(connection: Connection) -> None:
        while True:
            message = await connection.receive()
            assert isinstance(message, Ping)
            pinged.append((trio.current_time(), message.number))
            await connection.send(Pong(number=message.number, info=node("n1"), record=FIRST))

    def feed(happening: fx.Happening) -> None:
        heard.append(happening)
        if sum(isinstance(one, fx.PongReceived) for one in heard) == 6:
            enough.set()

    def ping(number: int) -> Ping:
        return Ping(sender="s1", number=number, record=FIRST, voted_epoch=1, sentinels=3)

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_mesh, "127.0.0.1", 0, "secret", answer)
        lines = Lines(timing, ping)
        nursery.start_soon(lines.run)
        address = ("127.0.0.1", port)
        nursery.start_soon(NodeProbe("n1", address, secret="secret", timing=timing, lines=lines, feed=feed).run)
        with trio.fail_after(10):
            await enough.wait()
        nursery.cancel_scope.cancel()
    assert isinstance(heard[0], fx.NodeConnected)
    answered = [one.pong.number for one in heard if isinstance(one, fx.PongReceived)]
    assert answered == [number for _, number in pinged[: len(answered)]]
    # The second one comes sooner; from then on one each period, which a busy machine may make longer but not shorter.
    assert pinged[5][0] - pinged[1][0] >= 4 * timing.ping_period_s - 2 * PING_SLICE_S


async def test_a_node_that_answers_nothing_is_hung_up_on_after_down_after_and_dialled_again() -> None:
    timing = Timing(ping_period_s=0.05, down_after_s=0.2)
    moments: list[tuple[str, float]] = []
    again = trio.Event()

    async def take_in(connection: Connection) -> None:
        while True:
            await connection.receive()

    def feed(happening: fx.Happening) -> None:
        moments.append((type(happening).__name__, trio.current_time()))
        if len(moments) == 3:
            again.set()

    def ping(number: int) -> Ping:
        return Ping(sender="s1", number=number, record=FIRST, voted_epoch=1, sentinels=3)

    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_mesh, "127.0.0.1", 0, "secret", take_in)
        lines = Lines(timing, ping)
        nursery.start_soon(lines.run)
        address = ("127.0.0.1", port)
        nursery.start_soon(NodeProbe("n1", address, secret="secret", timing=timing, lines=lines, feed=feed).run)
        with trio.fail_after(10):
            await again.wait()
        nursery.cancel_scope.cancel()
    assert [name for name, _ in moments[:3]] == ["NodeConnected", "NodeConnectionLost", "NodeConnected"]
    # It is heard for the last time at the handshake, right before it counts as connected.
    assert moments[1][1] - moments[0][1] >= timing.down_after_s - 2 * PING_SLICE_S


def test_after_a_loss_the_dials_are_fast_and_span_the_confirmation_and_then_they_are_patient() -> None:
    timing = Timing()
    dialler = Dialler(timing)
    dialler.connection_broke()
    fast = [dialler.pause_s(refused=True) for _ in range(timing.crash_dials - 1)]
    assert timing.crash_confirm_s <= sum(fast) < 1.2 * timing.crash_confirm_s
    spare = [dialler.pause_s(refused=True) for _ in range(SPARE_DIALS)]
    assert max(spare) < timing.crash_confirm_s
    patient = [dialler.pause_s(refused=True) for _ in range(50)]
    assert all(0.75 * timing.ping_period_s <= pause <= 1.25 * timing.ping_period_s for pause in patient)


def test_a_dial_that_was_taken_and_dropped_is_repeated_at_once() -> None:
    dialler = Dialler(Timing())
    dialler.connection_broke()
    assert dialler.pause_s(refused=False) == WASTED_DIAL_PAUSE_S < 0.01


# --- 9. Tilt ---


def test_after_tilt_a_silent_node_has_its_whole_time_less_one_ping_period() -> None:
    play = Play.watching()
    play.stall(play.timing.tilt_stall_s + play.timing.down_after_s)
    assert "-tilt" in said(play.let(play.timing.tilt_s + 0.001))
    rest_s = play.timing.down_after_s - play.timing.ping_period_s
    play.let(rest_s - 0.01, answering=("n2", "n3"))
    assert play.cause("n1") == ""
    play.let(0.02)
    assert play.cause("n1") == "silence"
