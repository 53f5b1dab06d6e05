"""Data for scenarios: CSV text, the first line of which names the columns. Pure.

Everybody reads it with this, so that row n is the same row everywhere. Empty lines are no rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import FEEDER_COLUMNS_MAX, FEEDER_ROWS_MAX


def count_rows(name: str, text: str) -> int:
    """How many rows there are, all of them looked at; ConfigError says what is wrong with the file called `name`."""
    number = 0
    for number, _ in enumerate(rows_of(name, text), 1):
        if number > FEEDER_ROWS_MAX:
            raise ConfigError(f"data {name!r} has more than {FEEDER_ROWS_MAX:,} rows")
    if not number:
        raise ConfigError(f"data {name!r} has no rows: the first line names the columns, the others are the rows")
    return number


def rows_of(name: str, text: str) -> Iterator[dict[str, str]]:
    """The rows, each by column."""
    # Not `splitlines`: only these end a line of CSV, and a field may have others in it.
    lines = (f"{line}\n" for line in text.removeprefix("\ufeff").split("\n"))
    reader = csv.reader(lines, strict=True)
    try:
        columns = _columns(name, next((row for row in reader if row), []))
        for row in reader:
            if not row:
                continue
            if len(row) != len(columns):
                raise ConfigError(f"data {name!r}: line {reader.line_num} has {len(row)} fields, not {len(columns)}")
            yield dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise ConfigError(f"data {name!r}: line {reader.line_num} is not CSV: {error}") from None


def _columns(name: str, found: list[str]) -> list[str]:
    columns = [column.strip() for column in found]
    if not columns or not all(columns) or len(set(columns)) != len(columns) or len(columns) > FEEDER_COLUMNS_MAX:
        raise ConfigError(
            f"data {name!r}: the first line must name the columns, each once, {FEEDER_COLUMNS_MAX} at most"
        )
    return columns
