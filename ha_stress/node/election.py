"""When to read the mastership record after a word on the election channel.

The word says who was named. That one reads at once, and so does the master whom it concerns; all others have time. If a
thousand nodes read at the same instant, the one that is named would wait in line behind them, at the very moment at
which nobody acts.
"""

from __future__ import annotations

import json
import random
from typing import Final

import trio

from ha_stress.bus.feed import Hint, Resubscribed

#: Whom a word does not concern reads the record within this time.
SPREAD_S: Final = 0.1


async def next_reading(hints: trio.MemoryReceiveChannel[Hint | Resubscribed], me: str, *, spread_s: float) -> None:
    """Wait for a word; then, if it names somebody else, a random part of `spread_s`, or until a word is about `me`."""
    if not _names_another(await hints.receive(), me):
        return
    with trio.move_on_after(random.random() * spread_s):
        while _names_another(await hints.receive(), me):
            pass


def _names_another(hint: Hint | Resubscribed, me: str) -> bool:
    """What cannot be read may be about anybody."""
    if isinstance(hint, Resubscribed):
        return False
    try:
        named = json.loads(hint.data)["node"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(named != me)
