"""`ha-stress status`, `events` and `failovers`: what is and what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ha_stress.cli import options

if TYPE_CHECKING:
    from pathlib import Path

_PANEL = "Cluster"


def status(api: options.Api = [], data_dir: options.DataDir = None, as_json: options.Json = False) -> None:  # noqa: B006
    """Who is who: master, nodes, sentinels, Redis and the database."""
    from ha_stress.cli.cluster_views import status_view
    from ha_stress.cli.output import console, print_json

    with options.client_of(api, data_dir) as client:
        found = client.status()
    if as_json:
        print_json(found)
    else:
        console().print(status_view(found))


def events(
    after: Annotated[int, typer.Option("--after", min=0, help="Only events with a higher sequence.")] = 0,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they happen, until Ctrl-C.")] = False,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """What happened, oldest first; says so where some were missed. With --follow and --json: one JSON object a line."""
    from ha_stress.cli.gaps import Gaps
    from ha_stress.cli.output import console, print_json, print_line
    from ha_stress.cli.views import event_line, gap_line

    screen = console()
    gaps = Gaps(after)

    def say(event: dict[str, Any]) -> None:
        if gap := gaps.seen(event):
            if as_json:
                print_json(gap.as_json(), line=True)
            else:
                screen.print(gap_line(gap.sentence), soft_wrap=True)
        if as_json:
            print_json(event, line=True)
        else:
            print_line(screen, *event_line(event))

    with options.client_of(api, data_dir) as client:
        found = client.events(after, limit)
        if as_json and not follow:
            missed = [gap.as_json() for event in found if (gap := gaps.seen(event))]
            print_json({"events": found, "gaps": missed})
            return
        for event in found:
            say(event)
        if not follow:
            return
        for event in client.follow(found[-1]["sequence"] if found else after):
            say(event)


failovers_app = typer.Typer(name="failovers", help="Failovers, their phases and candidate tables.")


@failovers_app.callback(invoke_without_command=True)
def _listing(
    context: typer.Context,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    if context.invoked_subcommand is None:
        _list_failovers(api, data_dir, as_json)


@failovers_app.command("list")
def list_failovers(api: options.Api = [], data_dir: options.DataDir = None, as_json: options.Json = False) -> None:  # noqa: B006
    """All failovers that are remembered."""
    _list_failovers(api, data_dir, as_json)


@failovers_app.command("show")
def show_failover(
    epoch: Annotated[int, typer.Argument(help="Its epoch.", show_default=False)],
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """One failover: phases, votes, and why each candidate won or did not."""
    from ha_stress.cli.failover_views import failover_view
    from ha_stress.cli.output import console, print_json

    with options.client_of(api, data_dir) as client:
        record = client.failover(epoch)
    if as_json:
        print_json(record)
    else:
        console().print(failover_view(record))


def _list_failovers(api: list[str], data_dir: Path | None, as_json: bool) -> None:
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.views import failovers_table

    with options.client_of(api, data_dir) as client:
        records = client.failovers()
    if as_json:
        print_json({"failovers": records})
    elif records:
        console().print(failovers_table(records))
    else:
        console().print("No failover has happened yet.")


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=_PANEL)(status)
    app.command(rich_help_panel=_PANEL)(events)
    app.add_typer(failovers_app, rich_help_panel=_PANEL)
