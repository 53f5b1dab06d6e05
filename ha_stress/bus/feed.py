"""Pub/sub: one thread and one connection for all subscriptions of a process.

    trio:    subscribe() -> table of subscriptions -> wake the thread
    thread:  connect, SUBSCRIBE, select on {connection, wake} -> bounded inbox -> one callback into trio
    trio:    callback: for each message, every subscription of its channel

Pub/sub may lose any message, so what is delivered are hints. `Resubscribed` says "something may be missed up to here:
read the records again"; it comes first, after every reconnect, and in place of what a slow reader had no room for.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import redis
import redis.exceptions as foreign
import trio

from ha_stress import log
from ha_stress.base.limits import HINT_QUEUE_MAX
from ha_stress.bus.link import mapped

_log = log.get(__name__)

BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 1.0
#: A silent connection is asked with a PING after this long, and dropped when nothing came for SILENCE_S.
PING_AFTER_S = 2.0
SILENCE_S = 4.0
#: Longest wait for the thread at the end; it can be inside one connect attempt.
JOIN_S = 2.0
#: Messages between the thread and trio; with a loop that stalls for longer than this lasts, hints are dropped.
INBOX_MAX = 4 * HINT_QUEUE_MAX


@dataclass(frozen=True, slots=True)
class Hint:
    """A pub/sub message."""

    channel: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Resubscribed:
    """Messages may have been missed up to here: read the records again."""


class Subscription:
    """One reader. Its queue is bounded; what does not fit is replaced by one `Resubscribed`."""

    def __init__(self, channels: tuple[str, ...]) -> None:
        self.channels = channels
        self.ready = False
        self._send, self.receive = trio.open_memory_channel[Hint | Resubscribed](HINT_QUEUE_MAX)

    def deliver(self, message: Hint | Resubscribed) -> None:
        """Trio thread only. Never blocks."""
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            with suppress(trio.WouldBlock):
                while True:
                    self.receive.receive_nowait()
            self._send.send_nowait(Resubscribed())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the reader has left; the thread will hear of it

    def close(self) -> None:
        self._send.close()
        self.receive.close()


class Feed:
    """All subscriptions of one bus. Used from trio; the thread starts with the first subscription."""

    def __init__(self, pool: redis.ConnectionPool, where: str) -> None:
        self._pool = pool
        self._where = where
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []  # written in trio under the lock, read by the thread
        self._inbox: deque[tuple[str, bytes] | Subscription] = deque()
        self._overflow = False
        self._stopping = False
        self._interrupted = False
        self._thread: threading.Thread | None = None
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._token: trio.lowlevel.TrioToken | None = None

    @asynccontextmanager
    async def subscribe(self, *channels: str) -> AsyncIterator[trio.MemoryReceiveChannel[Hint | Resubscribed]]:
        """Receive hints of these channels. Does not wait for Redis: `Resubscribed` comes first, when it answers."""
        assert channels, "a subscription names its channels"
        subscription = Subscription(channels)
        with self._lock:
            self._subscriptions.append(subscription)
        self._start()
        self._wake()
        try:
            yield subscription.receive
        finally:
            with self._lock:
                self._subscriptions.remove(subscription)
            subscription.close()
            self._wake()

    async def aclose(self) -> None:
        """End the thread; bounded by JOIN_S."""
        self._stopping = True
        thread = self._thread
        if thread is None:
            self._close_wake()
            return
        self._wake()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(thread.join, JOIN_S)
        if thread.is_alive():
            _log.warning("the subscriber thread did not end in time", redis=self._where)

    def _start(self) -> None:
        if self._thread is None:
            self._token = trio.lowlevel.current_trio_token()
            self._thread = threading.Thread(target=self._run, name="bus-feed", daemon=True)
            self._thread.start()

    def _wake(self) -> None:
        with suppress(OSError):  # full of wake-ups already, or the thread has ended
            self._wake_write.send(b"w")

    def _close_wake(self) -> None:
        self._wake_read.close()
        self._wake_write.close()

    # Trio thread: from the inbox to the readers.

    def _drain(self) -> None:
        overflow, self._overflow = self._overflow, False
        for _ in range(len(self._inbox)):
            item = self._inbox.popleft()
            if isinstance(item, Subscription):
                item.ready = True
                item.deliver(Resubscribed())
            elif not overflow:
                self._route(*item)
        if overflow:
            for subscription in self._subscriptions:
                if subscription.ready:
                    subscription.deliver(Resubscribed())

    def _route(self, channel: str, data: bytes) -> None:
        for subscription in self._subscriptions:
            if subscription.ready and channel in subscription.channels:
                subscription.deliver(Hint(channel, data))

    # Subscriber thread.

    def wanted(self) -> list[Subscription]:
        with self._lock:
            return list(self._subscriptions)

    def post(self, item: tuple[str, bytes] | Subscription) -> None:
        """Hand over a message, or a subscription that the server has just confirmed."""
        if isinstance(item, tuple) and len(self._inbox) >= INBOX_MAX:
            self._overflow = True
        else:
            self._inbox.append(item)
        assert self._token is not None
        self._token.run_sync_soon(self._drain, idempotent=True)

    def works(self) -> None:
        """The server has confirmed a subscription."""
        if self._interrupted:
            _log.info("subscriptions work again", redis=self._where)
        self._interrupted = False

    @property
    def stopping(self) -> bool:
        return self._stopping

    def pause(self, seconds: float, *others: socket.socket) -> None:
        """Sleep until one of `others` can be read, somebody wakes the thread, or the time is over."""
        waiting = select.poll()  # select() takes no descriptor above 1023, and a sentinel has a link to each node
        for sock in (self._wake_read, *others):
            waiting.register(sock, select.POLLIN)
        readable = [descriptor for descriptor, _ in waiting.poll(seconds * 1000)]
        if self._wake_read.fileno() in readable:
            with suppress(BlockingIOError):
                self._wake_read.recv(4096)

    def _run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        try:
            while not self._stopping:
                session = Session(self, self._pool)
                try:
                    session.serve()
                except trio.RunFinishedError:
                    return  # the event loop ended before the bus was closed; nobody is left to tell
                except (foreign.RedisError, OSError) as error:
                    if not self._interrupted:
                        _log.warning("subscriptions are interrupted", problem=str(mapped(error, self._where)))
                    self._interrupted = True
                except Exception:  # noqa: BLE001  a bug in one message must not end all subscriptions in silence
                    _log.exception("subscriber failed; it begins again")
                finally:
                    session.close()
                backoff_s = BACKOFF_MIN_S if session.served else min(backoff_s * 2, BACKOFF_MAX_S)
                if not self._stopping:
                    self.pause(backoff_s)
        finally:
            self._close_wake()


class Session:
    """One connection of the feed, from connect to loss. Lives in the subscriber thread."""

    def __init__(self, feed: Feed, pool: redis.ConnectionPool) -> None:
        self._feed = feed
        self._connection = pool.connection_class(**pool.connection_kwargs)
        self._channels: dict[str, int] = {}  # channel -> how many subscriptions want it
        self._known: list[Subscription] = []
        self._unconfirmed: deque[tuple[Subscription, bool]] = deque()  # (whose, the last of its channels)
        self.served = False

    def serve(self) -> None:
        """Returns when the feed stops; raises a foreign error when the connection is lost."""
        self._connection.connect()
        heard_at = time.monotonic()
        asked = False
        while not self._feed.stopping:
            self._follow()
            sock = self._connection._sock  # redis-py has no public way to wait for a connection and a wake-up at once
            if sock is None:
                raise foreign.ConnectionError("closed")
            if not self._connection.can_read(timeout=0):
                self._feed.pause(SILENCE_S - PING_AFTER_S if asked else PING_AFTER_S, sock)
            while self._connection.can_read(timeout=0):
                self._take(self._connection.read_response())
                heard_at, asked = time.monotonic(), False
            silent_s = time.monotonic() - heard_at
            if silent_s >= SILENCE_S:
                raise foreign.TimeoutError("silent")
            if silent_s >= PING_AFTER_S and not asked:
                self._connection.send_command("PING", check_health=False)
                asked = True

    def close(self) -> None:
        self._connection.disconnect()

    def _follow(self) -> None:
        """Bring the server's list of channels in line with what is wanted."""
        wanted = self._feed.wanted()
        for subscription in [known for known in self._known if known not in wanted]:
            self._known.remove(subscription)
            self._drop(subscription)
        for subscription in [new for new in wanted if new not in self._known]:
            self._known.append(subscription)
            self._add(subscription)

    def _add(self, subscription: Subscription) -> None:
        if not subscription.channels:
            return
        for channel in subscription.channels:
            self._channels[channel] = self._channels.get(channel, 0) + 1
        last = len(subscription.channels) - 1
        self._unconfirmed.extend((subscription, index == last) for index in range(last + 1))
        self._connection.send_command("SUBSCRIBE", *subscription.channels, check_health=False)

    def _drop(self, subscription: Subscription) -> None:
        unused = []
        for channel in subscription.channels:
            self._channels[channel] -= 1
            if not self._channels[channel]:
                del self._channels[channel]
                unused.append(channel)
        if unused:
            self._connection.send_command("UNSUBSCRIBE", *unused, check_health=False)

    def _take(self, reply: Any) -> None:
        if not isinstance(reply, list) or not reply:
            return  # the answer to PING
        kind = reply[0]
        if kind == b"message":
            self._feed.post((reply[1].decode("utf-8", "replace"), reply[2]))
        elif kind == b"subscribe":
            self.served = True
            self._feed.works()
            subscription, last = self._unconfirmed.popleft()
            if last:
                self._feed.post(subscription)
