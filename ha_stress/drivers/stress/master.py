"""The master's shell: take the fence, then look, decide (`core`), persist, send; again and again.

    keep_alive        renews the lease
    manage_node       members                                     -> look
    listen_task       intent in the database, at once on a hint   -> inbox -> look
    distribute_task   look: reconcile -> persist -> send -> send again until it is applied
    intake            results: commit, acknowledge                -> look
    observe           thresholds of what is committed             -> look
    run_errands       setup and teardown of scenarios             -> look

Nothing is sent that was not persisted, and nothing is done while `may_act()` is false.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import trio

from ha_stress import log
from ha_stress.base.errors import Conflict, Fenced, NotFound, ProtocolError, Unavailable
from ha_stress.base.limits import MASTER_INBOX_MAX
from ha_stress.cluster.mastership import newer
from ha_stress.drivers.interface import MasterDriver, NodeServices
from ha_stress.drivers.stress.core import Decision, EndTask, Task, World, absent, assignments, errand, reconcile
from ha_stress.drivers.stress.errands import Errands
from ha_stress.drivers.stress.intake import Intake, copy_failovers
from ha_stress.drivers.stress.observer import Observer
from ha_stress.drivers.stress.told import as_told, knows_newest
from ha_stress.drivers.stress.watch import Watch
from ha_stress.master.members import holder_of
from ha_stress.master.outgoing import Outgoing, batches
from ha_stress.store.records import TaskRecord
from ha_stress.tasks.schedule import Holder

_log = log.get(__name__)

_RETRY_MIN_S = 0.02
_RETRY_MAX_S = 1.0
#: Parts of a schedule that are over leave the assignments at this pace; it is no hurry.
_TIDY_S = 5.0
#: A database that is slow for long makes changes begin later, by up to this much after so many tries.
_LEAD_S_MAX = 2.0
_LATE_MAX = 5

Read = list[TaskRecord]


class StressMaster(MasterDriver):
    """The master's side of the driver `stress`, for one epoch."""

    def __init__(self, node: NodeServices) -> None:
        super().__init__(node)
        self.record = node.record()
        self._became_at = node.clock.now()
        self._send, self._inbox = trio.open_memory_channel[Read | None](MASTER_INBOX_MAX)
        self._watch = Watch(node, self._look_around)
        self._intake = Intake(node, self.record, self._look)
        self._observer = Observer(
            node, self._intake, tasks=lambda: self._tasks.values(), members=self._watch.members, on_found=self._look
        )
        self._errands = Errands(node, self._look)
        self._outgoing = Outgoing(self.record.epoch)
        self._tasks: dict[str, Task] = {}
        self._ended: set[str] = set()  # by this master; a list that was read before that must not bring them back
        self._listed = False
        self._tidy_due = 0.0
        self._late = 0  # plans in a row that were persisted too late to be carried out as they say

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.keep_alive, name="master.keep_alive")
            await self._fenced(self._first_act)
            loops = (self.manage_node, self.listen_task, self.distribute_task, self.collect, self.observe)
            for loop in (*loops, self.run_errands, self.copy_failovers):
                nursery.start_soon(self._fenced, loop, name=f"master.{loop.__name__}")

    async def manage_node(self) -> None:
        await self._watch.run()

    async def collect(self) -> None:
        """Commit results."""
        await self._intake.run()

    async def observe(self) -> None:
        """Judge the thresholds of running tasks."""
        await self._observer.run()

    async def run_errands(self) -> None:
        """Setup and teardown of scenarios."""
        await self._errands.run()

    async def copy_failovers(self) -> None:
        await copy_failovers(self.node, self.record)

    async def listen_task(self) -> None:
        bus, timing = self.node.bus, self.node.config.timing
        async with bus.subscribe(bus.keys.intent_channel) as hints:
            while True:
                try:
                    await self._send.send(await self._read())
                except (Unavailable, ProtocolError) as error:
                    _log.warning("the tasks cannot be read", problem=str(error))
                with trio.move_on_after(timing.listen_period_s):
                    await hints.receive()

    async def distribute_task(self) -> None:
        timing = self.node.config.timing
        while True:
            with trio.move_on_after(min(timing.listen_period_s, timing.resend_s)):
                self._merge(await self._inbox.receive())
            while self._inbox.statistics().current_buffer_used:
                self._merge(self._inbox.receive_nowait())
            if not (self._listed and self._watch.ready):
                continue
            await self.node.wait_may_act()
            for step in (self._persist, self._send_errands, self._distribute):
                try:
                    await step()
                except (Unavailable, ProtocolError) as error:
                    _log.warning("planning waits", step=step.__name__.strip("_"), problem=str(error))

    async def _first_act(self) -> None:
        """Lock older masters out of the database, before anything else."""
        wait_s = _RETRY_MIN_S
        while True:
            await self.node.wait_may_act()
            try:
                await self.node.store.take_over(self.record)
                break
            except Unavailable as error:
                _log.warning("the fence cannot be taken", problem=str(error))
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RETRY_MAX_S)
        after_ms = round((self.node.clock.now() - self._became_at) * 1000, 1)
        detail: dict[str, object] = {"first_act": "took the fence of the database", "after_ms": after_ms}
        self.node.emit("+acting", subject=self.node.holder.node, cause=self.record.why, detail=detail)
        try:
            await self.node.publish_info()
        except Unavailable as error:
            _log.warning("the first act is not published yet", problem=str(error))

    async def _fenced(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a loop; when it meets a higher epoch, tell the node, which then ends this driver."""
        while True:
            try:
                return await loop()
            except Fenced as fenced:
                _log.warning("superseded", problem=str(fenced))
            try:
                self.node.learn(newer(await self.node.store.fence(), await self.node.bus.mastership()))
            except (Unavailable, ProtocolError) as error:
                _log.warning("the newest record cannot be read", problem=str(error))
            await trio.sleep(_RETRY_MAX_S)

    async def _read(self) -> Read:
        records = await self.node.store.tasks(open_only=True, limit=None)  # one that is left out would lose its load
        mine = [record for record in records if record.spec.driver == self.node.config.driver]
        return [record if record.spec.id in self._tasks else await self._inherited(record) for record in mine]

    async def _inherited(self, record: TaskRecord) -> TaskRecord:
        """A task of a master before this one, without the changes that it persisted and told nobody (see `told`)."""
        plan, task = record.plan, record.spec.id
        if plan is None:
            return record
        holders = plan.holders()
        written = await self.node.bus.assignments(sorted({holder.node for holder in holders}))
        heard = [one for one in written if Holder(one.node, one.incarnation) in holders]
        if any(knows_newest(plan, task, assignment) for assignment in heard):
            return record
        told = as_told(plan, record.spec, heard)
        if told is plan:
            return record
        _log.warning("a change of the plan was told to nobody and is taken back", task=task)
        return replace(record, plan=told, seen_intent=-1)  # not what is persisted: it is saved again

    def _look_around(self) -> None:
        """The members are not what they were; the last results of one who is gone may still be in the stream."""
        self._intake.recheck()
        self._look()

    def _look(self) -> None:
        """Wake the planning. A full inbox wakes it anyway."""
        if not self._inbox.statistics().current_buffer_used:
            self._send.send_nowait(None)

    def _merge(self, records: Read | None) -> None:
        """Intent comes from what was read; the state of a task that is known is what this master wrote itself."""
        if records is None:
            return
        self._listed = True
        self._ended &= {record.spec.id for record in records}
        for record in records:
            known = self._tasks.get(record.spec.id)
            if record.spec.id in self._ended or (known is not None and record.intent < known.intent):
                continue
            self._intake.follow(record.spec.id)
            state = record if known is None else known
            self._tasks[record.spec.id] = Task(
                spec=record.spec,
                wanted=record.wanted,
                intent=record.intent,
                status=state.status,
                seen_intent=state.seen_intent,
                plan=state.plan,
                outcome=state.outcome,
            )

    def _world(self) -> World:
        holders = {holder for task in self._tasks.values() if task.plan is not None for holder in task.plan.holders()}
        return World(
            members=self._watch.members(),
            me=self.node.holder,
            rows=self._intake.rows,
            now_wall=self.node.clock.wall(),
            lead_s=self._lead_s(),
            drained=self._intake.drained,
            doubtful=self._watch.doubtful(holders),
            found=self._found(),
        )

    def _found(self) -> dict[str, Mapping[str, Any]]:
        seen, done = self._observer.found, self._errands.found
        return {task: {**seen.get(task, {}), **done.get(task, {})} for task in seen.keys() | done.keys()}

    def _lead_s(self) -> float:
        """As configured, also for a second try; longer and longer if that came too late as well."""
        extra_s = _LEAD_S_MAX / 2 ** (_LATE_MAX - self._late) if self._late > 1 else 0.0
        return max(self.node.config.timing.revision_lead_s, extra_s)

    async def _persist(self) -> None:
        """Carry out what is due. A change that cannot be told to the holders in time is not made: they would go on by
        the old plan beyond its end. It is decided anew when it can be."""
        if not reconcile(list(self._tasks.values()), self._world()):
            return
        await self.node.bus.ping()
        began, world = self.node.clock.now(), self._world()
        for decision in reconcile(list(self._tasks.values()), world):
            await self.node.wait_may_act()
            await self._save(decision, began + world.lead_s / 2)  # the other half is for the sending
            if self.node.clock.now() > began + world.lead_s / 2:
                self._look()
                return

    async def _save(self, decision: Decision, due: float) -> None:
        """Persist, then adopt, unless a plan that nobody has heard of yet is out of date by now (after `due`)."""
        task, ended = decision.task, isinstance(decision, EndTask)
        if ended:
            task = replace(task, outcome=await self._observer.finish(task))
        try:
            await self.node.store.save_state(
                self.record,
                task.spec.id,
                status=task.status,
                plan=task.plan,
                seen_intent=task.seen_intent,
                ended_at=self.node.clock.wall() if ended else None,
                outcome=task.outcome or None,
            )
        except (Conflict, NotFound) as error:  # the record is not what we hold it to be: begin again from the record
            _log.warning("the state of a task was refused", task=task.spec.id, problem=str(error))
            self._drop(task)
            return
        self._tidy_due = 0.0
        if not ended:
            await self.node.bus.ping()  # if nobody can be told now, it is decided anew, from what they know
            if not self._adoptable(task, due):
                _log.warning("a plan was stored too late and is made anew", task=task.spec.id)
                return
        if ended:
            self._drop(task)
            self._ended.add(task.spec.id)
        else:
            self._tasks[task.spec.id] = task
        for note in decision.notes:
            self.node.emit(note.name, subject=task.spec.id, cause=note.cause, detail=note.detail)

    def _adoptable(self, task: Task, due: float) -> bool:
        known = self._tasks[task.spec.id].plan
        if self.node.clock.now() <= due:
            self._late = 0
        elif task.plan is not None and (known is None or known.revisions != task.plan.revisions):
            self._late = min(self._late + 1, _LATE_MAX)
            return self._late == _LATE_MAX  # it does not get better: then late
        return True

    def _drop(self, task: Task) -> None:
        del self._tasks[task.spec.id]
        self._intake.forget(task.spec.id)
        self._observer.forget(task.spec.id)
        self._errands.forget(task.spec.id)

    async def _send_errands(self) -> None:
        world = self._world()
        wanted = {task.spec.id: (name, task) for task in self._tasks.values() if (name := errand(task, world))}
        self._errands.want(wanted)

    async def _distribute(self) -> None:
        world, now = self._world(), self.node.clock.now()
        if now >= self._tidy_due or set(map(holder_of, world.members)) != self._outgoing.holders():
            tasks = list(self._tasks.values())
            self._outgoing.want(assignments(tasks, world), absent(tasks, world))
            self._tidy_due = now + _TIDY_S
        applied = {holder_of(info): info.applied for info in world.members}
        due = self._outgoing.due(applied, now, self.node.config.timing.resend_s)
        for some in batches(due):
            await self.node.wait_may_act()
            refused = await self.node.bus.assign_all(self.record, some)
            for assignment in some:
                if assignment in refused:  # nobody else counts under this epoch; what stands there must not outlast us
                    _log.error("an assignment was refused: a higher revision stands there", node=assignment.node)
                    self._outgoing.outrank(assignment)
                else:
                    self._outgoing.sent(assignment, self.node.clock.now())
