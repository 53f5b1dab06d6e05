"""The way to Redis: one pool, blocking calls in worker threads, scripts, and the mapping of foreign errors.

    trio task --to_thread--> redis-py (sync) --> Redis          every call is over after CALL_DEADLINE_S

A call that was given up may still be carried out by a server that was only slow. That is why every write of the bus
is a comparison inside a script or can be repeated.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import redis
import redis.exceptions as foreign
import trio
from redis.backoff import NoBackoff
from redis.retry import Retry

from ha_stress.base.errors import BusUnavailable, ConfigError, HaStressError, ProtocolError

#: A Redis on the same network answers in about 1 ms; one that needs a second is as good as away.
SOCKET_TIMEOUT_S = 1.0
#: The whole call, with a connection attempt or a place in the queue of threads before it.
CALL_DEADLINE_S = 1.5
#: Calls of one process that may be under way at once; each has a thread and a connection.
CALLS_MAX = 8

#: Error replies that a server gives while it cannot serve; all others say that our data or commands are not understood.
#: Some have a class in redis-py, which cuts the code off their text; the others are known by their code.
_BUSY_KINDS = (foreign.BusyLoadingError, foreign.ReadOnlyError, foreign.ClusterDownError, foreign.TryAgainError)
_BUSY_CODES = ("BUSY", "MISCONF", "NOREPLICAS")


def shown(url: str) -> str:
    """The URL without user, password and query, for messages."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(unreadable URL)"
    return f"{parts.scheme}://{place}{parts.path}"


def pool_for(url: str, connections_max: int) -> redis.ConnectionPool:
    """A pool for redis://, rediss:// or unix:// URLs. ConfigError if the URL cannot be used; connects to nothing."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("redis", "rediss", "unix") and bool(
            parts.path if parts.scheme == "unix" else parts.hostname
        )
        if not usable or parts.port == 0:
            raise ValueError("it must be redis://host:port/db, rediss://host:port/db or unix:///path")
        pool = redis.ConnectionPool.from_url(
            url,
            max_connections=connections_max,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        # Options of the URL are arguments of a connection: making one (it dials nothing) finds those that do not exist.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError) as error:
        reason = str(error).rpartition(".__init__() got an ")[2]
        raise ConfigError(f"Redis URL {shown(url)} cannot be used: {reason}") from None
    authorities = pool.connection_kwargs.get("ssl_ca_certs")
    if authorities and not os.path.isfile(authorities):
        raise ConfigError(f"Redis URL {shown(url)} cannot be used: ssl_ca_certs={authorities} is not a file")
    return pool


def mapped(error: BaseException, where: str, keys: Sequence[str] = ()) -> HaStressError:
    """Any error of redis-py or of a socket as one of ours; `keys` are those that the call was about."""
    if isinstance(error, foreign.NoPermissionError):
        return BusUnavailable(f"Redis at {where} does not let our user do this: {error}")
    if isinstance(error, foreign.AuthenticationError | foreign.AuthorizationError):
        return BusUnavailable(f"Redis at {where} refuses our user or password")
    if isinstance(error, foreign.TimeoutError | TimeoutError):
        return BusUnavailable(f"Redis at {where} did not answer within {SOCKET_TIMEOUT_S:g} s")
    text = str(error).rpartition(" of pipeline caused error: ")[2]
    if isinstance(error, foreign.OutOfMemoryError):
        return BusUnavailable(f"Redis at {where} takes no writes, its maxmemory is used up: give it more, or free some")
    if isinstance(error, _BUSY_KINDS) or text.startswith(_BUSY_CODES):
        return BusUnavailable(f"Redis at {where} cannot serve now: {text}")
    if isinstance(error, foreign.ResponseError):
        place = f" under {' or '.join(keys)}" if keys and not text.startswith("PROTOCOL ") else ""
        return ProtocolError(f"Redis at {where} holds something unexpected{place}: {text.removeprefix('PROTOCOL ')}")
    if isinstance(error, foreign.DataError | foreign.InvalidResponse):
        return ProtocolError(f"Redis at {where}: {error}")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return BusUnavailable(
            f"Redis at {where} shows a certificate that is not trusted here; name its authority with ?ssl_ca_certs=FILE"
        )
    return BusUnavailable(f"Redis at {where} cannot be reached")


def milliseconds(seconds: float, what: str) -> int:
    """A time to live for Redis. Under 100 ms it would run out before anybody could use it (a unit mixed up)."""
    if not (math.isfinite(seconds) and seconds >= 0.1):
        raise ConfigError(f"{what} of {seconds:g} s is too short: use at least 0.1 s")
    return round(seconds * 1000)


class Script:
    """One Lua file, sent once and then called by its digest."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        folder = resources.files("ha_stress.bus") / "lua"
        prelude = (folder / "prelude.lua").read_text("utf-8")
        self.name = name
        self._script = client.register_script(prelude + (folder / f"{name}.lua").read_text("utf-8"))

    def __call__(self, keys: Sequence[str], args: Sequence[str | int | bytes]) -> Any:
        return self._script(keys=list(keys), args=list(args))

    def queue(self, pipeline: Any, keys: Sequence[str], args: Sequence[str | int | bytes]) -> None:
        """Append a call to a pipeline of the same server; its answer is among those of `pipeline.execute()`."""
        self._script(keys=list(keys), args=list(args), client=pipeline)


class Link:
    """Runs calls against one Redis. Made by `open_bus`, closed by it."""

    def __init__(self, url: str) -> None:
        self.where = shown(url)
        self._pool = pool_for(url, CALLS_MAX)
        #: The number of the database that the URL names.
        self.database = int(self._pool.connection_kwargs.get("db") or 0)
        self.client = redis.Redis(connection_pool=self._pool)
        self._limiter = trio.CapacityLimiter(CALLS_MAX)
        self._scripts: dict[str, Script] = {}

    def script(self, name: str) -> Script:
        """The script of `lua/<name>.lua`, read once."""
        if name not in self._scripts:
            self._scripts[name] = Script(self.client, name)
        return self._scripts[name]

    async def call(self, work: Callable[[Any], Any], *keys: str, again: bool = True) -> Any:
        """Run `work(client)` in a thread. `keys` are named where Redis holds something unexpected.

        `again`: the work may be done twice; it is repeated once if the connection turned out to be dead (the server was
        restarted). Raises BusUnavailable or ProtocolError.
        """
        with trio.move_on_after(CALL_DEADLINE_S):
            return await trio.to_thread.run_sync(
                self._attempt, work, keys, again, abandon_on_cancel=True, limiter=self._limiter
            )
        raise BusUnavailable(f"Redis at {self.where} did not answer within {CALL_DEADLINE_S:g} s")

    async def run(
        self, name: str, keys: Sequence[str], args: Sequence[str | int | bytes], *, again: bool = True
    ) -> Any:
        """Run the script `name`."""
        script = self.script(name)
        return await self.call(lambda _: script(keys, args), *keys, again=again)

    def _attempt(self, work: Callable[[Any], Any], keys: Sequence[str], again: bool) -> Any:
        try:
            try:
                return work(self.client)
            except foreign.ConnectionError as error:
                if not again or isinstance(error, foreign.AuthenticationError | foreign.BusyLoadingError):
                    raise
                return work(self.client)
        except (foreign.RedisError, OSError) as error:
            raise mapped(error, self.where, keys) from error

    def close(self) -> None:
        """Close all connections; a call that is still in a thread ends with an error that nobody reads."""
        self._pool.disconnect()
