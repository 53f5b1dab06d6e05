"""What people type: headers and pairs. Pure; a ConfigError is one sentence with an example."""

from __future__ import annotations

from collections.abc import Iterable

from ha_stress.base.errors import ConfigError


def parse_headers(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of "Name: value" lines."""
    pairs = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ConfigError(f"header {line!r} has no name: write for example 'Accept: text/html'")
        pairs.append((name.strip(), value.strip()))
    return pairs


def parse_pairs(option: str, items: Iterable[str]) -> dict[str, str]:
    """A mapping of "key=value" items."""
    pairs: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ConfigError(f"{option} {item!r} is not of the form key=value")
        pairs[key.strip()] = value.strip()
    return pairs
