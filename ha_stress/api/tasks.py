"""/tasks: what the operator wants, and the books.

Every write goes to the database first (that is the intent) and is then hinted at over the bus. A lost hint costs the
master's next look, nothing else.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from typing import Annotated
from urllib.parse import urlsplit

import trio
from fastapi import APIRouter, Query

from ha_stress.api.models import NewRate, NewTask, Task, TaskDetail, TaskList
from ha_stress.api.port import ApiNode
from ha_stress.api.problems import RESPONSES
from ha_stress.api.views import task_detail, task_view
from ha_stress.base.errors import BusUnavailable, ConfigError
from ha_stress.base.ids import check_name, new_task_id
from ha_stress.tasks.spec import HttpRequest, TaskSpec, check_rate, check_request, check_spec


def spec_of(new: NewTask, driver: str) -> TaskSpec:
    """The checked spec of a request; ConfigError with one sentence if it cannot be run."""
    pairs = new.headers.items() if isinstance(new.headers, dict) else new.headers
    request = check_request(
        HttpRequest(
            url=new.url,
            method=new.method.upper(),
            headers=tuple((name, value) for name, value in pairs),
            body=_body_of(new),
            timeout_s=new.timeout_s,
        )
    )
    return check_spec(
        TaskSpec(
            id=check_name("task id", new.id) if new.id is not None else new_task_id(),
            name=new.name if new.name is not None else _default_name(request),
            request=request,
            rate=new.rate,
            duration_s=new.duration_s,
            driver=driver,
            in_flight_max=new.in_flight_max,
            nodes_max=new.nodes_max,
        )
    )


def router_of(node: ApiNode) -> APIRouter:
    router = APIRouter(prefix="/tasks", tags=["tasks"], responses=RESPONSES)

    async def hint() -> None:
        try:
            await node.bus.hint_intent()
        except BusUnavailable:
            return  # the intent is in the database; the master reads it at its next look

    @router.post("", status_code=201)
    async def create(new: NewTask) -> Task:
        """Create a task. With a client-chosen id it may be sent again, to any node: the same task is created once."""
        spec = spec_of(new, node.config.driver)
        await node.store.create_task(spec)
        await hint()
        return task_view(await node.store.task(spec.id))

    @router.get("")
    async def every(
        open_only: Annotated[bool, Query(alias="open", description="Only tasks that have not ended")] = False,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> TaskList:
        """All tasks, without their books."""
        records = await node.store.tasks(open_only=open_only, limit=limit)
        return TaskList(tasks=[task_view(record) for record in records])

    @router.get("/{task_id}")
    async def one(task_id: str, timeline: bool = False) -> TaskDetail:
        """One task with its plan, books and latencies."""
        record = await node.store.task(task_id)
        rows = await node.store.rows(task_id)
        blobs = await node.store.latencies(task_id)
        seconds = await node.store.timeline(task_id) if timeline else None
        # Decoding two histograms takes about a millisecond each: not on the loop that renews the lease.
        return await trio.to_thread.run_sync(task_detail, record, rows, blobs, seconds)

    @router.put("/{task_id}/rate")
    async def set_rate(task_id: str, new: NewRate) -> Task:
        """Change the rate of a task that has not ended."""
        await node.store.set_rate(task_id, check_rate(new.rate))
        await hint()
        return task_view(await node.store.task(task_id))

    @router.post("/{task_id}/stop")
    async def stop(task_id: str) -> Task:
        """Stop a task; what is under way is still counted. Stopping a task that is stopping changes nothing."""
        await node.store.stop_task(task_id)
        await hint()
        return task_view(await node.store.task(task_id))

    return router


def _body_of(new: NewTask) -> bytes:
    if new.body is not None and new.body_base64 is not None:
        raise ConfigError("give body or body_base64, not both")
    if new.body_base64 is not None:
        try:
            return b64decode(new.body_base64, validate=True)
        except (Base64Error, ValueError) as error:
            raise ConfigError(f"body_base64: not base64 ({error})") from None
    try:
        return (new.body or "").encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        raise ConfigError("body: not text that has a UTF-8 form; send body_base64") from None


def _default_name(request: HttpRequest) -> str:
    parts = urlsplit(request.url)
    return f"{request.method} {parts.netloc}{parts.path}"[:200]
