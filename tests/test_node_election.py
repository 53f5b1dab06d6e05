"""Who reads the mastership record when, after a word on the election channel."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock

from ha_stress.bus.feed import Hint, Resubscribed
from ha_stress.node.election import next_reading

SPREAD_S = 0.1


def word(node: str) -> Hint:
    return Hint("ch:election", json.dumps({"epoch": 2, "node": node}).encode())


async def took_s(*words: Hint | Resubscribed) -> float:
    send, receive = trio.open_memory_channel[Hint | Resubscribed](10)
    for one in words:
        send.send_nowait(one)
    began = trio.current_time()
    await next_reading(receive, "n1", spread_s=SPREAD_S)
    return trio.current_time() - began


@pytest.mark.parametrize(
    "heard", [word("n1"), Resubscribed(), Hint("ch:election", b"not json"), Hint("ch:election", b"[]")]
)
async def test_who_may_be_meant_reads_at_once(heard: Hint | Resubscribed, autojump_clock: MockClock) -> None:
    assert await took_s(heard) == 0.0


async def test_who_is_not_named_reads_within_the_spread(autojump_clock: MockClock) -> None:
    waits = [await took_s(word("n2")) for _ in range(50)]
    assert all(0.0 <= wait <= SPREAD_S for wait in waits)
    assert len({round(wait, 4) for wait in waits}) > 10, "not all at the same instant"


async def test_who_waits_reads_at_once_when_a_later_word_names_it(autojump_clock: MockClock) -> None:
    assert await took_s(word("n2"), word("n3"), word("n1")) == 0.0
