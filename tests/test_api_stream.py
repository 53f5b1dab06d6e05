"""The stream of events: it begins where it was asked to, and tells each once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

from ha_stress.api.stream import EventStream, StreamSlots
from ha_stress.bus.client import Bus, open_bus
from ha_stress.cluster.events import Event
from tests.redis_server import cluster, plain_client

__all__ = ["cluster"]


@pytest.fixture
async def bus(redis_url: str, cluster: str) -> AsyncIterator[Bus]:
    async with open_bus(redis_url, cluster) as opened:
        yield opened


class Listener:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self.text = ""

    async def send(self, message: Any) -> None:
        self.text += message.get("body", b"").decode()

    @property
    def sequences(self) -> list[int]:
        return [int(line[4:]) for line in self.text.splitlines() if line.startswith("id: ")]


async def heard(bus: Bus, after: int, enough: Callable[[Listener], bool], further_s: float = 0.0) -> Listener:
    """Listen until that is enough, and a while longer."""
    listener = Listener()
    async with trio.open_nursery() as nursery:
        stream = EventStream(bus, StreamSlots(1), after)
        nursery.start_soon(stream, {}, trio.sleep_forever, listener.send)
        with trio.fail_after(15):
            while not enough(listener):  # noqa: ASYNC110  what it hears tells nobody
                await trio.sleep(0.01)
        await trio.sleep(further_s)
        nursery.cancel_scope.cancel()
    return listener


async def test_a_replay_from_the_beginning_begins_there_however_long_the_stream_is(bus: Bus) -> None:
    for _ in range(510):
        await bus.add_event(Event(name="+node", source="x", epoch=1))
    assert (await heard(bus, 0, lambda said: 510 in said.sequences)).sequences == list(range(1, 511))


async def test_an_event_that_cannot_be_read_does_not_make_the_stream_tell_everything_again(
    bus: Bus, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ha_stress.api.stream.REREAD_S", 0.1)
    for _ in range(5):
        await bus.add_event(Event(name="+node", source="x", epoch=1))
    with plain_client(redis_url) as client:
        client.xadd(bus.keys.events, {"sequence": "6", "name": "+node", "epoch": "of another version"}, id="6-0")
    assert (await heard(bus, 3, lambda said: 5 in said.sequences, further_s=0.5)).sequences == [4, 5]


async def test_a_stream_of_the_wrong_type_is_told_to_its_listeners(bus: Bus, redis_url: str) -> None:
    with plain_client(redis_url) as client:
        client.set(bus.keys.events, "x")
    await heard(bus, 0, lambda said: "something unexpected" in said.text)
