"""What the operator asks for: one record with one revision, changed by compare and set."""

from __future__ import annotations

from typing import Any

from ha_stress.base.errors import ProtocolError
from ha_stress.base.limits import EPOCH_MAX
from ha_stress.bus.part import Part
from ha_stress.bus.records import number
from ha_stress.cluster.controls import NO_CONTROLS, Controls
from ha_stress.wire.codec import decode, encode


class ControlsPart(Part):
    async def controls(self) -> Controls:
        """The stored record; NO_CONTROLS if nobody ever asked for anything. ProtocolError if it cannot be read."""
        key = self.keys.controls
        revision, record = await self._link.call(lambda client: client.hmget(key, "revision", "record"), key)
        return _controls_from(revision, record)

    async def set_controls(self, expected_revision: int, new: Controls) -> tuple[bool, Controls]:
        """Write `new` if the stored revision is the expected one, and tell sentinels and nodes.

        Returns whether it was written, and what stands now. Setting exactly what stands already counts as written.
        """
        assert new.revision > expected_revision >= 0, "a change makes the revision grow"
        args = (expected_revision, new.revision, encode(new), self.keys.controls_channel)
        written, revision, record = await self._link.run("set_controls", (self.keys.controls,), args)
        return bool(written), _controls_from(revision, record)

    async def repair_controls(self, controls: Controls) -> bool:
        """Write `controls` if the stored revision is lower. True if it was written; the caller says so with an event."""
        args = (controls.revision, encode(controls), self.keys.controls_channel)
        return bool(await self._link.run("repair_controls", (self.keys.controls,), args, again=False))


def _controls_from(revision: Any, record: Any) -> Controls:
    """The two fields of the hash. What no cluster reaches is refused: to adopt it would spread it, for ever."""
    stored = number(revision or b"0", "the revision of the controls")
    if not stored and not record:
        return NO_CONTROLS
    controls = decode(Controls, record or b"")
    epochs = (controls.membership.floor, controls.switchover.epoch if controls.switchover else 0)
    if controls.revision != stored:
        raise ProtocolError(f"the controls record says revision {controls.revision}, its key says {stored}")
    if not all(0 <= one <= EPOCH_MAX for one in (stored, controls.membership.version, *epochs)):
        raise ProtocolError("the controls record names an impossible revision, version or epoch")
    return controls
