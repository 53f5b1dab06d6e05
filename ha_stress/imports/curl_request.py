"""From what a curl command says to the requests that it would send. Pure."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from ha_stress.base.errors import ConfigError
from ha_stress.imports.imported import URL_SAFE, ImportedRequest
from ha_stress.imports.multipart import Part, encoded
from ha_stress.tasks.protocols import HTTP

#: Reads the file that a command line names; the caller raises ConfigError if it cannot.
Read = Callable[[str], bytes]

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"
#: What curl would make several URLs of.
_GLOB: Final = re.compile(r"\{[^{}]*,[^{}]*\}|\[(?:\d+-\d+|[a-z]-[a-z]|[A-Z]-[A-Z])(?::\d+)?\]")


@dataclass(slots=True)
class Command:
    """What was said so far about the requests of one command (until --next)."""

    urls: list[str] = field(default_factory=list)
    method: str = ""
    headers: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    json: bool = False
    user: str = ""
    bearer: str = ""
    cookies: list[str] = field(default_factory=list)
    agent: str | None = None
    referer: str = ""
    byte_range: str = ""
    upload: str = ""
    timeout_s: float | None = None
    flags: set[str] = field(default_factory=set)


def requests(command: Command, read: Read) -> Iterator[ImportedRequest]:
    if not command.urls:
        raise ConfigError("the curl command names no URL")
    if bool(command.data) + bool(command.parts) + bool(command.upload) > 1:
        raise ConfigError("the curl command has several bodies: -d, -F and -T do not go together")
    body, kind = _body(command, read)
    as_query = "get" in command.flags
    for url in command.urls:
        if "globoff" not in command.flags and _GLOB.search(url):
            raise ConfigError(f"curl would make several URLs of {url}: write each of them, or add -g")
        query = [*command.queries, *([body.decode("utf-8", "replace")] if as_query and body else [])]
        plain, user = _url(_with_name(url, command.upload), query)
        yield ImportedRequest(
            url=plain,
            method=_method(command).upper(),
            headers=_headers(command, kind, command.user or user),
            body=b"" if as_query else body,
            timeout_s=command.timeout_s,
            http2=bool(command.flags & {"http2", "http2-prior-knowledge"}),
        )


def _with_name(url: str, upload: str) -> str:
    """Where -T FILE goes: a URL without a file in it gets the file's name, as it would with curl."""
    split = re.match(r"(.*?//)?([^/?#]*)([^?#]*)(.*)", url, re.DOTALL)
    assert split is not None
    scheme, host, path, rest = split.groups()
    if upload in ("", "-", ".") or (path and not path.endswith("/")):
        return url
    return f"{scheme or ''}{host}{path or '/'}{quote(upload.rpartition('/')[2], safe='')}{rest}"


def _method(command: Command) -> str:
    if command.method:
        return command.method
    if "head" in command.flags:
        return "HEAD"
    if command.upload:
        return "PUT"
    posts = (command.data and "get" not in command.flags) or command.parts
    return "POST" if posts else "GET"


def _body(command: Command, read: Read) -> tuple[bytes, str]:
    """The body and its media type; ("" for none)."""
    if command.parts:
        kind, body = encoded(command.parts)
        return body, kind
    if command.upload:
        return read(command.upload), ""
    if not command.data:
        return b"", ""
    if command.json:
        return b"".join(command.data), _JSON
    return b"&".join(command.data), "" if "get" in command.flags else _FORM


def _headers(command: Command, kind: str, user: str) -> tuple[tuple[str, str], ...]:
    """Those of -H, and behind them what other options ask for, unless -H sets or removes it."""
    given, removed = _given(command.headers)
    added = [
        ("Authorization", f"Basic {b64encode(user.encode()).decode()}" if user else ""),
        ("Authorization", f"Bearer {command.bearer}" if command.bearer else ""),
        ("User-Agent", command.agent or ""),
        ("Referer", command.referer),
        ("Range", f"bytes={command.byte_range}" if command.byte_range else ""),
        ("Cookie", "; ".join(command.cookies)),
        ("Accept-Encoding", "gzip, deflate" if "compressed" in command.flags else ""),
        ("Content-Type", kind),
        ("Accept", _JSON if command.json else ""),
    ]
    taken = {name.lower() for name, _ in given} | removed
    return (*given, *((name, value) for name, value in added if value and name.lower() not in taken))


def _given(lines: Sequence[str]) -> tuple[list[tuple[str, str]], set[str]]:
    """'Name: value' sets, 'Name;' sets to nothing, 'Name:' removes."""
    given, removed = [], set()
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and value.strip():
            given.append((name.strip(), value.strip()))
        elif colon:
            removed.add(name.strip().lower())
        elif line.rstrip().endswith(";"):
            given.append((line.rstrip()[:-1].strip(), ""))
        else:
            raise ConfigError(f"-H {line!r} is not a header: write for example -H 'Accept: text/html'")
    return given, removed


def _url(text: str, queries: Sequence[str]) -> tuple[str, str]:
    """(URL, its "user:password"): with a scheme, a path and no fragment, percent-encoded where curl is generous."""
    whole = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(whole)
        host, _ = parts.hostname, parts.port  # a port that is none raises
    except ValueError as error:
        raise ConfigError(f"URL {text!r} cannot be read: {error}") from None
    if parts.scheme.lower() not in HTTP or not host:
        raise ConfigError(f"URL {text!r} cannot be loaded: it must begin with http:// or https:// and name a host")
    user, _, netloc = parts.netloc.rpartition("@")
    user = user if not user or ":" in user else f"{user}:"  # nobody is asked for the password of a URL: it is empty
    query = "&".join(part for part in (parts.query, *queries) if part)
    plain = parts._replace(netloc=netloc, path=parts.path or "/", query=query, fragment="")
    return quote(plain.geturl(), safe=URL_SAFE), unquote(user)
