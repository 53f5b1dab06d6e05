"""/tasks: what the operator wants, and the books.

Every write goes to the database first (that is the intent) and is then hinted at over the bus. A lost hint costs the
master's next look, nothing else.
"""

from __future__ import annotations

from typing import Annotated

import trio
from fastapi import APIRouter, Query, Response

from ha_stress.api.allowed import check_scenario, check_targets, lookups
from ha_stress.api.answers import answered
from ha_stress.api.by_request import several
from ha_stress.api.creation import drafted
from ha_stress.api.models import Task, TaskDetail, TaskList
from ha_stress.api.models_task import NewRate, NewTask, Stopped
from ha_stress.api.port import ApiNode
from ha_stress.api.problems import RESPONSES
from ha_stress.api.verdict import measured
from ha_stress.api.views import task_detail, task_view
from ha_stress.api.windows import LiveWindows
from ha_stress.base.errors import BusUnavailable
from ha_stress.base.targets import AllowedTargets
from ha_stress.tasks.admission import check_rate
from ha_stress.tasks.caps import RateCaps


def router_of(node: ApiNode) -> APIRouter:
    router = APIRouter(prefix="/tasks", tags=["tasks"], responses=RESPONSES)
    allowed = AllowedTargets.parse(node.config.allow)
    limiter = lookups()
    windows = LiveWindows(node.store)
    caps = RateCaps(task=node.config.rate_max_task, cluster=node.config.rate_max_cluster)

    async def hint() -> None:
        try:
            await node.bus.hint_intent()
        except BusUnavailable:
            return  # the intent is in the database; the master reads it at its next look

    async def shown(task_id: str, status_code: int = 200) -> Response:
        return await answered(task_view, await node.store.task(task_id), status_code=status_code)

    @router.post("", status_code=201, response_model=Task)
    async def create(new: NewTask) -> Response:
        """Create a task. With a client-chosen id it may be sent again, to any node: the same task is created once."""
        # Looking through megabytes of data takes a while: not on the loop that renews the lease.
        draft = await trio.to_thread.run_sync(drafted, new, node.config.driver)
        check_scenario(draft.spec, node.config)
        await check_targets(draft.spec, allowed, limiter)
        for data in draft.blobs.values():
            await node.store.put_blob(data)
        await node.store.create_task(draft.spec, caps)
        await hint()
        return await shown(draft.spec.id, 201)

    @router.get("", response_model=TaskList)
    async def every(
        open_only: Annotated[bool, Query(alias="open", description="Only tasks that have not ended")] = False,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> Response:
        """All tasks, without their books."""
        records = await node.store.tasks(open_only=open_only, limit=limit)
        return await answered(lambda: TaskList(tasks=[task_view(record) for record in records]))

    @router.get("/{task_id}", response_model=TaskDetail)
    async def one(task_id: str, timeline: bool = False) -> Response:
        """One task with its plan, books and latencies."""
        record = await node.store.task(task_id)
        rows, blobs = await node.store.rows(task_id), await node.store.latencies(task_id)
        requests = await node.store.requests(task_id) if several(record.spec) else {}
        seconds = await node.store.timeline(task_id) if timeline else None
        found = await measured(node.store, record, windows)
        return await answered(task_detail, record, rows, blobs, requests, seconds, found)

    @router.put("/{task_id}/rate", response_model=Task)
    async def set_rate(task_id: str, new: NewRate) -> Response:
        """Change the rate of a task that has not ended."""
        await node.store.set_rate(task_id, check_rate(new.rate), caps)
        await hint()
        return await shown(task_id)

    @router.post("/stop")
    async def stop_all() -> Stopped:
        """Stop every task; what is under way is still counted."""
        stopped = await node.store.stop_all()
        await hint()
        return Stopped(stopped=stopped)

    @router.post("/{task_id}/stop", response_model=Task)
    async def stop(task_id: str) -> Response:
        """Stop a task; what is under way is still counted. Stopping a task that is stopping changes nothing."""
        await node.store.stop_task(task_id)
        await hint()
        return await shown(task_id)

    return router
