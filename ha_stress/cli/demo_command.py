"""`ha-stress demo`: the options; the conduct is in `demo`, the display in `demo_view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ha_stress.cli import options


def demo(
    rate: Annotated[str, typer.Option("--rate", "-r", help="Requests per second.")] = "500",
    duration: Annotated[str, typer.Option("--duration", "-t", help="How long the load runs.")] = "20s",
    kill_at: Annotated[str, typer.Option("--kill-at", help="When the master is killed.")] = "8s",
    restart_at: Annotated[str, typer.Option("--restart-at", help="When it is started again.")] = "14s",
    down_after: Annotated[str, typer.Option("--down-after", help="Silence that makes a node suspect.")] = "1s",
    target: Annotated[
        str,
        typer.Option("--target", envvar="TARGET", help="Load this instead of the counting server.", show_default=False),
    ] = "",
    nodes: Annotated[int, typer.Option("--nodes", min=2, max=32)] = 3,
    sentinels: Annotated[int, typer.Option("--sentinels", min=1, max=15)] = 3,
    allow: options.Allow = [],  # noqa: B006
    keep: Annotated[Path | None, typer.Option("--keep", help="Keep logs and data in this directory.")] = None,
    as_json: options.Json = False,
) -> None:
    """Kill the master under load, watch the failover, check the books. Exit code 0 only if everything held."""
    from ha_stress.base.quantities import parse_duration, parse_rate
    from ha_stress.cli.demo import DemoSpec, conduct
    from ha_stress.cli.demo_view import DemoView
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.up_command import stop_on_term

    spec = DemoSpec(
        rate=parse_rate(rate),
        duration_s=parse_duration(duration),
        kill_at_s=parse_duration(kill_at),
        restart_at_s=parse_duration(restart_at),
        down_after_s=parse_duration(down_after),
        target_url=target,
        nodes=nodes,
        sentinels=sentinels,
        allow=options.allowed_of(allow),
        keep=keep,
    )
    stop_on_term()
    view = DemoView(console(stderr=as_json), quiet=as_json)
    report = conduct(spec, view)
    if as_json:
        print_json(report)
    raise typer.Exit(0 if report["ok"] else 1)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start here")(demo)
