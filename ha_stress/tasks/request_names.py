"""What a request is called where requests are told apart. Pure.

A request has the name that its author gave it, or else its method and path. Requests of one name are counted together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ha_stress.base.limits import REQUEST_NAME_CHARACTERS_MAX, REQUEST_NAMES_MAX
from ha_stress.tasks.figures import FURTHER
from ha_stress.tasks.protocols import HTTP, TCP
from ha_stress.tasks.spec import HttpRequest

#: A part of a path that names one thing of many: a number, a UUID, or a long piece of hexadecimal with a digit in it.
_ID: Final = re.compile(r"\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-f]*\d)[0-9a-f]{16,}", re.IGNORECASE)
_ANY: Final = "{id}"


def names_of(requests: Sequence[HttpRequest]) -> list[str]:
    """The name of each request of a mix. Those without one are told apart as far as it takes: by method and path, by host
    where there are several, by query, by number. Beyond the bound those with the smallest weights share one."""
    given = [clean(request.name) for request in requests]
    derived = _told_apart([request for request, name in zip(requests, given, strict=True) if not name], set(given))
    names = [name or next(derived) for name in given]
    weights: Counter[str] = Counter()
    for name, request in zip(names, requests, strict=True):
        weights[name] += request.weight
    kept = {name for name, _ in weights.most_common(REQUEST_NAMES_MAX)}
    return [name if name in kept else FURTHER for name in names]


def shares_of(requests: Sequence[HttpRequest]) -> dict[str, float]:
    """Which part of a mix each name is, between 0 and 1."""
    weights: Counter[str] = Counter()
    for name, request in zip(names_of(requests), requests, strict=True):
        weights[name] += request.weight
    return {name: weight / weights.total() for name, weight in weights.items()}


def _told_apart(requests: Sequence[HttpRequest], taken: set[str]) -> Iterator[str]:
    urls = [urlsplit(request.url) for request in requests]
    several = len({_host(url) for url in urls}) > 1
    plain = [_plain(request.method, url, host=several) for request, url in zip(requests, urls, strict=True)]
    same = Counter(plain)
    for short, url in zip(plain, urls, strict=True):
        first = name = clean(f"{short}?{url.query}" if same[short] > 1 and url.query else short)
        number = 1
        while name in taken:
            number += 1
            suffix = f" #{number}"
            name = first[: REQUEST_NAME_CHARACTERS_MAX - len(suffix)] + suffix
        taken.add(name)
        yield name


def _plain(method: str, url: SplitResult, *, host: bool) -> str:
    """`GET /cart`; with the host where it says more. What has no method is told by its protocol."""
    if url.scheme in TCP:
        return f"TCP {_host(url)}"
    verb = method.upper() if url.scheme in HTTP else "WS"
    return f"{verb} {_host(url) if host else ''}{url.path or '/'}"


def _host(url: SplitResult) -> str:
    """And port; a password is not for everybody who reads a report."""
    return url.netloc.rpartition("@")[2]


def name_of_step(method: str, path: str, host: str = "") -> str:
    """What a scenario's request is called if it does not say: without the query, and without what looks like an id. `host`
    where it says more."""
    parts = [_ANY if _ID.fullmatch(part) else part for part in path.partition("?")[0].split("/")]
    return f"{method} {host}{'/'.join(parts) or '/'}"


def clean(name: str) -> str:
    """In one line, and not too long."""
    if not name.isprintable():
        name = "".join(c if c.isprintable() else " " for c in name)
    return name.strip()[:REQUEST_NAME_CHARACTERS_MAX].strip()
