"""`ha-stress report`: what a task became, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ha_stress.cli import options
from ha_stress.cli.exit_codes import EXIT_INPUT

if TYPE_CHECKING:
    from ha_stress.report import Run

_PANEL = "Tasks"


def _file(option: str, help: str, metavar: str = "FILE") -> Any:
    return typer.Option(option, metavar=metavar, rich_help_panel="Reports", help=help, show_default=False)


HtmlFile = Annotated[Path | None, _file("--html", "One page with plots.")]
JsonFile = Annotated[Path | None, _file("--json", "Everything; `compare` and `report` read it.")]
#: Of `run`, whose --json is the document on standard output.
JsonOut = Annotated[Path | None, _file("--json-file", "Everything, as JSON.")]
OutDir = Annotated[Path | None, _file("--out", "Write every report there.", "DIR")]
CsvFile = Annotated[Path | None, _file("--csv", "A row a second.")]
HgrmFile = Annotated[
    Path | None,
    _file("--hgrm", "HdrHistogram percentiles of response time; those of service time go to NAME.service.hgrm."),
]
JunitFile = Annotated[Path | None, _file("--junit", "JUnit XML, for CI.")]


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
    from ha_stress.cli.output import console, say_error
    from ha_stress.cli.run_outputs import check_outputs
    from ha_stress.report import write_all

    wanted = {"html": html, "json": json_file, "csv": csv, "hgrm": hgrm, "junit": junit}
    chosen = {kind: path for kind, path in wanted.items() if path is not None}
    run = run_named(task, api, data_dir)
    if not chosen:
        chosen = {"html": Path(f"{run.task['id']}.html")}
    check_outputs(chosen)
    screen = console(stderr=True)
    written, problems = write_all(run, chosen)
    for path in written:
        screen.print(f"wrote {path}", markup=False, soft_wrap=True)
    for problem in problems:
        say_error(problem)
    if problems:
        raise typer.Exit(EXIT_INPUT)


def run_named(name: str, api: list[str], data_dir: Path | None) -> Run:
    """A run by the id of its task, or out of a JSON report: what looks like a file, is one."""
    from ha_stress.base.errors import ConfigError
    from ha_stress.base.limits import IMPORT_BYTES_MAX
    from ha_stress.cli.files import read_text
    from ha_stress.report import gather, parsed

    if not name.endswith(".json") and "/" not in name and not Path(name).is_file():
        with options.client_of(api, data_dir) as client:
            return gather(client, name)
    text = read_text(name, Path(name), IMPORT_BYTES_MAX)
    try:
        return parsed(text)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=_PANEL)(report)
