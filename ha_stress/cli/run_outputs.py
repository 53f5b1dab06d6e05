"""The files that a run leaves behind."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ha_stress.base.errors import ConfigError, HaStressError

if TYPE_CHECKING:
    from ha_stress.cli.client import Client
    from ha_stress.cli.plan_file import RunPlan

#: Names of the files in a directory that is to have them all.
_ALL = {"html": "report.html", "json": "report.json", "csv": "report.csv", "hgrm": "report.hgrm", "junit": "junit.xml"}


def outputs_of(plan: RunPlan, out: Path | None, files: Mapping[str, Path]) -> dict[str, Path]:
    """Kind -> file: what is typed goes before what the plan says. ConfigError if it cannot be written there: better now than
    after an hour of load."""
    planned = dict(plan.outputs)
    directory = out or planned.pop("dir", None)
    planned.pop("dir", None)
    every = {kind: directory / name for kind, name in _ALL.items()} if directory is not None else {}
    outputs = {**every, **planned, **files}
    check_outputs(outputs)
    return outputs


def check_outputs(outputs: Mapping[str, Path]) -> None:
    """Make their directories. ConfigError for what can be seen not to work, before there is anything to be lost."""
    from ha_stress.report.files import files_of

    owners: dict[Path, str] = {}
    for kind, wanted in outputs.items():
        for path in [wanted] if wanted.is_dir() else files_of(kind, wanted):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"reports cannot be written to {path.parent}: {error.strerror}") from None
            if path.is_dir():
                raise ConfigError(f"the {kind} report cannot be written to {path}: it is a directory")
            if not os.access(path if path.exists() and not path.is_file() else path.parent, os.W_OK):
                raise ConfigError(f"the {kind} report cannot be written to {path}: permission denied")
            owner = owners.setdefault(path.absolute(), kind)
            if owner != kind and (path.is_file() or not path.exists()):
                raise ConfigError(f"the {owner} report and the {kind} report cannot both be written to {path}")


def write_outputs(
    client: Client, tasks: Sequence[Mapping[str, Any]], outputs: Mapping[str, Path], *, several: bool
) -> tuple[list[Path], list[str]]:
    """Write what was asked for; of `several` tasks each gets files with its name. The files, and a sentence for each that
    could not be written."""
    from ha_stress.report import gather, write_all

    written: list[Path] = []
    problems: list[str] = []
    for number, task in enumerate(tasks if outputs else ()):
        own = {kind: named(path, str(task["name"]), number) for kind, path in outputs.items()}
        try:
            found = gather(client, task["id"])
        except HaStressError as error:  # what the run is worth is known, and said, all the same
            problems.append(f"the report of {task['name']} cannot be made: {error}")
            continue
        some, failed = write_all(found, own if several else outputs)
        written += some
        problems += failed
    return written, problems


def named(path: Path, name: str, number: int) -> Path:
    """report.html for the task "Check out": report.2-check-out.html."""
    word = re.sub(r"[\W_]+", "-", name.lower()).strip("-")[:40]
    return path.with_name(f"{path.stem}.{number + 1}{'-' + word if word else ''}{path.suffix}")
