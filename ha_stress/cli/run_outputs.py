"""The files that a run leaves behind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ha_stress.base.errors import ConfigError

if TYPE_CHECKING:
    from ha_stress.cli.client import Client
    from ha_stress.cli.plan_file import RunPlan

#: Names of the files in a directory that is to have them all.
_ALL = {"html": "report.html", "json": "report.json", "csv": "report.csv", "hgrm": "report.hgrm", "junit": "junit.xml"}


def outputs_of(plan: RunPlan, out: Path | None, files: Mapping[str, Path]) -> dict[str, Path]:
    """Kind -> file: what is typed goes before what the plan says. ConfigError if a directory cannot be made: better now
    than after an hour of load."""
    planned = dict(plan.outputs)
    directory = out or planned.pop("dir", None)
    planned.pop("dir", None)
    every = {kind: directory / name for kind, name in _ALL.items()} if directory is not None else {}
    outputs = {**every, **planned, **files}
    for parent in {path.parent for path in outputs.values()}:
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"reports cannot be written to {parent}: {error.strerror}") from None
    return outputs


def write_outputs(client: Client, tasks: Sequence[Mapping[str, Any]], outputs: Mapping[str, Path]) -> list[Path]:
    """Write what was asked for; with several tasks each gets files with its name."""
    if not outputs:
        return []
    from ha_stress.report import gather, write

    written = []
    for number, task in enumerate(tasks):
        run = gather(client, task["id"])
        for kind, path in outputs.items():
            written += write(run, kind, path if len(tasks) == 1 else named(path, str(task["name"]), number))
    return written


def named(path: Path, name: str, number: int) -> Path:
    """report.html for the task "Check out": report.2-check-out.html."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return path.with_name(f"{path.stem}.{number + 1}{'-' + word if word else ''}{path.suffix}")
