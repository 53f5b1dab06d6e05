"""A command line as a POSIX shell (and bash's $'...') splits it into words. Pure.

`shlex` does not know $'...', in which browsers copy requests. Nothing is expanded: `$NAME` stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

from ha_stress.base.errors import ConfigError

_PLAIN: Final = re.compile(r"[^\s\\'\"$]+")
_DOUBLE: Final = re.compile(r"[^\\\"]+")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))", re.S)
_LETTERS: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_UNCLOSED: Final = "a quote is not closed"
#: A word of this kind is of the shell: what follows it is not of the command.
OPERATORS: Final = frozenset(("|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1", "&>"))


def split_words(text: str) -> list[str]:
    """ConfigError if a quote is not closed, or if there is more than one command."""
    words: list[str] = []
    word: list[str] | None = None
    at = 0
    bare = True
    while at < len(text):
        if text[at].isspace():
            _finish(words, word, bare)
            word, bare, at = None, True, at + 1
            continue
        if text.startswith(("\\\n", "\\\r\n"), at):  # a continued line
            at = text.index("\n", at) + 1
            continue
        if word is None and text[at] == "^" and text[at + 1 : at + 2] in ("", '"', "\r", "\n"):
            raise ConfigError("this was copied for Windows' cmd, with ^ in it: choose 'Copy as cURL (bash)'")
        bare = bare and text[at] not in "'\"\\"
        piece, at = _piece(text, at)
        word = [*(word or []), piece]
    _finish(words, word, bare)
    return words


def _finish(words: list[str], word: list[str] | None, bare: bool) -> None:
    if word is None:
        return
    whole = "".join(word)
    if bare and whole in OPERATORS:
        raise ConfigError(f"only one command can be imported: leave out {whole!r} and what follows it")
    words.append(whole)


def _piece(text: str, at: int) -> tuple[str, int]:
    """The piece of a word that begins at `at`, unquoted, and where it ends."""
    if text.startswith("$'", at):
        return _ansi(text, at + 2)
    match text[at]:
        case "'":
            end = text.find("'", at + 1)
            if end < 0:
                raise ConfigError(_UNCLOSED)
            return text[at + 1 : end], end + 1
        case '"':
            return _double(text, at + 1)
        case "\\":
            return text[at + 1 : at + 2], at + 2
        case "$":
            return "$", at + 1
    plain = _PLAIN.match(text, at)
    assert plain is not None
    return plain[0], plain.end()


def _double(text: str, at: int) -> tuple[str, int]:
    pieces = []
    while at < len(text) and text[at] != '"':
        if text[at] != "\\":
            plain = _DOUBLE.match(text, at)
            assert plain is not None
            pieces.append(plain[0])
            at = plain.end()
            continue
        following = text[at + 1 : at + 2]
        if following not in ("\n", '"', "\\", "$", "`"):
            pieces.append("\\")
        pieces.append("" if following == "\n" else following)
        at += 2
    if at >= len(text):
        raise ConfigError(_UNCLOSED)
    return "".join(pieces), at + 1


def _ansi(text: str, at: int) -> tuple[str, int]:
    end = at
    while end < len(text) and text[end] != "'":
        end += 2 if text[end] == "\\" else 1
    if end >= len(text):
        raise ConfigError(_UNCLOSED)
    plain = _ESCAPE.sub(_unescaped, text[at:end])
    try:  # browsers write what is beyond 16 bits as two escapes
        return plain.encode("utf-16", "surrogatepass").decode("utf-16"), end + 1
    except UnicodeDecodeError:
        raise ConfigError("an escape in $'...' is half of a character") from None


def _unescaped(match: re.Match[str]) -> str:
    two, four, eight, octal, letter = match.groups()
    number = two or four or eight
    if number or octal:
        value = int(number, 16) if number else int(octal, 8)
        return chr(value) if value <= 0x10FFFF else match[0]
    return _LETTERS.get(letter, letter if letter in "\\'\"?" else match[0])
