"""A body of the kind multipart/form-data. Pure: its boundary comes from what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field. `filename` None is a plain value; `kind` is its media type, "" for none."""

    name: str
    data: bytes
    filename: str | None = None
    kind: str = ""


def encoded(parts: Sequence[Part]) -> tuple[str, bytes]:
    """(value of Content-Type, body)."""
    boundary = f"----ha-stress-{sha256(repr(parts).encode()).hexdigest()[:24]}"
    lines = []
    for part in parts:
        disposition = f'form-data; name="{_quoted(part.name)}"'
        if part.filename is not None:
            disposition += f'; filename="{_quoted(part.filename)}"'
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n"
        head += f"Content-Type: {part.kind}\r\n" if part.kind else ""
        lines.append(head.encode() + b"\r\n" + part.data + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(lines) + f"--{boundary}--\r\n".encode()


def _quoted(text: str) -> str:
    """As browsers do it."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
