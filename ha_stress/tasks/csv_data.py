"""Data for scenarios: CSV text, the first line of which names the columns. Pure.

Everybody reads it with this, so that row n is the same row everywhere. Empty lines are no rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from operator import add
from typing import Any

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import FEEDER_COLUMNS_MAX, FEEDER_ROWS_MAX


def count_rows(name: str, text: str) -> int:
    """How many rows there are, all of them looked at; ConfigError says what is wrong with the file called `name`."""
    number = 0
    for number, _ in enumerate(read(name, text)[1], 1):
        if number > FEEDER_ROWS_MAX:
            raise ConfigError(f"data {name!r} has more than {FEEDER_ROWS_MAX:,} rows")
    if not number:
        raise ConfigError(f"data {name!r} has no rows: the first line names the columns, the others are the rows")
    return number


def read(name: str, text: str) -> tuple[list[str], Iterator[list[str]]]:
    """The columns, and the rows as they are come to. ConfigError as above, from either."""
    # Not `splitlines`: only these end a line of CSV, and a field may have others in it.
    lines = text.removeprefix("\ufeff").split("\n")
    reader = csv.reader(map(add, lines, repeat("\n")), strict=True)
    columns: list[str] = []
    with _explained(name, reader):
        columns = _columns(name, next((row for row in reader if row), []))
    return columns, _rows(name, reader, len(columns))


def _rows(name: str, reader: Any, width: int) -> Iterator[list[str]]:
    with _explained(name, reader):
        for row in reader:
            if len(row) == width:
                yield row
            elif row:
                raise ConfigError(f"data {name!r}: line {reader.line_num} has {len(row)} fields, not {width}")


@contextmanager
def _explained(name: str, reader: Any) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise ConfigError(f"data {name!r}: line {reader.line_num} is not CSV: {error}") from None


def _columns(name: str, found: list[str]) -> list[str]:
    columns = [column.strip() for column in found]
    if not columns or not all(columns) or len(set(columns)) != len(columns) or len(columns) > FEEDER_COLUMNS_MAX:
        raise ConfigError(
            f"data {name!r}: the first line must name the columns, each once, {FEEDER_COLUMNS_MAX} at most"
        )
    return columns
