"""A run as files. What is in them is said by `document`, `rows`, `percentiles`, `junit` and `html`; here it is written."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ha_stress.base.errors import ConfigError
from ha_stress.report.document import document_of
from ha_stress.report.run import Run, distributions_of


def _json(run: Run) -> str:
    return json.dumps(document_of(run), ensure_ascii=False, indent=1) + "\n"


def _csv(run: Run) -> str:
    from ha_stress.report.rows import csv_of

    return csv_of(run)


def _requests_csv(run: Run) -> str:
    from ha_stress.report.request_rows import requests_csv_of

    return requests_csv_of(run)


def _junit(run: Run) -> str:
    from ha_stress.report.junit import junit_of

    return junit_of(run)


def _html(run: Run) -> str:
    from ha_stress.report.html.page import page_of

    return page_of(run)


_TEXTS: Final[dict[str, Callable[[Run], str]]] = {"json": _json, "csv": _csv, "junit": _junit, "html": _html}
#: What can be written. `hgrm` writes response times to the file that is named, service times beside it; `csv` writes beside
#: it the figures by request, where there are several.
KINDS: Final = (*_TEXTS, "hgrm")
#: What the name of the second file says.
_SECOND: Final = {"hgrm": "service", "csv": "requests"}


def write(run: Run, kind: str, path: Path) -> list[Path]:
    """Write a report; the files that were written. ConfigError if a file cannot be.

    A file is there as a whole or not at all: a report that was cut off would be believed.
    """
    if kind == "hgrm":
        from ha_stress.report.percentiles import hgrm_of

        response, service = distributions_of(run.stretches)
        return [_put(path, hgrm_of(response)), _put(_beside(kind, path), hgrm_of(service))]
    if kind not in _TEXTS:
        raise ConfigError(f"{kind!r} is no form of a report: use {', '.join(KINDS)}")
    written = [_put(path, _TEXTS[kind](run))]
    if kind == "csv" and (requests := _requests_csv(run)):
        written.append(_put(_beside(kind, path), requests))
    return written


def write_all(run: Run, wanted: Mapping[str, Path]) -> tuple[list[Path], list[str]]:
    """`wanted` is kind -> file. Which files were written, and a sentence for each that could not be."""
    written: list[Path] = []
    problems: list[str] = []
    for kind, path in wanted.items():
        try:
            written += write(run, kind, path)
        except ConfigError as error:
            problems.append(str(error))
    return written, problems


def files_of(kind: str, path: Path) -> list[Path]:
    """What `write` may write."""
    return [path, _beside(kind, path)] if kind in _SECOND else [path]


def _beside(kind: str, path: Path) -> Path:
    """The second file of a kind that has two."""
    return path.with_name(f"{path.stem}.{_SECOND[kind]}{path.suffix or f'.{kind}'}")


def _put(path: Path, text: str) -> Path:
    data = text.encode("utf-8", "replace")  # halves of characters have no form in it
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        if path.exists() and not path.is_file():  # a pipe or a terminal: /dev/stdout
            path.write_bytes(data)
            return path
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise ConfigError(f"the report {path} cannot be written: {error.strerror}") from None
    return path
