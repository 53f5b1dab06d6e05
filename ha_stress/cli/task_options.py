"""The options that describe a task, for every command that has one. What becomes of them is in `task_document`.

    @app.command()
    @takes_task
    def create(task: TaskOptions, as_json: options.Json = False) -> None: ...

gives `create` an option for each field of `TaskOptions`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

_LOAD, _REQUEST, _JUDGE, _SCENARIO = "Load", "Request", "Judgement", "Scenario"


def _option(*names: str, panel: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, show_default=settings.pop("show_default", False), **settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """As they were typed. What was left out is None, or as good as empty."""

    url: Annotated[str, typer.Argument(metavar="URL", help="What to load.", show_default=False)] = ""
    name: Annotated[
        str, typer.Option("--name", help="For people. \\[default: method and address]", show_default=False)
    ] = ""
    rate: Annotated[
        str | None, _option("--rate", "-r", panel=_LOAD, help="Arrivals per second: 500, 1.5k, 90/min.")
    ] = None
    duration: Annotated[
        str | None, _option("--duration", "-t", panel=_LOAD, help="20s, 1m30s. \\[default: the profile's stages]")
    ] = None
    profile: Annotated[
        str,
        _option(
            "--profile",
            panel=_LOAD,
            metavar="SHAPE",
            help="How the rate changes: 'ramp 0..1000 in 60s', 'stages 100@30s,500@1m', 'steps 100,200 every 30s', "
            "'sine 100..500 every 60s'.",
        ),
    ] = ""
    arrivals: Annotated[
        str,
        _option(
            "--arrivals", panel=_LOAD, help="How they are spread: uniform, poisson, poisson:SEED.", show_default=True
        ),
    ] = "uniform"
    users: Annotated[
        int, _option("--users", panel=_LOAD, min=0, help="Instead of a rate: users who wait for their answers.")
    ] = 0
    think_time: Annotated[
        str, _option("--think-time", panel=_LOAD, help="What a user waits from an answer to the next request.")
    ] = ""
    warm_up: Annotated[
        str, _option("--warm-up", panel=_LOAD, help="So much of the begin is not in the statistics, only in the books.")
    ] = ""
    in_flight_max: Annotated[
        int, _option("--in-flight-max", panel=_LOAD, help="Requests under way in one engine.", show_default=True)
    ] = 1024
    method: Annotated[str, _option("--method", "-X", panel=_REQUEST, help="HTTP method.", show_default=True)] = "GET"
    header: Annotated[
        list[str], _option("--header", "-H", panel=_REQUEST, metavar="'NAME: VALUE'", help="Repeatable.")
    ] = field(default_factory=list)
    body: Annotated[
        str, _option("--body", "-d", panel=_REQUEST, help="Request body, or the message; @FILE reads it from a file.")
    ] = ""
    timeout: Annotated[
        str, _option("--timeout", panel=_REQUEST, help="Time limit of one request.", show_default=True)
    ] = "10s"
    http2: Annotated[bool, _option("--http2", panel=_REQUEST, help="HTTP/2.")] = False
    expect: Annotated[
        str, _option("--expect", panel=_REQUEST, help="ws, wss, tcp: the answer is what has this text in it.")
    ] = ""
    requests: Annotated[
        Path | None,
        _option("--requests", panel=_REQUEST, metavar="FILE", help="JSON list of requests, sent in turn by weight."),
    ] = None
    curl: Annotated[
        str,
        _option("--curl", panel=_REQUEST, metavar="'curl ...'", help="What this command would send, instead of URL."),
    ] = ""
    check: Annotated[
        list[str],
        _option("--check", panel=_JUDGE, help="Of each answer: 'status == 200', 'body contains ok'; repeatable."),
    ] = field(default_factory=list)
    threshold: Annotated[
        list[str],
        _option("--threshold", panel=_JUDGE, help="Of the run: 'p99 < 200ms', 'error_rate < 1%'; repeatable."),
    ] = field(default_factory=list)
    scenario: Annotated[
        Path | None,
        _option("--scenario", panel=_SCENARIO, metavar="FILE", help="Python with `async def scenario(user)`."),
    ] = None
    data: Annotated[
        list[str],
        _option("--data", panel=_SCENARIO, metavar="NAME=FILE.csv", help="Rows for it; repeatable."),
    ] = field(default_factory=list)
    data_once: Annotated[
        list[str],
        _option("--data-once", panel=_SCENARIO, metavar="NAME=FILE.csv", help="Each row is used once."),
    ] = field(default_factory=list)


def takes_task(command: Callable[..., None]) -> Callable[..., None]:
    """See the module. The first parameter of `command` is the TaskOptions; it keeps its others."""
    hints = get_type_hints(TaskOptions, include_extras=True)
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=_default(one), annotation=hints[one.name])
        for one in fields(TaskOptions)
    ]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        task = TaskOptions(**{one.name: given.pop(one.name) for one in shared})
        command(task, **given)

    called.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in (*shared, *own)}
    return called


def _default(one: Any) -> Any:
    return one.default if one.default is not MISSING else one.default_factory()
