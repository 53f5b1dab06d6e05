"""`ha-stress run URL`: load something from this machine alone; nothing to set up, nothing left behind."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ha_stress.cli import options
from ha_stress.cli.task_commands import Body, Header, InFlight, Method, Name, Rate, Timeout, Url, described

if TYPE_CHECKING:
    from ha_stress.cli.client import Client

EXIT_REQUESTS, EXIT_BOOKS, EXIT_TIMEOUT = 4, 5, 6
_POLL_S = 0.25
#: After the last arrival: the request timeout, and this long for the last frames to be committed.
_SETTLE_S = 20.0


def run(
    url: Url,
    rate: Rate = "10",
    duration: Annotated[str, typer.Option("--duration", "-t", help="20s, 1m30s.")] = "10s",
    name: Name = "",
    method: Method = "GET",
    header: Header = [],  # noqa: B006
    body: Body = "",
    timeout: Timeout = "10s",
    in_flight_max: InFlight = 1024,
    engines: Annotated[int, typer.Option("--engines", min=1, max=64, help="Load processes.")] = 1,
    timing: options.Timing = [],  # noqa: B006
    as_json: options.Json = False,
) -> None:
    """Load URL at a fixed arrival rate from this machine, and show the books.

    Exit code: 0 every request completed; 4 some failed, were dropped or not covered; 5 the books do not balance;
    6 the results did not arrive in time.
    """
    from ha_stress.base.errors import ConfigError
    from ha_stress.cli.local import LocalCluster, LocalSpec
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.parse import parse_pairs
    from ha_stress.cli.up_command import checked_timing, stop_on_term

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
    )
    if task["duration_s"] is None:
        raise ConfigError("--duration is empty: a run has an end, write for example 20s, 1m30s or 500ms")
    stop_on_term()
    screen = console(stderr=as_json)
    if screen.is_terminal:
        screen.print(f"{task['method']} {task['url']}", style="bold", markup=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="ha-stress-") as directory:
        spec = LocalSpec(
            data_dir=Path(directory),
            nodes=1,
            sentinels=0,
            engines=engines,
            timing=checked_timing(parse_pairs("--timing", timing)),
        )
        with LocalCluster(spec) as cluster, cluster.client() as client:
            client.create_task(task)
            found, interrupted = _until_ended(client, task, screen)
    code = 130 if interrupted else exit_code(found)
    if as_json:
        print_json(found | {"ok": code == 0, "exit_code": code, "interrupted": interrupted})
    else:
        from ha_stress.cli.views import summary

        screen.print(summary(found))
        screen.print()
        screen.print(_verdict(found, code))
    raise typer.Exit(code)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start here")(run)


def exit_code(task: dict[str, Any]) -> int:
    """What the books of a run mean to whoever called it."""
    books = task["books"]
    if task["status"] != "ended":
        return EXIT_TIMEOUT
    if not books["balanced"]:
        return EXIT_BOOKS
    return 0 if books["completed"] == books["intended"] else EXIT_REQUESTS


def _until_ended(client: Client, task: dict[str, Any], screen: Any) -> tuple[dict[str, Any], bool]:
    """Show progress until the books are closed; Ctrl-C stops the task, and the rest is still counted."""
    from ha_stress.cli.progress import progress_of, shown

    interrupted = False
    began = time.monotonic()
    deadline = began + task["duration_s"] + task["timeout_s"] + _SETTLE_S
    with progress_of(screen) as progress:
        bar = progress.add_task(task["url"], total=task["duration_s"], note="starting")
        while True:
            try:
                found = client.task(task["id"])
                progress.update(bar, **shown(found, task["duration_s"]))
                if found["status"] == "ended" or time.monotonic() > deadline:
                    return found, interrupted
                time.sleep(_POLL_S)
            except KeyboardInterrupt:
                if interrupted:
                    raise  # the second time means it
                interrupted = True
                client.stop_task(task["id"])
                deadline = min(deadline, time.monotonic() + task["timeout_s"] + _SETTLE_S)


def _verdict(task: dict[str, Any], code: int) -> str:
    books = task["books"]
    return {
        0: f"[bold green]All {books['completed']:,} requests completed; the books balance.[/]",
        EXIT_REQUESTS: "[bold red]Not every request completed:[/] see failed, dropped and uncovered above.",
        EXIT_BOOKS: "[bold red]The books do not balance:[/] that is a defect of this program, please report it.",
        EXIT_TIMEOUT: "[bold red]The last results did not arrive in time.[/]",
        130: "[yellow]Stopped by Ctrl-C; this is what was done until then.[/]",
    }[code]
