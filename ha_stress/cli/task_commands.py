"""`ha-stress task ...`: what the operator wants, through the API of any node."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ha_stress.cli import options
from ha_stress.cli.task_options import TaskOptions, takes_task

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Its id.", show_default=False)]

task_app = typer.Typer(name="task", help="Create, watch and change tasks.", no_args_is_help=True)


@task_app.command()
@takes_task
def create(
    task: TaskOptions,
    nodes_max: Annotated[int, typer.Option("--nodes-max", help="Use at most so many nodes; 0 is all.")] = 0,
    id: Annotated[str, typer.Option("--id", help="Its id. \\[default: random]")] = "",
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Create a task; the master spreads it over the nodes. It runs until stopped, unless it is given a duration."""
    from ha_stress.cli.task_document import described

    document = described(task, task_id=id)
    if nodes_max:
        document["nodes_max"] = nodes_max
    with options.client_of(api, data_dir) as client:
        _show(client.create_task(document), as_json)


@task_app.command("list")
def every(api: options.Api = [], data_dir: options.DataDir = None, as_json: options.Json = False) -> None:  # noqa: B006
    """All tasks."""
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.views import tasks_table

    with options.client_of(api, data_dir) as client:
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

    with options.client_of(api, data_dir) as client:
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
    from ha_stress.base.quantities import parse_rate

    wanted = parse_rate(rate)
    with options.client_of(api, data_dir) as client:
        _show(client.set_rate(task, wanted), as_json)


@task_app.command("stop")
def stop_one(
    task: TaskId,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Stop a task; what is under way is still counted."""
    with options.client_of(api, data_dir) as client:
        _show(client.stop_task(task), as_json)


def stop(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Its id.", show_default=False)] = "",
    every: Annotated[bool, typer.Option("--all", help="Every task that has not ended.")] = False,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Stop a task, or with --all every load at once; what is under way is still counted."""
    from ha_stress.base.errors import ConfigError
    from ha_stress.cli.output import console, print_json

    if bool(task) == every:
        raise ConfigError("say which task to stop, or --all (`ha-stress task list` names them)")
    with options.client_of(api, data_dir) as client:
        stopped = client.stop_all() if every else [client.stop_task(task)["id"]]
    if as_json:
        print_json({"stopped": stopped})
    else:
        words = ", ".join(stopped) if stopped else "Nothing to stop: no task runs."
        console().print(f"Stopping: {words}" if stopped else words, markup=False, soft_wrap=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(task_app, rich_help_panel="Tasks")
    app.command(rich_help_panel="Tasks")(stop)


def _show(task: dict[str, Any], as_json: bool) -> None:
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.views import tasks_table

    if as_json:
        print_json(task)
    else:
        console().print(tasks_table([task]))
