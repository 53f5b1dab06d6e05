"""Why an exchange failed: the kind of whatever an exchange, or a scenario, raises."""

from __future__ import annotations

import ssl
import traceback
from typing import Final

import trio

from ha_stress.engines import failures

#: By the name of the exception's class, because those libraries are loaded only when they are needed.
_BY_NAME: Final[dict[str, str]] = {
    "ConnectTimeout": failures.CONNECT_TIMEOUT,
    "PoolTimeout": failures.CONNECT_TIMEOUT,
    "ReadTimeout": failures.TIMEOUT,
    "WriteTimeout": failures.TIMEOUT,
    "ReadError": failures.RESET,
    "WriteError": failures.RESET,
    "CloseError": failures.RESET,
    "RemoteProtocolError": failures.PROTOCOL,
    "LocalProtocolError": failures.PROTOCOL,
    "DecodingError": failures.PROTOCOL,
    "ConnectionNotAvailable": failures.CLOSED,
    "ConnectionRejected": failures.WS_REJECTED,
    "ConnectionClosed": failures.WS_CLOSE,
}
#: What httpcore says instead of an error of its own when a connection ends early.
_ENDED: Final = ("disconnected", "closed connection", "incomplete", "ConnectionTerminated")
#: And when a stream of HTTP/2 does.
_RESET: Final = "StreamReset"


class Failed(Exception):
    """An exchange that ended without its answer, and the kind under which that is counted."""

    def __init__(self, kind: str, why: str = "") -> None:
        super().__init__(why or kind)
        self.kind = kind


def first_of(error: BaseException) -> BaseException:
    """The first exception of a group, the exception itself otherwise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def words_of(error: BaseException) -> str:
    """What it says, fit to be sent: its author may have done anything in `__str__`, or have half a character in it."""
    try:
        words = str(error)
    except BaseException as other:  # noqa: BLE001  even to end the process: it is only asked for its words
        words = f"({type(other).__name__} when it was asked what it says)"
    return words.encode(errors="replace").decode()


def traceback_of(error: BaseException) -> str:
    """Its traceback, fit to be sent; `traceback` bears whatever an exception does when it is asked."""
    return "".join(traceback.format_exception(error)).encode(errors="replace").decode()


def kind_of(error: BaseException) -> str:
    """The kind of what an exchange or a scenario raised. What is not known to be the network's is the scenario's."""
    found = first_of(error)
    cause: BaseException | None = found
    seen: set[int] = set()  # causes may go round in a circle
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, Failed):
            return cause.kind
        if _is_unsendable(cause):
            return failures.SCENARIO
        behind = cause.__cause__ or cause.__context__
        cause = None if behind is None else first_of(behind)
    return _kind_of_one(found)


def _is_unsendable(error: BaseException) -> bool:
    """Whether the request itself is no HTTP/1.1, such as one with a line end in a header: it was never sent."""
    return type(error).__name__ == "LocalProtocolError" and type(error).__module__.startswith("h11")


def _kind_of_one(error: BaseException) -> str:
    if isinstance(error, AssertionError):
        return failures.ASSERTION
    if isinstance(error, trio.TooSlowError | TimeoutError):
        return failures.TIMEOUT
    if isinstance(error, trio.Cancelled):
        return failures.CANCELLED
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return failures.TLS
    if isinstance(error, trio.BrokenResourceError):
        return failures.RESET
    if isinstance(error, OSError) and error.errno is not None and not error.filename:
        return failures.kind_of(error, connected=True)
    for base in type(error).__mro__:
        if base.__name__ in _BY_NAME:
            kind = _BY_NAME[base.__name__]
            said = words_of(error) if kind == failures.PROTOCOL else ""
            if _RESET in said:
                return failures.RESET
            return failures.CLOSED if any(words in said for words in _ENDED) else kind
    return failures.SCENARIO
