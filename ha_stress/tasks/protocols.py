"""What a task speaks, and so which engines run it. Pure."""

from __future__ import annotations

from base64 import b64encode
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.spec import HttpRequest

#: Schemes of URLs.
HTTP: Final = ("http", "https")
WEBSOCKET: Final = ("ws", "wss")
TCP: Final = ("tcp",)
SCHEMES: Final = (*HTTP, *WEBSOCKET, *TCP)

#: What an exchange engine takes to start and to load its libraries, on a busy machine.
EXCHANGE_START_S: Final = 1.0


class Work(Protocol):
    """A task, or a share of one."""

    @property
    def request(self) -> HttpRequest: ...
    @property
    def mix(self) -> tuple[HttpRequest, ...]: ...
    @property
    def scenario(self) -> Scenario | None: ...


def authorization_of(url: str) -> str:
    """What a user and a password in a URL mean; "" if there are none."""
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    return f"Basic {b64encode(unquote_to_bytes(user if ':' in user else user + ':')).decode()}" if at else ""


def requests_of(work: Work) -> tuple[HttpRequest, ...]:
    """All that it sends in turn."""
    return (work.request, *work.mix)


def is_plain_http(work: Work) -> bool:
    """Whether the fast engine can run it: HTTP/1.1 and nothing else. A mix of protocols is run by exchange engines as a
    whole, so that its proportions hold."""
    return work.scenario is None and all(
        urlsplit(request.url).scheme in HTTP and not request.http2 for request in requests_of(work)
    )
