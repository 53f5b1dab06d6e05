"""A run as files. What is in them is said by `document`, `rows`, `percentiles`, `junit` and `html`; here it is written."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ha_stress.base.errors import ConfigError
from ha_stress.report.document import document_of, run_of
from ha_stress.report.run import Run, distributions_of


def _json(run: Run) -> str:
    return json.dumps(document_of(run), ensure_ascii=False, indent=1) + "\n"


def _csv(run: Run) -> str:
    from ha_stress.report.rows import csv_of

    return csv_of(run)


def _junit(run: Run) -> str:
    from ha_stress.report.junit import junit_of

    return junit_of(run)


def _html(run: Run) -> str:
    from ha_stress.report.html.page import page_of

    return page_of(run)


_TEXTS: Final[dict[str, Callable[[Run], str]]] = {"json": _json, "csv": _csv, "junit": _junit, "html": _html}
#: What can be written. `hgrm` writes response times to the file that is named, service times beside it.
KINDS: Final = (*_TEXTS, "hgrm")


def write(run: Run, kind: str, path: Path) -> list[Path]:
    """Write a report; the files that were written. ConfigError if a file cannot be.

    A file is there as a whole or not at all: a report that was cut off would be believed.
    """
    if kind == "hgrm":
        from ha_stress.report.percentiles import hgrm_of

        response, service = distributions_of(run.stretches)
        beside = path.with_name(f"{path.stem}.service{path.suffix or '.hgrm'}")
        return [_put(path, hgrm_of(response)), _put(beside, hgrm_of(service))]
    if kind not in _TEXTS:
        raise ConfigError(f"{kind!r} is no form of a report: use {', '.join(KINDS)}")
    return [_put(path, _TEXTS[kind](run))]


def read(path: Path) -> Run:
    """A run out of a JSON report. ConfigError says what is wrong with the file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} is not JSON: give a JSON report (ha-stress report TASK --json FILE)") from None
    try:
        return run_of(document if isinstance(document, dict) else {})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _put(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        if path.exists() and not path.is_file():  # a pipe or a terminal: /dev/stdout
            path.write_text(text, encoding="utf-8")
            return path
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise ConfigError(f"the report {path} cannot be written: {error.strerror}") from None
    return path
