"""`ha-stress task ...`: what the operator wants, through the API of any node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ha_stress.cli import options

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Its id.", show_default=False)]
Url = Annotated[str, typer.Argument(metavar="URL", help="What to load.", show_default=False)]
Rate = Annotated[str, typer.Option("--rate", "-r", help="Arrivals per second: 500, 1.5k, 90/min.")]
Method = Annotated[str, typer.Option("--method", "-X", help="HTTP method.")]
Header = Annotated[
    list[str], typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Repeatable.", show_default=False)
]
Body = Annotated[
    str, typer.Option("--body", "-d", help="Request body; @FILE reads it from a file.", show_default=False)
]
Timeout = Annotated[str, typer.Option("--timeout", help="Time limit of one request.")]
InFlight = Annotated[int, typer.Option("--in-flight-max", help="Requests under way in one engine.")]
Name = Annotated[str, typer.Option("--name", help="For people. [default: method and address]", show_default=False)]

task_app = typer.Typer(name="task", help="Create, watch and change tasks.", no_args_is_help=True)


@task_app.command()
def create(
    url: Url,
    rate: Rate,
    duration: Annotated[str, typer.Option("--duration", "-t", help="20s, 1m30s. [default: until stopped]")] = "",
    name: Name = "",
    method: Method = "GET",
    header: Header = [],  # noqa: B006
    body: Body = "",
    timeout: Timeout = "10s",
    in_flight_max: InFlight = 1024,
    nodes_max: Annotated[int, typer.Option("--nodes-max", help="Use at most so many nodes; 0 is all.")] = 0,
    id: Annotated[str, typer.Option("--id", help="Its id. [default: random]")] = "",
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Create a task; the master spreads it over the nodes."""
    task = described(
        url,
        rate=rate,
        duration=duration,
        name=name,
        method=method,
        header=header,
        body=body,
        timeout=timeout,
        in_flight_max=in_flight_max,
        task_id=id,
    )
    if nodes_max:
        task["nodes_max"] = nodes_max
    with _client(api, data_dir) as client:
        _show(client.create_task(task), as_json)


@task_app.command("list")
def every(api: options.Api = [], data_dir: options.DataDir = None, as_json: options.Json = False) -> None:  # noqa: B006
    """All tasks."""
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.views import tasks_table

    with _client(api, data_dir) as client:
        tasks = client.tasks()
    if as_json:
        print_json({"tasks": tasks})
    else:
        console().print(tasks_table(tasks))


@task_app.command()
def show(
    task: TaskId,
    timeline: Annotated[bool, typer.Option("--timeline", help="With the sums of each second.")] = False,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """One task: plan, books, latencies."""
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.views import task_panel

    with _client(api, data_dir) as client:
        detail = client.task(task, timeline=timeline)
    if as_json:
        print_json(detail)
    else:
        console().print(task_panel(detail))


@task_app.command("rate")
def change_rate(
    task: TaskId,
    rate: Annotated[str, typer.Argument(metavar="RATE", help="500, 1.5k, 90/min.", show_default=False)],
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Change the rate of a running task."""
    from ha_stress.cli.parse import parse_rate

    wanted = parse_rate(rate)
    with _client(api, data_dir) as client:
        _show(client.set_rate(task, wanted), as_json)


@task_app.command()
def stop(
    task: TaskId,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Stop a task; what is under way is still counted."""
    with _client(api, data_dir) as client:
        _show(client.stop_task(task), as_json)


def add_to(app: typer.Typer) -> None:
    app.add_typer(task_app, rich_help_panel="Tasks")


def described(
    url: str,
    *,
    rate: str,
    duration: str,
    name: str,
    method: str,
    header: list[str],
    body: str,
    timeout: str,
    in_flight_max: int,
    task_id: str = "",
) -> dict[str, Any]:
    """The request of the API for what was typed; bad input is refused here, before anything is started or asked."""
    from base64 import b64encode

    from ha_stress.base.ids import check_name, new_task_id
    from ha_stress.cli.parse import parse_duration, parse_headers, parse_rate
    from ha_stress.tasks.spec import HttpRequest, TaskSpec, check_spec

    request = HttpRequest(
        url=url,
        method=method.upper(),
        headers=tuple(parse_headers(header)),
        body=_body(body),
        timeout_s=parse_duration(timeout),
    )
    spec = check_spec(
        TaskSpec(
            id=check_name("task id", task_id) if task_id else new_task_id(),
            name=name or "unnamed",
            request=request,
            rate=parse_rate(rate),
            duration_s=parse_duration(duration) if duration else None,
            in_flight_max=in_flight_max,
        )
    )
    return {
        "id": spec.id,
        "name": name or None,
        "url": request.url,
        "method": request.method,
        "headers": [list(pair) for pair in request.headers],
        "body_base64": b64encode(request.body).decode("ascii"),
        "timeout_s": request.timeout_s,
        "rate": spec.rate,
        "duration_s": spec.duration_s,
        "in_flight_max": spec.in_flight_max,
    }


def _body(text: str) -> bytes:
    from ha_stress.base.errors import ConfigError

    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise ConfigError(f"--body {text}: {error.strerror}") from None


def _client(api: list[str], data_dir: Path | None) -> Any:
    from ha_stress.cli.client import Client, find_urls

    return Client(find_urls(api, data_dir))


def _show(task: dict[str, Any], as_json: bool) -> None:
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.views import tasks_table

    if as_json:
        print_json(task)
    else:
        console().print(tasks_table([task]))
