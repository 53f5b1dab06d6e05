"""Small pieces of a page: tables, figures, marks of a legend. Everything that comes from outside is escaped here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Raw:
    """HTML that is already made; everything else is text."""

    html: str


Cell = str | Raw


def text(cell: Cell) -> str:
    return cell.html if isinstance(cell, Raw) else escape(cell)


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[int] = (), caption: str = "") -> str:
    """`right` are the columns of figures. A wide table scrolls by itself, not with the page."""
    ends = set(right)

    def attribute(index: int) -> str:
        return ' class="n"' if index in ends else ""

    top = "".join(f'<th scope="col"{attribute(i)}>{escape(name)}</th>' for i, name in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{attribute(i)}>{text(cell)}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, *parts: str, lead: str = "", name: str = "") -> str:
    words = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f'<section id="{escape(name)}"><h2>{escape(title)}</h2>{words}{"".join(parts)}</section>' if parts else ""


def tile(label: str, value: str, note: str, tone: str = "") -> str:
    figure = f"{escape(value)}<small>{escape(note)}</small>"
    return f'<div class="tile {escape(tone)}"><dt>{escape(label)}</dt><dd>{figure}</dd></div>'


def key(kind: str, label: str) -> str:
    """An entry of a legend."""
    return f'<li><i class="key {escape(kind)}"></i>{escape(label)}</li>'


def word(tone: str, words: str) -> Raw:
    """A coloured word: passed, failed."""
    return Raw(f'<b class="word {escape(tone)}">{escape(words)}</b>')


def bar(share: float, tone: str = "") -> Raw:
    """A share of a whole, drawn."""
    return Raw(
        f'<span class="bar"><i class="{escape(tone)}" style="width:{100 * min(max(share, 0), 1):.2f}%"></i></span>'
    )
