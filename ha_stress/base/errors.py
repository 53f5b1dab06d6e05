"""One tree of errors. Each class says who is to blame; each message says what to do next.

    HaStressError
      UserError            the caller's input or configuration; the message is one sentence
        ConfigError
        NotFound
        Conflict
        NotAllowed         a rule of the operator forbids it (for example: who may be loaded)
      Unavailable          a server that we need does not answer; try again
        BusUnavailable
        StoreUnavailable
        MeshUnavailable
      Fenced               a higher epoch exists; the sender must stop acting as master
      ProtocolError        the other side sent something that this version cannot read

Foreign exceptions (redis, SQLAlchemy, sockets) are mapped into this tree at the boundary of their adapter
and nowhere else.
"""

from __future__ import annotations


class HaStressError(Exception):
    """Base of every error that this program raises on purpose."""


class UserError(HaStressError):
    """The input is wrong; saying it again will not help."""


class ConfigError(UserError):
    """A setting is missing, unknown, or contradicts another one."""


class NotFound(UserError):
    """The named thing does not exist."""


class Conflict(UserError):
    """The request contradicts the present state (for example: changing the rate of an ended task)."""


class NotAllowed(UserError):
    """A rule of the operator forbids it, for example the list of who may be loaded."""


class Unavailable(HaStressError):
    """Something that we depend on does not answer now; the same request may work later."""


class BusUnavailable(Unavailable):
    """Redis does not answer."""


class StoreUnavailable(Unavailable):
    """The database does not answer."""


class MeshUnavailable(Unavailable):
    """A websocket peer does not answer.

    Attributes:
        refused: a live host refused the connection, which proves that nothing listens there.
        refused_secret: the other side is there and does not take this process: the two have different secrets.
    """

    def __init__(self, message: str = "", *, refused: bool = False, refused_secret: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.refused_secret = refused_secret


class Fenced(HaStressError):
    """A write carried an epoch that is no longer the newest one; nothing was changed.

    Attributes:
        mine: the epoch that the writer carried.
        newest: the epoch that refused it (0 where the refusing side could not tell).
    """

    def __init__(self, mine: int, newest: int, what: str = "write") -> None:
        super().__init__(f"{what} under epoch {mine} was refused: epoch {newest} has begun")
        self.mine = mine
        self.newest = newest


class ProtocolError(HaStressError):
    """Bytes that do not decode to a known message of this version."""
