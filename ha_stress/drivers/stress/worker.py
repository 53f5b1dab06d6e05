"""The worker's shell: assignment -> engines -> frames -> result stream.

    follow    reads the assignment (hint, Resubscribed, every reread_s) --core--> load (engine pool) -> "applied" at once
    heed      looks for an acting master --core--> an orphan's load ends
    gather    engine reports -> outbox
    deliver   outbox -> Redis; forgets what a master has committed, sends again what was not

The engines outlive the loops by a moment: when the work is cancelled they are told to stop, and what they still report is
sent before the process goes. (In the original the last partial batch of results was never uploaded.)
"""

from __future__ import annotations

import trio

from ha_stress import log
from ha_stress.base.errors import ProtocolError, Unavailable
from ha_stress.base.limits import FRAMES_PER_SEND_MAX
from ha_stress.bus.client import Hint, Resubscribed
from ha_stress.drivers.interface import NodeServices, WorkNodeDriver
from ha_stress.drivers.stress.load import Load
from ha_stress.engines.pool import Complaint, EnginePool, EngineReport
from ha_stress.tasks.ledger import Frame
from ha_stress.worker.core import Apply, Governed, Refuse, WorkerCore, Yield
from ha_stress.worker.outbox import Outbox
from ha_stress.worker.signature import signed

_log = log.get(__name__)

_DELIVER_PERIOD_S = 0.1
_ACKNOWLEDGED_PERIOD_S = 1.0
#: After a failure; Redis calls have their own limit of about a second on top.
_RETRY_S = 0.5
#: What a master may need from "it is down" until the closed share is written; engines that stood still wait for it.
_DECISION_S = 0.2
#: Engines hold before the sentinels can have given this node's share to others, of which a suspended node knows nothing.
_SILENT_PART = 0.75
#: What the last results may take when the work is cancelled; the node's own stop limit is longer.
_WIND_DOWN_S = 3.0
#: How often at least a master is looked for before its silence counts.
_LOOKS = 4


class StressWorker(WorkNodeDriver):
    """The worker's side of the driver `stress`, for the life of the process."""

    def __init__(self, node: NodeServices) -> None:
        super().__init__(node)
        silent_s = _SILENT_PART * node.config.timing.down_after_s
        settings = {"allow": list(node.config.allow), "silent_s": silent_s}
        self.pool = EnginePool(node.config.engines, self._on_stall, settings)
        self.load = Load(self.pool, node.store)
        self._core = WorkerCore(node.holder)
        self._governed = Governed(node.config.timing.orphan_after_s, node.clock.now())
        self._outbox = Outbox(node.holder)
        self._reading = trio.Lock()
        self._engines_scope = trio.CancelScope()
        self._engines_run = False
        self._acknowledged_due = 0.0
        self._results = trio.Event()  # there is something to deliver
        self.pool.on_idle = self._on_idle
        self.pool.on_complaint = self._complain

    async def work(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._run_engines)
            # Shielded only from here on: a start that is cancelled half-way must end, or it would wait for ever.
            self._engines_scope.shield = True
            try:
                async with trio.open_nursery() as loops:
                    loops.start_soon(self._follow, name="worker.follow")
                    loops.start_soon(self._heed, name="worker.heed")
                    loops.start_soon(self.load.fetch, name="worker.fetch")
                    loops.start_soon(self._deliver, name="worker.deliver")
            finally:
                with trio.move_on_after(_WIND_DOWN_S, shield=True):
                    await self._wind_down()
                self._engines_scope.cancel()

    async def _run_engines(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Not ended by a cancellation from outside, but by `work` once it has wound down."""
        try:
            with self._engines_scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.pool.run)
                    self._engines_run = True
                    nursery.start_soon(self._gather, name="worker.gather")
                    task_status.started()
        finally:
            self._engines_run = False

    async def _follow(self) -> None:
        bus, timing = self.node.bus, self.node.config.timing
        async with bus.subscribe(bus.keys.task_channel(self.node.holder.node)) as hints:
            while True:
                await self._reread()
                message: Hint | Resubscribed | None = None
                with trio.move_on_after(timing.reread_s):
                    message = await hints.receive()
                if isinstance(message, Resubscribed):
                    self._outbox.doubt(self.node.clock.now())

    async def _on_stall(self) -> None:
        """The engines stood still: the share may be somebody else's by now, or is being given away just now.

        Read until there is an answer: the pool ends this after a while, for the load shall not wait for Redis for ever.
        """
        await trio.sleep(_DECISION_S)
        while not await self._reread():  # noqa: ASYNC110  only asking can tell
            await trio.sleep(_DECISION_S)

    async def _reread(self) -> bool:
        """Carry out what the assignment says; False if it could not be read."""
        async with self._reading:
            try:
                assignment = await self.node.bus.assignment(self.node.holder.node)
            except (Unavailable, ProtocolError) as error:
                _log.warning("the assignment cannot be read", problem=str(error))
                return False
            match self._core.consider(assignment, self.node.record().epoch):
                case Apply(assignment=news):
                    self._governed.heard(self.node.clock.now())
                    if self.load.orphan:
                        self._say_orphan(False, 0.0)
                    await self.load.run([signed(share, self.node.holder) for share in news.shares])
                    self._core.applied_now(news)
                    self._report()
                    await self._publish()
                case Yield(to=successor):
                    _log.warning("another process has this node's place", incarnation=successor.incarnation)
                    await self.load.run(())
                case Refuse(reason=reason):
                    _log.info("an assignment was refused", reason=reason)
                case _:
                    pass
        return True

    async def _heed(self) -> None:
        """End the load when there has been no sign of a master for long, and take it up again at the next sign."""
        timing = self.node.config.timing
        while timing.orphan_after_s:
            await trio.sleep(min(timing.reread_s, timing.orphan_after_s / _LOOKS))
            if self.pool.idle and not self.load.orphan:
                continue  # there is nothing to end; what comes next comes from a master
            if await self._master_acts():
                self._governed.heard(self.node.clock.now())
            now = self.node.clock.now()
            orphan = self._governed.orphaned(now)
            if orphan != self.load.orphan:
                self._say_orphan(orphan, self._governed.silence_s(now))
                await self.load.govern(orphan=orphan)

    async def _master_acts(self) -> bool:
        if self.node.may_act():
            return True
        try:
            return await self.node.bus.lease_owner() != ""
        except (Unavailable, ProtocolError) as error:
            _log.warning("there is no word of a master", problem=str(error))
            return False

    def _say_orphan(self, orphan: bool, silence_s: float) -> None:
        me = self.node.holder.node
        if orphan:
            _log.warning("nobody governs this node: its load ends", silence_s=round(silence_s, 1))
            self.node.emit("+orphan", subject=me, cause=f"no sign of an acting master for {silence_s:.0f} s")
        else:
            _log.info("a master acts again: the load goes on")
            self.node.emit("-orphan", subject=me, cause="a master acts again")

    async def _publish(self) -> None:
        """The acknowledgement. It is not waited for: info is published periodically anyway."""
        try:
            await self.node.publish_info()
        except Unavailable as error:
            _log.warning("the acknowledgement waits", problem=str(error))

    async def _gather(self) -> None:
        async for report in self.pool.reports:
            self._outbox.add(self._frame(report))
            self._results.set()
            self._report()

    def _frame(self, report: EngineReport) -> Frame:
        return Frame(
            node=self.node.holder.node,
            incarnation=self.node.holder.incarnation,
            sequence=0,
            epoch=self._core.applied[0],
            task=report.task,
            revision=report.revision,
            engine=report.engine,
            second=report.second,
            warm_up=report.warm_up,
            counters=report.counters,
            response_us=report.response_us,
            service_us=report.service_us,
            requests=report.requests,
        )

    async def _deliver(self) -> None:
        while True:
            if not self._outbox.kept:
                self._results = trio.Event()
                await self._results.wait()
            pause_s = _DELIVER_PERIOD_S
            try:
                await self._send_once()
                await self._forget_committed()
            except (Unavailable, ProtocolError) as error:
                _log.warning("results wait here", problem=str(error), frames=self._outbox.kept)
                pause_s = _RETRY_S
            self._report()
            await trio.sleep(pause_s)

    async def _send_once(self) -> None:
        now = self.node.clock.now()
        again = self._outbox.take_again(now)
        if again:
            await self.node.bus.add_frames(again)
        while batch := self._outbox.take(FRAMES_PER_SEND_MAX):
            await self.node.bus.add_frames(batch)
            self._outbox.delivered(batch, self.node.clock.now())

    async def _forget_committed(self) -> None:
        now = self.node.clock.now()
        if not self._outbox.kept or now < self._acknowledged_due:
            return
        self._acknowledged_due = now + _ACKNOWLEDGED_PERIOD_S
        mark = await self.node.bus.committed(self.node.holder)
        self._outbox.acknowledge(mark, self.node.clock.now())

    def _on_idle(self) -> None:
        self.load.on_idle()
        self._report()

    def _complain(self, complaint: Complaint) -> None:
        cause = f"{complaint.kind}: {complaint.cause}"
        detail: dict[str, object] = {"kind": complaint.kind, "text": complaint.text}
        self.node.emit("+complaint", subject=complaint.task, cause=cause, detail=detail)

    def _report(self) -> None:
        self.node.report_work(
            applied=self._core.applied,
            frames_waiting=self._outbox.kept,
            frames_lost=self._outbox.lost,
            idle=self._idle(),
        )

    def _idle(self) -> bool:
        unread = self.pool.reports.statistics().current_buffer_used
        return self.pool.idle and not unread and not self._outbox.undelivered

    async def _wind_down(self) -> None:
        """Stop the engines, wait for their last reports, and send all."""
        if self._engines_run:
            await self.pool.apply(())
        while not self._idle():
            try:
                await self._send_once()
            except (Unavailable, ProtocolError) as error:
                _log.warning("the last results wait", problem=str(error), frames=self._outbox.kept)
                await trio.sleep(_RETRY_S)
            if not self._engines_run and not self._outbox.undelivered:
                break
            await trio.sleep(_DELIVER_PERIOD_S / 10)
        self._report()
