"""Paths into a JSON document: the small part of JSONPath (RFC 9535) that a check needs. Pure.

    $                the document            $.items[0].id     members and elements
    $['two words']   any name                $.items[-1]       the last element
    $.items[*].id    every element's         $.prices.*        every member's

A path finds a list of values: none where it leads nowhere, several only with `*`.
"""

from __future__ import annotations

import re
from typing import Any, Final

#: One step: `.name`, `.*`, `[0]`, `[-1]`, `[*]`, `['name']`, `["name"]`.
_STEP: Final = re.compile(
    r"""\.(?P<name>[^\W\d][\w-]*)|(?P<every>\.\*|\[\*\])|\[(?P<index>-?[0-9]{1,9})\]"""
    r"""|\[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]"""
)
EVERY: Final = None

#: A member's name, an element's index, or EVERY.
Step = str | int | None


def split_path(text: str) -> tuple[str, str]:
    """The path at the beginning of `text`, and what follows it; the path is empty if there is none."""
    if not text.startswith("$"):
        return "", text
    end = 1
    while step := _STEP.match(text, end):
        end = step.end()
    return text[:end], text[end:]


def parse_path(text: str) -> tuple[Step, ...] | None:
    """The steps of a path; None if `text` is not one."""
    path, rest = split_path(text)
    if rest or not path:
        return None
    return tuple(_step(match) for match in _STEP.finditer(path, 1))


def _step(match: re.Match[str]) -> Step:
    if match["name"] is not None:
        return match["name"]
    if match["index"] is not None:
        return int(match["index"])
    if match["quoted"] is not None:
        return re.sub(r"\\(.)", r"\1", match["quoted"][1:-1])
    return EVERY


def find(document: Any, steps: tuple[Step, ...]) -> list[Any]:
    """What the path leads to."""
    found = [document]
    for step in steps:
        if step is EVERY:
            found = [value for one in found for value in _members(one)]
        elif isinstance(step, str):
            found = [one[step] for one in found if isinstance(one, dict) and step in one]
        else:
            found = [one[step] for one in found if isinstance(one, list) and -len(one) <= step < len(one)]
    return found


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
