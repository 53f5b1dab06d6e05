"""What the groups of bus methods share."""

from __future__ import annotations

from ha_stress.bus.link import Link
from ha_stress.bus.records import Undecodable
from ha_stress.wire.keys import Keys


class Part:
    """One group of the methods of `Bus`. All raise BusUnavailable when Redis does not answer in time."""

    keys: Keys
    _link: Link
    _undecodable: Undecodable
