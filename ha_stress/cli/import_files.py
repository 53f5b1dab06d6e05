"""The files of the import commands: read with a bound, parsed as JSON or YAML."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import IMPORT_BYTES_MAX


def read_import(name: str) -> bytes:
    """The file, or standard input for "-". ConfigError if it cannot be read or is too large."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(IMPORT_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as opened:
                data = opened.read(IMPORT_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from None
    if len(data) > IMPORT_BYTES_MAX:
        raise ConfigError(f"{name}: it is larger than {IMPORT_BYTES_MAX >> 20} MiB")
    return data


def text_of(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: it is not UTF-8 text") from None


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
        """Dates stay text: that is what they are in a request."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader)  # it is a safe loader, with one resolver less
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ConfigError(f"{name}: not YAML: {problem}") from None
