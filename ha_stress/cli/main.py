"""`ha-stress`: the commands put together. What an error becomes is said in `failure`."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import NoReturn

import typer

from ha_stress.cli import (
    compare_command,
    demo_command,
    doctor_command,
    import_command,
    operator_commands,
    report_command,
    run_command,
    server_commands,
    task_commands,
    up_command,
    watch_commands,
)
from ha_stress.cli.failure import explain

app = typer.Typer(
    name="ha-stress",
    help="A distributed load-testing cluster whose controller can die.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from ha_stress import __version__

        sys.stdout.write(f"ha-stress {__version__}\n")
        raise typer.Exit


@app.callback()
def _globals(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    debug: bool = typer.Option(False, "--debug", envvar="HA_STRESS_DEBUG", help="Show the traceback of a defect."),
) -> None:
    if debug:
        os.environ["HA_STRESS_DEBUG"] = "1"


_MODULES = (
    up_command,
    run_command,
    demo_command,
    server_commands,
    task_commands,
    report_command,
    compare_command,
    import_command,
    watch_commands,
    operator_commands,
    doctor_command,
)
for _module in _MODULES:
    _module.add_to(app)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run one command and exit; no traceback whatever happens."""
    words = sys.argv[1:] if argv is None else argv
    _open_standard_files()
    _replace_what_has_no_form()
    try:
        code = app(args=words, prog_name="ha-stress", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001  this is the boundary
        code = explain(error, as_json="--json" in words)
    # A reader that went away (`| head`) must not turn into a message at interpreter exit.
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code if isinstance(code, int) else 0)


def _open_standard_files() -> None:
    """Give descriptors 0 to 2 back to those who were started without (`>&-`), before a socket gets such a number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115  it lives as long as the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  it lives as long as the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  it lives as long as the process


#: What is said with signs that not every encoding has.
_PLAIN = {"✓": "+", "✗": "x", "·": "-", "…": "~", "━": "=", "╸": "=", "─": "-"}


def _replace_what_has_no_form() -> None:
    """A terminal or a pipe that is not UTF-8 gets plain signs, instead of an error in their midst."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end

    codecs.register_error("plain-signs", plain)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="plain-signs")
