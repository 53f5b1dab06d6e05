"""The ground that all views stand on: quiet tables, and figures as people read them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

#: Columns of words and addresses: they give way on a narrow terminal, so that names and figures stay whole.
_FLOWING = {"address", "api", "master", "name", "outcome", "remarks", "shares", "verdict", "why"}


class _Words(Table):
    """What stands in a cell are words, also where they have brackets, of which Rich would make styles."""

    def add_row(self, *cells: RenderableType | None, **settings: Any) -> None:
        super().add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), **settings)


def grid(*columns: str, right: Sequence[str] = ()) -> Table:
    """A quiet table: no frame but a rule under the head."""
    table = _Words(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column not in _FLOWING,
            overflow="fold",
            header_style="dim",
        )
    return table


def spaced(*parts: RenderableType) -> Group:
    """Parts under each other with an empty line between."""
    return Group(*[piece for part in parts for piece in (Text(), part)][1:]) if parts else Group()


def ms(value: float | None) -> str:
    """Milliseconds as people read them: 0.42, 3.1, 128, 1,204."""
    if value is None:
        return "-"
    if abs(value) < 1:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def clock_time(unix_s: float, *, milliseconds: bool = False) -> str:
    at = datetime.fromtimestamp(unix_s)
    return at.strftime("%H:%M:%S") + (f".{at.microsecond // 1000:03d}" if milliseconds else "")


def node_of(who: Mapping[str, Any] | None) -> str:
    return str((who or {}).get("node") or "-")
