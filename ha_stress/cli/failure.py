"""The one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any

from ha_stress.base.errors import HaStressError, NotAllowed, Unavailable, UserError
from ha_stress.cli.exit_codes import (
    EXIT_DEFECT,
    EXIT_DONE,
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    EXIT_NOT_ALLOWED,
    EXIT_UNAVAILABLE,
)
from ha_stress.cli.output import print_json, say_error


def explain(error: BaseException, *, as_json: bool) -> int:
    """Say what happened, in one sentence; the exit code."""
    leaves = list(_leaves(error))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves) or type(error).__name__ == "Abort":
        return EXIT_INTERRUPTED
    first = leaves[0]
    if isinstance(first, BrokenPipeError):
        return EXIT_DONE
    if isinstance(first, SystemExit):
        return first.code if isinstance(first.code, int) else EXIT_DEFECT
    if hasattr(first, "format_message"):  # Typer's own errors, whichever Click it brings
        code, sentence = EXIT_INPUT, _usage(first)
    elif isinstance(first, NotAllowed):
        code, sentence = EXIT_NOT_ALLOWED, str(first)
    elif isinstance(first, UserError):
        code, sentence = EXIT_INPUT, str(first)
    elif isinstance(first, Unavailable):
        code, sentence = EXIT_UNAVAILABLE, str(first)
    elif isinstance(first, OSError) and first.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        code, sentence = EXIT_DEFECT, f"writing failed: {first.strerror}"
    elif isinstance(first, HaStressError):
        code, sentence = EXIT_DEFECT, str(first)
    else:
        code, sentence = EXIT_DEFECT, _defect(error, first)
    if not sentence:
        return EXIT_DONE if type(first).__name__ == "NoArgsIsHelpError" else code
    say_error(sentence)
    if as_json:
        with contextlib.suppress(OSError):
            print_json({"error": sentence})
    return code


def _leaves(error: BaseException) -> list[BaseException]:
    """The errors inside of exception groups; those that we raise on purpose come first."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    found = [leaf for member in error.exceptions for leaf in _leaves(member)]
    return sorted(found, key=lambda leaf: not isinstance(leaf, HaStressError))


def _usage(error: Any) -> str:
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stdout.write(error.format_message().rstrip() + "\n")
        return ""
    context = getattr(error, "ctx", None)
    hint = f" (see `{context.command_path} --help`)" if context is not None else ""
    return f"{str(error.format_message()).strip().rstrip('.')}{hint}"


def _defect(error: BaseException, first: BaseException) -> str:
    """Keep the traceback in a file, so that the person gets a sentence and the report gets everything."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    what = f"unexpected {type(first).__name__}: {str(first).splitlines()[0] if str(first) else 'no message'}"
    if os.environ.get("HA_STRESS_DEBUG"):
        sys.stderr.write(text)
    try:
        with tempfile.NamedTemporaryFile("w", prefix="ha-stress-", suffix=".log", delete=False) as file:
            file.write(text)
    except OSError:
        return f"{what} (run it again with `ha-stress --debug ...` for the traceback)"
    return f"{what} (a defect of this program; the traceback is in {file.name})"
