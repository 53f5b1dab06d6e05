"""The files of the import commands, parsed as JSON or YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import IMPORT_BYTES_MAX
from ha_stress.cli.files import read_bounded, read_standard_input

#: What a bare word of YAML is: kind, pattern, characters that it begins with.
_WORDS: Final = (
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", re.compile(r"(?:[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+)$"), "-+0123456789"),
    (
        "float",
        re.compile(r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"),
        "-+.0123456789",
    ),
)
#: What PyYAML would make of bare words, and YAML 1.2 does not: dates, and "=" (of which it then makes nothing at all).
_OURS: Final = ("timestamp", "value", *(kind for kind, _, _ in _WORDS))
#: Lists and objects of YAML in each other: the fast parser recurses in C, and 100,000 of them end the process.
_NESTING_MAX: Final = 200
#: Values and characters that aliases (*name) may stand for in all, beside those that are written: a few lines of aliases of
#: aliases are more than any memory holds.
_ALIASED_MAX: Final = 10_000_000


def read_import(name: str) -> bytes:
    """The file, or standard input for "-". ConfigError if it cannot be read or is too large."""
    return read_standard_input(IMPORT_BYTES_MAX) if name == "-" else read_bounded(name, Path(name), IMPORT_BYTES_MAX)


def parse_description(name: str, text: str) -> Any:
    """JSON, or YAML if it does not begin as an object of JSON."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{name}: not JSON: {error}") from None
    return _yaml(name, text)


def _yaml(name: str, text: str) -> Any:
    import yaml

    fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # there, unless PyYAML was built without libyaml

    class Loader(fast):  # type: ignore[misc]
        """Words are what YAML 1.2 says: NO, on and 12:30 are text, and so are dates, as they are text in a request."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] not in _OURS]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for kind, pattern, begins in _WORDS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", pattern, list(begins))
    try:
        if problem := _too_much(yaml.parse(text, Loader)):
            raise ConfigError(f"{name}: {problem}")
        return yaml.load(text, Loader)  # it is a safe loader, with other words
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ConfigError(f"{name}: not YAML: {problem}") from None


def _too_much(events: Iterable[Any]) -> str:
    """Why a document of YAML would be more than can be held, looked at piece by piece; empty if it would not."""
    import yaml

    whole: dict[str | None, int] = {}  # how much each anchor stands for, once it has ended
    around: list[tuple[str | None, int]] = []  # of what is open: its anchor, and how much there was before it
    seen = aliased = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((event.anchor, seen))
            seen += 1
            if len(around) > _NESTING_MAX:
                return f"there are more than {_NESTING_MAX} lists and objects in each other"
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = around.pop()
            whole[anchor] = seen - before
        elif isinstance(event, yaml.ScalarEvent):
            whole[event.anchor] = 1 + len(event.value)
            seen += 1 + len(event.value)
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in around):
                return f"what *{event.anchor} stands for contains itself"
            size = whole.get(event.anchor, 0)  # one that nothing is known of is refused by the parser
            seen, aliased = seen + size, aliased + size
            if aliased > _ALIASED_MAX:
                return f"its aliases stand for more than {_ALIASED_MAX:,} values and characters: write less of them"
    return ""
