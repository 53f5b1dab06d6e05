"""The files of the import commands, parsed as JSON or YAML."""

from __future__ import annotations

import json
import re
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

    class Loader(yaml.SafeLoader):
        """Words are what YAML 1.2 says: NO, on and 12:30 are text, and so are dates, as they are text in a request."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] not in _OURS]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for kind, pattern, begins in _WORDS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", pattern, list(begins))
    try:
        return yaml.load(text, Loader)  # it is a safe loader, with other words
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ConfigError(f"{name}: not YAML: {problem}") from None
