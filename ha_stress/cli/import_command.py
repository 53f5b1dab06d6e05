"""`ha-stress import ...`: requests that exist elsewhere, as the list that `--requests FILE` reads, or as a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ha_stress.cli import options

if TYPE_CHECKING:
    from ha_stress.imports.imported import Imported

Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Write it here: a list, or a plan.toml. \\[default: standard output]"
    ),
]
Header = Annotated[
    list[str], typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Send it with each; repeatable.")
]

import_app = typer.Typer(name="import", help="Requests from curl, HAR and OpenAPI.", no_args_is_help=True)


@import_app.command()
def curl(
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="'curl ...', quoted; - reads it.")] = "-",
    out: Out = None,
    as_json: options.Json = False,
) -> None:
    """The requests of a curl command line, as browsers copy it."""
    from ha_stress.cli.files import text_of
    from ha_stress.cli.import_files import read_import
    from ha_stress.imports.curl import requests_of

    text = text_of("standard input", read_import("-")) if command == "-" else command
    _show(requests_of(text, read_import), [], out, as_json)


@import_app.command()
def har(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A HAR file; - reads standard input.")],
    host: Annotated[
        list[str], typer.Option("--host", help="Only requests to it, or below *.example.org; repeatable.")
    ] = [],  # noqa: B006
    cookies: Annotated[bool, typer.Option("--cookies", help="Keep cookies.")] = False,
    static: Annotated[bool, typer.Option("--static/--no-static", help="Images, fonts, styles and scripts too.")] = True,
    http2: Annotated[bool, typer.Option("--http2", help="Send by HTTP/2 what was recorded so.")] = False,
    header: Header = [],  # noqa: B006
    out: Out = None,
    as_json: options.Json = False,
) -> None:
    """The requests that a browser or proxy has recorded; equal ones become one with a weight."""
    from ha_stress.cli.import_files import read_import
    from ha_stress.imports.har import requests_of

    found = requests_of(read_import(file), hosts=host, cookies=cookies, static=static, http2=http2)
    _show(found, header, out, as_json)


@import_app.command()
def openapi(
    file: Annotated[str, typer.Argument(metavar="FILE", help="OpenAPI 3, JSON or YAML; - reads standard input.")],
    base: Annotated[str, typer.Option("--base", metavar="URL", help="Of the server. \\[default: the first]")] = "",
    method: Annotated[list[str], typer.Option("--method", "-X", help="Only these; repeatable.")] = [],  # noqa: B006
    tag: Annotated[list[str], typer.Option("--tag", help="Only operations with it; repeatable.")] = [],  # noqa: B006
    header: Header = [],  # noqa: B006
    out: Out = None,
    as_json: options.Json = False,
) -> None:
    """One request for each operation, with example values."""
    from ha_stress.cli.files import text_of
    from ha_stress.cli.import_files import parse_description, read_import
    from ha_stress.imports.openapi import requests_of

    document = parse_description(file, text_of(file, read_import(file)))
    _show(requests_of(document, base_url=base, methods=method, tags=tag), header, out, as_json)


def _show(found: Imported, header: list[str], out: Path | None, as_json: bool) -> None:
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.parse import parse_headers

    found = found.with_headers(parse_headers(header))
    if out is not None:
        _write(found, out)
    if as_json:
        print_json({"requests": found.to_api(), "notes": list(found.notes)})
        return
    screen = console(stderr=True)
    for note in found.notes:
        screen.print(f"note: {note}", markup=False, soft_wrap=True)
    if out is None:
        typer.echo(_list(found), nl=False)
        return
    count = f"{len(found.requests)} request{'s' * (len(found.requests) != 1)}"
    how = f"ha-stress run {out}" if out.suffix == ".toml" else f"--requests {out}"
    screen.print(f"wrote {count} to {out}; run them with {how}", markup=False, soft_wrap=True)


def _write(found: Imported, out: Path) -> None:
    from ha_stress.base.errors import ConfigError
    from ha_stress.imports.plan import plan_toml

    text = plan_toml(found, out.stem) if out.suffix == ".toml" else _list(found)
    try:
        out.write_text(text, "utf-8", errors="replace")  # halves of characters, as JSON can write them
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from None


def _list(found: Imported) -> str:
    import json

    return json.dumps(found.to_api(), indent=2, ensure_ascii=False) + "\n"


def add_to(app: typer.Typer) -> None:
    app.add_typer(import_app, rich_help_panel="Tasks")
