"""Errors as answers: one JSON shape, one sentence, the status says who is to blame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ha_stress import log
from ha_stress.api.models import Problem
from ha_stress.base.errors import Conflict, Fenced, HaStressError, NotAllowed, NotFound, Unavailable, UserError

#: Characters of an error sentence; nobody reads more.
SENTENCE_MAX = 1_000

#: For the OpenAPI document: what any call may answer besides its own.
RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": text}
    for code, text in (
        (400, "The request is wrong; the sentence says where"),
        (403, "A rule of the operator forbids it, for example the list of who may be loaded"),
        (404, "No such thing"),
        (409, "The request contradicts the present state"),
        (503, "Redis or the database does not answer; try again"),
    )
}


def status_of(error: HaStressError) -> int:
    """The HTTP status of one of our own errors."""
    kinds = ((NotAllowed, 403), (NotFound, 404), (Conflict, 409), (UserError, 400), (Unavailable, 503), (Fenced, 409))
    for kind, status in kinds:
        if isinstance(error, kind):
            return status
    return 500


def problem(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer. What the caller sent may be part of the sentence: it is cut, kept on one line, and made encodable."""
    line = " ".join(sentence[: SENTENCE_MAX + 1].split())
    if len(sentence) > SENTENCE_MAX:
        line = line[: SENTENCE_MAX - 3] + "..."
    content = {"error": line.encode("utf-8", "backslashreplace").decode()}
    return JSONResponse(content, status_code=status, headers=headers)


def sentence_of(error: RequestValidationError) -> str:
    """All problems of a request in one sentence, each with its path."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"] if part not in ("body", "query", "path"))
        if item["type"] == "json_invalid":
            parts.append("the body is not JSON: " + str(item.get("ctx", {}).get("error", item["msg"])))
        elif item["type"] == "extra_forbidden":
            parts.append(f"{where}: unknown field")
        else:
            message = str(item["msg"]).removeprefix("Value error, ")
            parts.append(f"{where}: {message}" if where else f"the body: {message}")
    return "; ".join(parts)


def install(app: FastAPI) -> None:
    """Make every error of `app` a `Problem`."""
    logger = log.get("api")

    @app.exception_handler(HaStressError)
    async def _ours(_: Request, error: HaStressError) -> JSONResponse:
        return problem(status_of(error), str(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem(400, sentence_of(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404 and error.detail == "Not Found":
            return problem(404, f"there is nothing at {request.url.path}; /api/v1/openapi.json lists what there is")
        if error.status_code == 405:
            return problem(405, f"{request.url.path} does not answer to {request.method}", error.headers)
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> JSONResponse:
        logger.error("api defect", path=request.url.path, error=repr(error), exc_info=error)
        return problem(500, f"a defect of the server ({type(error).__name__}); its log has the traceback")
