"""Files that somebody names: read with a bound, and one sentence for what is wrong with them.

A device has no end, and a pipe may have nobody who writes into it: neither makes a command hang.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Any, Final

from ha_stress.base.errors import ConfigError

#: Whoever writes into a pipe has begun by then.
SILENCE_S: Final = 10.0
_PIECE_BYTES: Final = 1 << 20


def read_bounded(what: str, file: Path, bytes_max: int) -> bytes:
    """The whole of it. ConfigError begins with `what` it is: the option and the name, as they were typed."""
    try:
        with open(file, "rb", buffering=0, opener=_at_once) as opened:
            return _read(what, opened, bytes_max, None if opened.isatty() else SILENCE_S)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise ConfigError(f"{what}: {getattr(error, 'strerror', None) or error}") from None


def read_text(what: str, file: Path, bytes_max: int) -> str:
    return text_of(what, read_bounded(what, file, bytes_max))


def read_standard_input(bytes_max: int) -> bytes:
    """All that comes, however long it takes: who pipes into a command knows what comes."""
    try:
        with open(0, "rb", buffering=0, closefd=False) as opened:
            return _read("standard input", opened, bytes_max, None)
    except OSError as error:
        raise ConfigError(f"standard input: {error.strerror}") from None


def text_of(what: str, data: bytes) -> str:
    """UTF-8, with or without the mark that some editors put in front of it."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{what}: it is not UTF-8 text") from None


def _at_once(path: str, flags: int) -> int:
    """Opening a pipe would wait for somebody who opens its other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read(what: str, opened: Any, bytes_max: int, silence_s: float | None) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size <= bytes_max:
        if not select.select([opened], [], [], silence_s)[0]:
            raise ConfigError(f"{what}: nothing came out of it for {silence_s:g} s")
        piece = opened.read(_PIECE_BYTES)
        if piece == b"":
            return b"".join(pieces)
        pieces.append(piece or b"")  # None: somebody else was faster
        size += len(pieces[-1])
    raise ConfigError(f"{what}: it is larger than {_size(bytes_max)}")


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count:,} bytes"
