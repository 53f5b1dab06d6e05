"""The application: routers put together, errors in one shape, request bodies bounded."""

from __future__ import annotations

from contextlib import suppress

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ha_stress import __version__
from ha_stress.api import cluster, health, problems, tasks
from ha_stress.api.port import ApiNode
from ha_stress.base.limits import API_BODY_BYTES_MAX


class _BodyTooLarge(Exception):
    """Ends the reading of a body; whatever the application makes of it, the answer is 413."""


class BoundedBody:
    """ASGI middleware: answer 413 instead of reading a body above `limit` bytes into memory."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.limit:
                raise _BodyTooLarge
            return message

        async def unless_refused(message: Message) -> None:
            if size <= self.limit:
                await send(message)

        with suppress(_BodyTooLarge):
            await self.app(scope, counted, unless_refused)
        if size > self.limit:
            refusal = problems.problem(413, f"the request is larger than {self.limit} bytes")
            await refusal(scope, receive, send)


def create_app(node: ApiNode) -> FastAPI:
    """The API of one node. Any node serves all of it: intent goes to the database, whoever is master."""
    app = FastAPI(
        title="HA Stress",
        version=__version__,
        description="A distributed load-testing cluster whose controller can die. Any node answers every call.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # the usual page loads its scripts from a foreign host
        redoc_url=None,
    )
    problems.install(app)
    for router in (tasks.router_of(node), cluster.router_of(node), health.router_of(node)):
        app.include_router(router, prefix="/api/v1")
    # Probes are configured by hand and live at the root in Patroni: both places answer.
    app.include_router(health.router_of(node), include_in_schema=False)
    app.add_middleware(BoundedBody, limit=API_BODY_BYTES_MAX)
    return app
