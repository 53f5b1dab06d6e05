"""Where words go: documents and tables to standard output, errors and progress to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Widest line for a table that goes to a pipe, where there is no terminal to ask.
PIPE_COLUMNS = 140
#: In fewer columns than this nothing reads well: then the line just wraps.
HANGING_COLUMNS_MIN = 20


class Lasting:
    """A stream that takes words also when nobody reads them any more: what is done does not depend on who looks.

    Attributes:
        problem: why words were lost, once they were; None if a reader has just gone away.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.problem: OSError | None = None

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: OSError) -> None:
        """From now on, and what the stream still holds, into nothing."""
        self.problem = self.problem or (None if isinstance(error, BrokenPipeError) else error)
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def print_json(document: Any, *, line: bool = False, to: Any = None) -> None:
    """One JSON document (`line`: on one line, flushed, for streams of documents)."""
    stream = to or sys.stdout
    plain = not str(stream.encoding or "").lower().startswith("utf")
    stream.write(json.dumps(document, ensure_ascii=plain, indent=None if line else 2) + "\n")
    stream.flush()


def console(*, stderr: bool = False, lasting: bool = False) -> Console:
    """Rich, in colour only on a terminal; wide enough in a pipe that tables do not wrap."""
    from rich.console import Console

    stream: Any = sys.stderr if stderr else sys.stdout
    file: Any = Lasting(stream) if lasting else None
    made = Console(file=file, stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(file=file, stderr=stderr, highlight=False, soft_wrap=False, width=PIPE_COLUMNS, no_color=True)
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
