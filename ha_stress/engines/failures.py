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

#: Every kind, with what it means.
MEANING: Final[dict[str, str]] = {
    CONNECT_REFUSED: "nothing listens at the target's address",
    CONNECT_TIMEOUT: "no connection within the request's timeout",
    CONNECT_UNREACHABLE: "no route to the target, or a firewall refuses it",
    DNS: "the target's name has no address",
    RESET: "the target reset the connection",
    CLOSED: "the target closed the connection before the response was complete",
    TIMEOUT: "no complete response within the request's timeout",
    PROTOCOL: "the response is not HTTP/1",
    TLS: "the TLS handshake failed or the certificate was refused",
    CANCELLED: "the task was taken away while the request was under way",
    LOCAL_LIMIT: "this machine has no more ports, file descriptors or memory for another connection",
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


def is_tls(error: OSError) -> bool:
    """Whether `ssl` raised it (by name: that module is loaded only for https)."""
    return any(base.__name__ == "SSLError" for base in type(error).__mro__)
