"""Answers that may be large, made in a thread: the node that answers may be the master, whose loop renews a lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from fastapi import Response
from pydantic import BaseModel


async def answered(make: Callable[..., BaseModel], *args: Any, status_code: int = 200) -> Response:
    """What `make(*args)` returns, as JSON. For routes that declare that model as their `response_model`."""

    def rendered() -> Response:
        return Response(make(*args).model_dump_json(), status_code, media_type="application/json")

    return await trio.to_thread.run_sync(rendered)
