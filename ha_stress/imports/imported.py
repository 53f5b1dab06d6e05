"""What every import gives: requests, and notes about what could not be taken over. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import REQUESTS_MAX, WEIGHT_MAX

#: Headers that belong to one connection or that the engine writes itself.
HOP_BY_HOP: Final = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "host", "content-length", "expect"),
    )
)
#: What reading a document raises that has another shape than its format says.
MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
#: What is percent-encoded if it stands in a URL as it is: everything but what RFC 3986 allows, and `%` itself.
URL_SAFE: Final = "!#$%&'()*+,/:;=?@[]~-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRequest:
    """One request as the API takes it. `timeout_s` None leaves it to the API's default. `name` is empty where method and
    path say as much."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    timeout_s: float | None = None
    http2: bool = False
    weight: int = 1
    name: str = ""

    def to_api(self) -> dict[str, Any]:
        """As an element of `requests` of the API; what has its default is left out."""
        document: dict[str, Any] = {"url": self.url, "method": self.method}
        if self.headers:
            document["headers"] = [list(pair) for pair in self.headers]
        if self.body:
            try:
                document["body"] = self.body.decode()
            except UnicodeDecodeError:
                document["body_base64"] = b64encode(self.body).decode("ascii")
        if self.timeout_s is not None:
            document["timeout_s"] = self.timeout_s
        if self.http2:
            document["http2"] = True
        if self.weight != 1:
            document["weight"] = self.weight
        if self.name:
            document["name"] = self.name
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """`notes` are sentences for the operator: what was left out, and what has to be filled in."""

    requests: tuple[ImportedRequest, ...]
    notes: tuple[str, ...] = ()

    def with_headers(self, headers: Sequence[tuple[str, str]]) -> Imported:
        """The same with these in each request, in place of those of the same name."""
        names = {name.lower() for name, _ in headers}
        kept = (
            replace(one, headers=(*(pair for pair in one.headers if pair[0].lower() not in names), *headers))
            for one in self.requests
        )
        return replace(self, requests=tuple(kept))

    def to_api(self) -> list[dict[str, Any]]:
        """As the API's `requests`, and the file of --requests."""
        return [request.to_api() for request in self.requests]


@dataclass(slots=True)
class Notes:
    """Sentences in the order in which they first came, each once."""

    said: dict[str, None] = field(default_factory=dict)

    def say(self, sentence: str) -> None:
        self.said[sentence] = None

    def all(self) -> tuple[str, ...]:
        return tuple(self.said)


def merged(requests: Iterable[ImportedRequest]) -> tuple[ImportedRequest, ...]:
    """Equal requests become one with the sum of their weights. ConfigError if more are left than a task may have."""
    weights: dict[ImportedRequest, int] = {}
    for request in requests:
        one = replace(request, weight=1)
        weights[one] = weights.get(one, 0) + request.weight
    if len(weights) > REQUESTS_MAX:
        raise ConfigError(
            f"there are {len(weights)} different requests, and a task has at most {REQUESTS_MAX}: take a part of them"
        )
    # Beyond the largest weight the proportions count, not the numbers.
    shrink = max(1.0, max(weights.values(), default=1) / WEIGHT_MAX)
    return tuple(replace(one, weight=max(1, round(weight / shrink))) for one, weight in weights.items())
