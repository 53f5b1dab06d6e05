"""How values are written into a request: the styles of OpenAPI parameters. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote


@dataclass(slots=True)
class Values:
    """What the parameters of one operation become."""

    path: dict[str, str] = field(default_factory=dict)
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)


def put(values: Values, name: str, place: str, parameter: Mapping[str, Any], value: Any) -> None:
    match place:
        case "path":
            values.path[f"{{{name}}}"] = quote(_simple(value), safe="")
        case "query":
            values.query += _query_pairs(name, value, parameter)
        case "header" if name.lower() not in ("accept", "content-type", "authorization"):
            values.headers.append((name, _simple(value)))
        case "cookie":
            values.cookies.append(f"{name}={quote(_simple(value), safe='')}")


def _query_pairs(name: str, value: Any, parameter: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Styles form (the default), spaceDelimited, pipeDelimited and deepObject."""
    style = parameter.get("style", "form")
    explode = parameter.get("explode", style == "form")
    if isinstance(value, list):
        if explode:
            return [(name, text_of(one)) for one in value]
        joint = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(style, ",")
        return [(name, joint.join(text_of(one) for one in value))]
    if isinstance(value, dict):
        if style == "deepObject":
            return [(f"{name}[{key}]", text_of(one)) for key, one in value.items()]
        if explode:
            return [(str(key), text_of(one)) for key, one in value.items()]
        return [(name, _simple(value))]
    return [(name, text_of(value))]


def _simple(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(text_of(one) for one in value)
    if isinstance(value, dict):
        return ",".join(f"{key},{text_of(one)}" for key, one in value.items())
    return text_of(value)


def text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, default=str) if isinstance(value, bool | dict | list) or value is None else str(value)


def pieces_of(path: str) -> list[str]:
    """'/a/{b}/c' as '/a/', '{b}', '/c'."""
    pieces, rest = [], path
    while (begin := rest.find("{")) >= 0 and (end := rest.find("}", begin)) >= 0:
        pieces += [rest[:begin], rest[begin : end + 1]]
        rest = rest[end + 1 :]
    return [piece for piece in (*pieces, rest) if piece]
