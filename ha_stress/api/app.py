"""The application: routers put together, errors in one shape, a bound on what a request may cost."""

from __future__ import annotations

import trio
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from ha_stress import __version__
from ha_stress.api import cluster, controls, health, insight, metrics, problems, series, tasks
from ha_stress.api.gate import Gate
from ha_stress.api.port import ApiNode


def create_app(node: ApiNode) -> FastAPI:
    """The API of one node. Any node serves all of it: intent goes to the database, whoever is master."""
    app = FastAPI(
        title="HA Stress",
        version=__version__,
        description="A distributed load-testing cluster whose controller can die. Any node answers every call.",
        openapi_url=None,  # described in a thread, see below
        docs_url=None,  # the usual page loads its scripts from a foreign host
        redoc_url=None,
    )
    problems.install(app)
    for part in (tasks, series, cluster, controls, insight, health, metrics):
        app.include_router(part.router_of(node), prefix="/api/v1")
    # Probes are configured by hand and live at the root in Patroni, and so do Prometheus' metrics: both places answer.
    for part in (health, metrics):
        app.include_router(part.router_of(node), include_in_schema=False)

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    async def described() -> JSONResponse:
        return JSONResponse(await trio.to_thread.run_sync(app.openapi))

    app.add_middleware(Gate)
    return app
