"""Imported requests as a test plan for `ha-stress run plan.toml`: a draft, whose rate and duration are to be set. Pure."""

from __future__ import annotations

import json
from typing import Final

from ha_stress.base.errors import ConfigError
from ha_stress.imports.imported import Imported, ImportedRequest

#: What stands in a draft until somebody decides it: little enough to be harmless.
RATE: Final = 1
DURATION: Final = "30s"


def plan_toml(imported: Imported, name: str) -> str:
    """The text of the plan. ConfigError if a body is not text: a plan names such a one by its file."""
    lines = [f"# {note}" for note in imported.notes]
    lines += [
        "[[tasks]]",
        f"name = {_text(name)}",
        f"rate = {RATE}  # arrivals per second",
        f"duration = {_text(DURATION)}",
    ]
    for request in imported.requests:
        lines += ["", "[[tasks.requests]]", *_lines(request)]
    return "\n".join(lines) + "\n"


def _lines(request: ImportedRequest) -> list[str]:
    lines = [f"url = {_text(request.url)}"]
    if request.method != "GET":
        lines.append(f"method = {_text(request.method)}")
    if request.body:
        try:
            lines.append(f"body = {_text(request.body.decode())}")
        except UnicodeDecodeError:
            raise ConfigError(
                f"the body of {request.method} {request.url} is not text: import into a .json file"
            ) from None
    if request.timeout_s is not None:
        lines.append(f"timeout = {float(request.timeout_s)!r}")
    if request.http2:
        lines.append("http2 = true")
    if request.weight != 1:
        lines.append(f"weight = {request.weight}")
    if request.name:
        lines.append(f"name = {_text(request.name)}")
    headers: dict[str, str] = {}
    for header, value in request.headers:
        if header in headers:  # one name, several values: the same as one value with all of them
            joint = "; " if header.lower() == "cookie" else ", "
            value = f"{headers[header]}{joint}{value}"
        headers[header] = value
    if headers:
        lines.append(
            "headers = { " + ", ".join(f"{_text(key)} = {_text(value)}" for key, value in headers.items()) + " }"
        )
    return lines


def _text(text: str) -> str:
    """A basic string of TOML: as in JSON, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
