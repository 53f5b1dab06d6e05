"""curl command lines, as people have them in documentation and as browsers copy them. Pure: files are read by the caller.

    requests_of("curl -X POST https://host/path -H 'A: b' -d x=1", read)

An option that is not known is refused with one sentence: a request that differs a little from what was meant is worse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote_plus

from ha_stress.base.errors import ConfigError
from ha_stress.imports import curl_options as known
from ha_stress.imports.curl_request import Command, Read, requests
from ha_stress.imports.imported import Imported, ImportedRequest, Notes, merged
from ha_stress.imports.multipart import Part
from ha_stress.imports.words import split_words


def requests_of(command_line: str, read: Read) -> Imported:
    """The requests that it would send, in their order. ConfigError is one sentence."""
    try:
        command_line.encode()
    except UnicodeEncodeError:  # bytes that a terminal took, and nobody can read
        raise ConfigError("the curl command is not UTF-8 text: put such bytes into a file, as -d @FILE") from None
    words = split_words(command_line.strip())
    if words and words[0] in ("$", "%"):  # a prompt that was copied along
        words = words[1:]
    if not words or words[0].rpartition("/")[2].removesuffix(".exe") != "curl":
        raise ConfigError("a curl command begins with the word curl: curl https://host/path")
    notes = Notes()
    found: list[ImportedRequest] = []
    for arguments in _commands(words[1:]):
        command = Command()
        for name, value in _options(arguments, notes):
            _take(command, name, value, read)
        found += requests(command, read)
    return Imported(requests=merged(found), notes=notes.all())


def _commands(words: Sequence[str]) -> Iterator[list[str]]:
    mine: list[str] = []
    for word in words:
        if word in ("--next", "-:"):
            yield mine
            mine = []
        else:
            mine.append(word)
    yield mine


def _options(words: Sequence[str], notes: Notes) -> Iterator[tuple[str, str]]:
    """(long name, value) of everything that matters; a URL is ("url", it)."""
    rest = iter(words)
    only_urls = False
    for word in rest:
        if only_urls or not word.startswith("-") or word == "-":
            yield "url", word
        elif word == "--":
            only_urls = True
        elif word.startswith("--"):
            yield from _option(word, word[2:], None, rest, notes)
        else:
            yield from _short(word, rest, notes)


def _short(word: str, rest: Iterator[str], notes: Notes) -> Iterator[tuple[str, str]]:
    """-sSL, -XPOST: letters, of which the one that takes a value takes the remainder of the word."""
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = known.SHORT.get(letter)
        if name is None:
            raise ConfigError(f"curl's option -{letter} is not known here: leave it out of the command")
        attached = letters if letters and _takes_value(name) else None
        yield from _option(f"-{letter}", name, attached, rest, notes)
        if attached is not None:
            return


def _takes_value(name: str) -> bool:
    return (
        name in known.WITH_VALUE
        or name in known.IGNORED_WITH_VALUE
        or name in known.NOTED_WITH_VALUE
        or name in ("proxy", "config", "cert")
    )


def _option(
    shown: str, name: str, attached: str | None, rest: Iterator[str], notes: Notes
) -> Iterator[tuple[str, str]]:
    if name in known.REFUSED:
        raise ConfigError(f"curl's option {shown} cannot be imported: {known.REFUSED[name]}")
    if _takes_value(name):
        value = attached if attached is not None else next(rest, None)
        if value is None:
            raise ConfigError(f"curl's option {shown} needs a value")
        if name in known.NOTED_WITH_VALUE:
            notes.say(known.NOTED_WITH_VALUE[name])
        if name in known.WITH_VALUE:
            yield name, value
    elif name in known.NOTED:
        notes.say(known.NOTED[name])
    elif name in known.FLAGS:
        yield name, ""
    elif name not in known.IGNORED:
        raise ConfigError(f"curl's option {shown} is not known here: leave it out of the command")


def _take(command: Command, name: str, value: str, read: Read) -> None:
    match name:
        case "url":
            command.urls.append(value)
        case "request":
            command.method = value
        case "header":
            lines = read(value[1:]).decode("utf-8", "replace").splitlines() if value.startswith("@") else [value]
            command.headers += [line for line in lines if line.strip()]
        case "data" | "data-ascii" | "data-raw" | "data-binary" | "data-urlencode" | "json":
            command.data.append(_data(name, value, read))
            command.json = command.json or name == "json"
        case "form" | "form-string":
            command.parts.append(_part(value, read if name == "form" else None))
        case "url-query":
            command.queries.append(value[1:] if value.startswith("+") else _encoded_pair(value, read))
        case "cookie":
            if "=" not in value:
                raise ConfigError(f"-b {value}: a cookie file cannot be imported, write the cookies as -b 'name=value'")
            command.cookies.append(value)
        case "max-time":
            command.timeout_s = _seconds(value)
        case _:
            _take_one(command, name, value)


def _take_one(command: Command, name: str, value: str) -> None:
    match name:
        case "user":
            if value and ":" not in value:
                raise ConfigError(f"curl would ask for the password of {value}: write -u {value}:PASSWORD")
            command.user = value
        case "oauth2-bearer":
            command.bearer = value
        case "user-agent":
            command.agent = value
        case "referer":
            command.referer = value.removesuffix(";auto")
        case "range":
            command.byte_range = value
        case "upload-file":
            command.upload = value
        case _:
            command.flags.add(name)


def _seconds(text: str) -> float | None:
    """None for 0, which is no limit to curl, as if nothing were said."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ConfigError(f"--max-time {text}: not a number of seconds")
    return value or None


def _data(option: str, value: str, read: Read) -> bytes:
    match option:
        case "data-raw":
            return value.encode()
        case "data-urlencode":
            return _encoded_pair(value, read).encode()
        case _ if not value.startswith("@"):
            return value.encode()
        case "data" | "data-ascii":  # text: curl takes line breaks and NULs out of a file
            return re.sub(rb"[\r\n\0]", b"", read(value[1:]))
        case _:
            return read(value[1:])


def _encoded_pair(value: str, read: Read) -> str:
    """content, =content, name=content, @file, name@file: as curl's manual has it."""
    match = re.match(r"([^=@]*)([=@])", value)
    if match is None:
        return quote_plus(value)
    name, content = match[1], value[match.end() :]
    text = quote_plus(read(content) if match[2] == "@" else content)
    return f"{name}={text}" if name else text


def _part(value: str, read: Read | None) -> Part:
    """name=value, name=@file;type=text/plain;filename=x, name=<file."""
    name, equals, content = value.partition("=")
    if not equals:
        raise ConfigError(f"-F {value}: write for example -F name=value or -F name=@file")
    if read is None:
        return Part(name=name, data=content.encode())
    content, *settings = re.split(r";(?=type=|filename=|encoder=|headers=)", content)
    chosen = dict(setting.partition("=")[::2] for setting in settings)
    kind, filename = chosen.get("type", ""), chosen.get("filename")
    if content[:1] not in ("@", "<"):
        return Part(name=name, data=_unquoted(content).encode(), kind=kind, filename=filename)
    path = _unquoted(content[1:])
    data = read(path)
    if content[0] == "<":
        return Part(name=name, data=data, kind=kind, filename=filename)
    plain = _unquoted(filename) if filename else path.rpartition("/")[2]
    return Part(name=name, data=data, kind=kind or known.type_of(plain), filename=plain)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
