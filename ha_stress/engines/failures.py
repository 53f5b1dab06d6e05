"""Why a request failed: the kinds under which the books count it. There is no "other"."""

from __future__ import annotations

import errno
from typing import Final

CONNECT_REFUSED: Final = "connect_refused"
CONNECT_TIMEOUT: Final = "connect_timeout"
CONNECT_UNREACHABLE: Final = "connect_unreachable"
DNS: Final = "dns"
RESET: Final = "reset"
CLOSED: Final = "closed"
TIMEOUT: Final = "timeout"
PROTOCOL: Final = "protocol"
TLS: Final = "tls"
CANCELLED: Final = "cancelled"
LOCAL_LIMIT: Final = "local_limit"
NOT_ALLOWED: Final = "not_allowed"
HEADERS_TOO_LARGE: Final = "headers_too_large"
NO_DATA: Final = "no_data"
# Of exchange engines only
WS_CLOSE: Final = "ws_close"
WS_REJECTED: Final = "ws_rejected"
TOO_LARGE: Final = "too_large"
ASSERTION: Final = "assertion"
SCENARIO: Final = "scenario"

#: Every kind, with what it means.
MEANING: Final[dict[str, str]] = {
    CONNECT_REFUSED: "nothing listens at the target's address",
    CONNECT_TIMEOUT: "no connection within the request's timeout",
    CONNECT_UNREACHABLE: "no route to the target, or a firewall refuses it",
    DNS: "the target's name has no address",
    RESET: "the target reset the connection",
    CLOSED: "the target closed the connection before the response was complete",
    TIMEOUT: "no complete response within the request's timeout",
    PROTOCOL: "the response is not of the protocol that was asked for",
    TLS: "the TLS handshake failed or the certificate was refused",
    CANCELLED: "the task was taken away while the request was under way",
    LOCAL_LIMIT: "this machine has no more ports, file descriptors or memory for another connection",
    NOT_ALLOWED: "no address of the target may be loaded from here: see the allow-list of targets",
    NO_DATA: "the stored body of the request is not there, or the data has no row for this arrival",
    HEADERS_TOO_LARGE: "the response's headers go on beyond what is read of them",
    WS_CLOSE: "the target closed the WebSocket before the answer had come",
    WS_REJECTED: "the target refused the WebSocket handshake with an HTTP status",
    TOO_LARGE: "the answer is larger than an engine reads",
    ASSERTION: "an assertion of the scenario failed",
    SCENARIO: "the scenario raised an exception",
}

_BY_ERRNO: Final[dict[int | None, str]] = {
    errno.ECONNREFUSED: CONNECT_REFUSED,
    errno.EADDRNOTAVAIL: LOCAL_LIMIT,
    errno.EMFILE: LOCAL_LIMIT,
    errno.ENFILE: LOCAL_LIMIT,
    errno.ENOBUFS: LOCAL_LIMIT,
    errno.ENOMEM: LOCAL_LIMIT,
    errno.ECONNRESET: RESET,
    errno.EPIPE: RESET,
    errno.ECONNABORTED: RESET,
}
_WANTS: Final = frozenset({"SSLWantReadError", "SSLWantWriteError"})


def kind_of(error: OSError, *, connected: bool) -> str:
    """The kind of a socket's error."""
    if is_tls(error):
        return TLS
    if error.errno == errno.ETIMEDOUT:
        return TIMEOUT if connected else CONNECT_TIMEOUT
    return _BY_ERRNO.get(error.errno, RESET if connected else CONNECT_UNREACHABLE)


def would_block(error: OSError) -> bool:
    """Whether the socket only asks to be called again later."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in _WANTS


def wants_write(error: OSError) -> bool:
    """Whether a TLS socket that would block waits for room to send, not for bytes to read."""
    return type(error).__name__ == "SSLWantWriteError"


def is_tls(error: OSError) -> bool:
    """Whether `ssl` raised it (by name: that module is loaded only for https)."""
    return any(base.__name__ == "SSLError" for base in type(error).__mro__)
