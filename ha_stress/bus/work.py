"""What nodes are to do, and what they report: assignments, result frames, commit marks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ha_stress.base.errors import Conflict, Fenced, ProtocolError
from ha_stress.base.limits import ASSIGNMENTS_PER_SEND_MAX, RESULT_STREAM_MAX
from ha_stress.bus.part import Part
from ha_stress.bus.records import number, text
from ha_stress.cluster.mastership import Mastership
from ha_stress.tasks.ledger import Frame
from ha_stress.tasks.schedule import Holder, NodeAssignment
from ha_stress.wire.codec import decode, encode

_STREAM_ID = re.compile(r"(\d+)-(\d+)\Z")


def _stream_id(value: str) -> tuple[int, int]:
    match = _STREAM_ID.match(value)
    if not match:
        raise ProtocolError(f"{value!r} is not a position in the result stream")
    return int(match[1]), int(match[2])


def _holder(holder: Holder) -> str:
    return f"{holder.node}:{holder.incarnation}"


def _read_all(keys: Sequence[str], client: Any) -> Any:
    return client.mget(keys)


class WorkPart(Part):
    async def assign(self, record: Mastership, assignment: NodeAssignment) -> None:
        """Write a node's desired state and tell the node; writing the same revision again only tells it again.

        Fenced if `record` is not what stands, or if a higher epoch has assigned already; Conflict if this epoch has
        written a higher revision.
        """
        if await self.assign_all(record, (assignment,)):
            node = assignment.node
            raise Conflict(f"{node} has a higher revision than {assignment.revision} in epoch {assignment.epoch}")

    async def assign_all(self, record: Mastership, assignments: Sequence[NodeAssignment]) -> list[NodeAssignment]:
        """`assign` for each of them, in one round trip and one transaction: a master that is killed in the middle has told
        either all of these holders or none. Returns those that are in conflict; the others are written.

        Fenced if any is fenced.
        """
        script = self._link.script("assign")

        def write(client: Any) -> Any:
            pipeline = client.pipeline(transaction=True)
            for assignment in assignments:
                node = assignment.node
                keys = (self.keys.mastership, self.keys.assignment(node), self.keys.assignment_versions)
                args = (
                    record.epoch,
                    record.node,
                    record.incarnation,
                    node,
                    assignment.epoch,
                    assignment.revision,
                    encode(assignment),
                    self.keys.task_channel(node),
                )
                script.queue(pipeline, keys, args)
            return pipeline.execute()

        conflicts = []
        for assignment, (code, epoch) in zip(assignments, await self._link.call(write), strict=True):
            if code == 0:
                raise Fenced(record.epoch, int(epoch), f"assignment of {assignment.node}")
            if code == -1:
                conflicts.append(assignment)
        return conflicts

    async def assignment(self, node_id: str) -> NodeAssignment | None:
        """The node's desired state; None if it never had one."""
        data: Any = await self._link.call(lambda client: client.get(self.keys.assignment(node_id)))
        return None if data is None else decode(NodeAssignment, data)

    async def assignments(self, node_ids: Sequence[str]) -> list[NodeAssignment]:
        """The desired states of these nodes, as far as they have one, in this order."""
        found = []
        for begin in range(0, len(node_ids), ASSIGNMENTS_PER_SEND_MAX):
            keys = [self.keys.assignment(node) for node in node_ids[begin : begin + ASSIGNMENTS_PER_SEND_MAX]]
            data: Any = await self._link.call(partial(_read_all, keys))
            found += [decode(NodeAssignment, one) for one in data if one is not None]
        return found

    async def add_frames(self, frames: Sequence[Frame]) -> None:
        """Append result frames. May append a frame twice; its identity makes it count once."""
        if not frames:
            return
        encoded = [encode(frame) for frame in frames]

        def write(client: Any) -> None:
            pipeline = client.pipeline(transaction=False)
            for data in encoded:
                pipeline.xadd(self.keys.results, {"f": data}, maxlen=RESULT_STREAM_MAX, approximate=True)
            pipeline.execute()

        await self._link.call(write)

    async def read_frames(self, after_id: str, count: int) -> list[tuple[str, Frame]]:
        """Up to `count` frames after the stream id `after_id` ("" for the beginning), oldest first, with stream ids.

        What cannot be read is logged, counted and skipped, so an empty list means the end of the stream.
        """
        frames: list[tuple[str, Frame]] = []
        while not frames:
            if after_id:
                _stream_id(after_id)
            start = f"({after_id}" if after_id else "-"
            entries = await self._link.call(partial(self._xrange, start, count))
            if not entries:
                break
            for entry_id, fields in entries:
                after_id = text(entry_id)
                frame = self._undecodable.decoded(Frame, fields.get(b"f", b""), "result stream")
                if frame is not None:
                    frames.append((after_id, frame))
        return frames

    def _xrange(self, start: str, count: int, client: Any) -> Any:
        return client.xrange(self.keys.results, min=start, count=count)

    async def drop_frames(self, up_to_id: str) -> None:
        """Remove every frame up to and including this stream id; "" removes none."""
        if not up_to_id:
            return
        major, minor = _stream_id(up_to_id)
        first_kept = f"{major}-{minor + 1}"
        await self._link.call(lambda client: client.xtrim(self.keys.results, minid=first_kept, approximate=False))

    async def mark_committed(self, marks: Mapping[Holder, int]) -> None:
        """Say that each holder's frames up to this sequence are in the database. A mark never falls."""
        if not marks:
            return
        args: list[str | int] = []
        for holder, sequence in marks.items():
            args += [_holder(holder), sequence]
        await self._link.run("mark_committed", (self.keys.committed,), args)

    async def committed(self, holder: Holder) -> int:
        """The holder's mark; 0 if it has none."""
        value = await self._link.call(lambda client: client.hget(self.keys.committed, _holder(holder)))
        return 0 if value is None else number(value, f"the commit mark of {_holder(holder)}")

    async def hint_intent(self) -> None:
        """Tell the master that the operator's intent in the database changed."""
        await self._link.call(lambda client: client.publish(self.keys.intent_channel, b""))
