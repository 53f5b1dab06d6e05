"""Where a task's requests go: one host and port, its addresses, and the connections to it that are idle."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from ha_stress.engines import failures
from ha_stress.engines.clock import now
from ha_stress.engines.dial import Dial
from ha_stress.engines.resolve import Address, Resolver, literal

if TYPE_CHECKING:
    from ha_stress.base.targets import AllowedTargets
    from ha_stress.engines.account import Tally
    from ha_stress.engines.connection import Connection
    from ha_stress.engines.http1 import Prepared
    from ha_stress.engines.lane import Lane
    from ha_stress.engines.users import User

#: A name is looked up again after this long, as its addresses may change while a task runs.
ADDRESSES_FRESH_S: Final = 30.0
#: After a failed lookup arrivals fail at once for this long: a name server must not be hammered at the rate of the load.
LOOKUP_RETRY_S: Final = 1.0


class Origin:
    """`idle` are the connections that can take a request now, the one used last at the end. `tls` is a context, or None.

    Addresses outside of the allow-list are never connected to, whatever name led to them."""

    __slots__ = (
        "_addresses",
        "_allowed",
        "_looked_up_s",
        "_looking_up",
        "_refusal",
        "_resolver",
        "_waiting",
        "host",
        "idle",
        "lane",
        "port",
        "tls",
    )

    def __init__(self, lane: Lane, prepared: Prepared, resolver: Resolver, allowed: AllowedTargets) -> None:
        self.lane = lane
        self.host, self.port = prepared.host, prepared.port
        self.tls = _tls_context() if prepared.tls else None
        self.idle: dict[Connection, None] = {}  # a stack from whose middle one can take
        self._resolver = resolver
        self._allowed = allowed
        self._refusal = failures.DNS
        self._looking_up = False
        self._waiting: list[Dial] = []
        fixed = literal(self.host, self.port)
        self._addresses: list[Address] = self._permitted(fixed or [])
        self._looked_up_s = inf if fixed else -inf

    def open(self, prepared: Prepared, account: Tally, due_s: float, user: User | None) -> None:
        """Get a connection for this request, which waits for it."""
        moment = now()
        if moment - self._looked_up_s > ADDRESSES_FRESH_S and not self._looking_up:
            self._looking_up = True
            self._looked_up_s = moment
            self._resolver.look_up(self.host, self.port, self._resolved)
        dial = Dial(self, prepared, account, due_s, user, moment)
        if prepared.incomplete:
            dial.fail(failures.NO_DATA)
        elif self._addresses:
            dial.connect(self._addresses)
        elif self._looking_up:
            self._waiting.append(dial)
        else:
            dial.fail(self._refusal)

    def demote(self, address: Address) -> None:
        """Another address is tried first from now on: this one refuses, or is slower than the next."""
        if address in self._addresses:
            self._addresses.remove(address)
            self._addresses.append(address)

    def _resolved(self, found: list[Address]) -> None:
        self._looking_up = False
        permitted = self._permitted(found)
        if permitted or found:
            best = self._addresses[:1]  # what has worked so far goes on first
            self._addresses = [one for one in permitted if one in best] + [one for one in permitted if one not in best]
        if not permitted:
            self._looked_up_s = now() - ADDRESSES_FRESH_S + LOOKUP_RETRY_S
        waiting, self._waiting = self._waiting, []
        for dial in waiting:
            if dial.over:
                continue
            if self._addresses:
                dial.connect(self._addresses)
            else:
                dial.fail(self._refusal)

    def _permitted(self, found: list[Address]) -> list[Address]:
        permitted = [one for one in found if self._allowed.permits(str(one[1][0]))]
        self._refusal = failures.NOT_ALLOWED if found and not permitted else failures.DNS
        return permitted


def _tls_context() -> Any:
    """Loaded on demand: `ssl` costs an engine 3 MB that plain HTTP does not need."""
    import ssl

    return ssl.create_default_context()
