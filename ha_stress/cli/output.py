"""Where words go: documents and tables to standard output, errors and progress to standard error."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Widest line for a table that goes to a pipe, where there is no terminal to ask.
PIPE_COLUMNS = 140
#: In fewer columns than this nothing reads well: then the line just wraps.
HANGING_COLUMNS_MIN = 20


def print_json(document: Any, *, line: bool = False) -> None:
    """One JSON document (`line`: on one line, flushed, for streams of documents)."""
    text = json.dumps(document, ensure_ascii=False) if line else json.dumps(document, indent=2, ensure_ascii=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """Rich, in colour only on a terminal; wide enough in a pipe that tables do not wrap."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, soft_wrap=False, width=PIPE_COLUMNS, no_color=True)
    return made


def print_line(screen: Console, head: Text, words: Text) -> None:
    """One line in a pipe; on a terminal, `words` that do not fit go on under where they began."""
    from rich.table import Table

    if not screen.is_terminal:
        screen.print(head + words, soft_wrap=True)
    elif screen.width - head.cell_len < HANGING_COLUMNS_MIN:
        screen.print(head + words)
    else:
        table = Table.grid()
        table.add_column(no_wrap=True)
        table.add_column()
        table.add_row(head, words)
        screen.print(table)


def say_error(sentence: str) -> None:
    with contextlib.suppress(OSError):  # nobody can be told that nobody can be told
        sys.stderr.write(f"error: {sentence}\n")
        sys.stderr.flush()
