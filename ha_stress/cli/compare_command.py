"""`ha-stress compare A B`: what differs between two runs, and whether that can be chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ha_stress.cli import options
from ha_stress.cli.exit_codes import EXIT_DONE, EXIT_INVALID, EXIT_REGRESSED

if TYPE_CHECKING:
    from rich.table import Table

    from ha_stress.report.compare import Comparison

_STYLES = {"better": "green", "worse": "bold red", "same": "", "unknown": "dim"}
_WORDS = {"same": "the same", "unknown": "cannot be told"}


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="The run to compare with: a task, or a JSON report.", show_default=False)
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The run in question.", show_default=False)],
    margin: Annotated[
        str, typer.Option("--margin", help="Relative differences up to this do not matter: 1%, 0.05.")
    ] = "1%",
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit with 7 if B is shown to be worse, 8 if nothing can be.")
    ] = False,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Compare two runs: differences with their bounds, and whether they can be chance.

    Exit code: 0; with --fail-on-regression, 7 if B is worse in anything, 8 if one of them is too short to show it.
    """
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.report_command import run_named
    from ha_stress.report.compare import compare as compared
    from ha_stress.report.compare import document_of

    allowed = parse_margin(margin)
    found = compared(run_named(a, api, data_dir), run_named(b, api, data_dir), margin=allowed)
    code = EXIT_DONE
    if fail_on_regression:
        code = EXIT_REGRESSED if found.regressed else EXIT_INVALID if found.too_short else EXIT_DONE
    if as_json:
        print_json(document_of(found) | {"a_is": a, "b_is": b, "exit_code": code})
    else:
        screen = console()
        screen.print(_table(found))
        screen.print()
        for remark in found.remarks:
            screen.print(remark, style="yellow", markup=False)
        screen.print(found.sentence, style="bold", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def parse_margin(text: str) -> float:
    """A part of 1, from "5%" or "0.05"."""
    from ha_stress.base.errors import ConfigError

    compact = text.strip().replace(" ", "")
    try:
        value = float(compact.removesuffix("%")) / (100 if compact.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 10:
        raise ConfigError(f"--margin {text!r} is not a share: write for example 5% or 0.05")
    return value


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Tasks")(compare)


def _table(found: Comparison) -> Table:
    from rich.text import Text

    from ha_stress.cli.layout import grid
    from ha_stress.report.compare import bounds
    from ha_stress.report.words import seconds

    table = grid("metric", "A", "B", "change", "bounds", "B is", right=("A", "B", "change", "bounds"))
    for metric, one in zip(found.metrics, found.differences, strict=True):
        change, limits = bounds(one, share=metric.share)
        word = _WORDS.get(one.result.value, one.result.value)
        if one.more_s:
            word += f": about {seconds(one.more_s)} more of each would"
        style = _STYLES[one.result.value]
        table.add_row(one.metric, metric.shown(one.a), metric.shown(one.b), change, limits, Text(word, style))
    return table
