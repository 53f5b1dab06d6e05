"""`ha-stress report`: what a task became, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ha_stress.cli import options

_PANEL = "Tasks"

HtmlFile = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="One page with plots.", show_default=False)
]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Everything; `compare` and `report` read it.", show_default=False),
]
CsvFile = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="A row a second.", show_default=False)]
HgrmFile = Annotated[
    Path | None,
    typer.Option(
        "--hgrm",
        metavar="FILE",
        help="HdrHistogram percentiles of response time; those of service time go to NAME.service.hgrm.",
        show_default=False,
    ),
]
JunitFile = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="JUnit XML, for CI.", show_default=False)
]


def report(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Its id, or a JSON report of it.", show_default=False)],
    html: HtmlFile = None,
    json_file: JsonFile = None,
    csv: CsvFile = None,
    hgrm: HgrmFile = None,
    junit: JunitFile = None,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
) -> None:
    """Write what a task became: a page with plots, or files for other programs.

    Without options the page goes to TASK.html.
    """
    from ha_stress.cli.output import console

    wanted = {"html": html, "json": json_file, "csv": csv, "hgrm": hgrm, "junit": junit}
    chosen = {kind: path for kind, path in wanted.items() if path is not None}
    run = run_named(task, api, data_dir)
    if not chosen:
        chosen = {"html": Path(f"{run.task['id']}.html")}
    screen = console(stderr=True)
    for path in write_all(run, chosen):
        screen.print(f"wrote {path}", markup=False, soft_wrap=True)


def write_all(run: Any, chosen: dict[str, Path]) -> list[Path]:
    """Every file that was asked for; ConfigError if one cannot be written."""
    from ha_stress.report import write

    return [written for kind, path in chosen.items() for written in write(run, kind, path)]


def run_named(name: str, api: list[str], data_dir: Path | None) -> Any:
    """A run by the id of its task, or out of a JSON report: what looks like a file, is one."""
    from ha_stress.report import gather
    from ha_stress.report.files import read

    if name.endswith(".json") or "/" in name:
        return read(Path(name))
    from ha_stress.cli.client import Client, find_urls

    with Client(find_urls(api, data_dir)) as client:
        return gather(client, name)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=_PANEL)(report)
