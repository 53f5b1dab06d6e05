"""Where words go: documents and tables to standard output, errors and progress to standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

#: Widest line for a table that goes to a pipe, where there is no terminal to ask.
PIPE_COLUMNS = 140


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


def say_error(sentence: str) -> None:
    sys.stderr.write(f"error: {sentence}\n")
    sys.stderr.flush()
