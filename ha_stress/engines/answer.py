"""The answers that come over one connection, one at a time: bytes in, "complete" or what is wrong with it out. No sockets.

`httptools` (llhttp) does the parsing. It has no call for "this answers a HEAD" and none for "the connection has ended", so
those two are decided here; and it must be told how much is too much.
"""

from __future__ import annotations

from collections.abc import Callable

from httptools import HttpResponseParser

from ha_stress.base.limits import RESPONSE_HEAD_BYTES_MAX
from ha_stress.engines import failures
from ha_stress.engines.checking import Collector
from ha_stress.engines.http1 import PARSER_ERRORS, SWITCHING_PROTOCOLS, HeadersOnly, read_head


class Answer:
    """`done` once it is complete, then `status` is its status, and `again` says whether the connection may carry another
    one. `partial`: it has begun. `collector`, if there is one, is given what the checks look at."""

    __slots__ = (
        "_begun",
        "_ends",
        "_feed",
        "_head",
        "_keep_alive",
        "_only",
        "_parser",
        "collector",
        "done",
        "on_body",
        "on_header",
        "partial",
        "status",
    )

    def __init__(self, collector: Collector | None) -> None:
        self.collector = collector
        if collector is not None:
            collector.attach(self)
        self._parser = HttpResponseParser(self)
        self._feed: Callable[[bytes], None] = self._parser.feed_data
        self.status = 0
        self._begun = self._ends = 0
        self._keep_alive = self.done = self.partial = False
        self._head: bytearray | None = bytearray()
        self._only: HeadersOnly | None = None

    def clear(self) -> None:
        """The next answer is expected."""
        self._begun = 0
        self.done = False
        if self.partial:
            self.partial = False
            self._ends = 0
            self._head = bytearray()
        self._only = None
        if self.collector is not None:
            self.collector.clear()

    def close(self) -> None:
        """Parser and callbacks refer to each other, and the collector of garbage is off."""
        del self._parser, self._feed
        if self._only is not None:
            self._only.close()

    @property
    def again(self) -> bool:
        """Whether the target keeps the connection open, and has sent nothing that nobody asked for."""
        return self._keep_alive and self._begun == 1

    def take(self, data: bytes, *, to_head: bool) -> str:
        """More bytes have come; `to_head`: they answer a HEAD. Returns the kind of failure, or nothing."""
        try:
            if to_head:
                self._take_headers(data)
            else:
                self._feed(data)
        except PARSER_ERRORS:
            if not self.done:
                return failures.PROTOCOL
            self._keep_alive = False  # something follows that is no answer to anything
        if self.done:
            return ""
        self.partial = True
        return self._look_at_head(data)

    def end(self) -> bool:
        """The connection has ended. Whether that is the end of the answer, too."""
        if self._ends:
            self.status, self._keep_alive, self.done = self._ends, False, True
        return self.done

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._begun += 1

    def on_message_complete(self) -> None:
        """Called by the parser. Informational answers (1xx) come before the real one; 101 is the real one."""
        if self.done:
            return
        status = self._parser.get_status_code()
        if status >= 200 or status == SWITCHING_PROTOCOLS:
            self.status = status
            self._keep_alive = self._parser.should_keep_alive()
            self.done = True
        else:
            self._begun -= 1
            if self.collector is not None:
                self.collector.clear()

    def _take_headers(self, data: bytes) -> None:
        """An answer to a HEAD ends with its headers, whatever they say."""
        only = self._only = self._only or HeadersOnly()
        try:
            only.feed(data)
        finally:
            if only.final:
                self.status, self._keep_alive, self.done, self._begun = only.status, only.keep_alive, True, 1
                if self.collector is not None:
                    self.collector.take_headers(only.headers)

    def _look_at_head(self, data: bytes) -> str:
        """Find out, once, whether an unfinished answer will end with its connection; bound its headers."""
        head = self._head
        if head is None:
            return ""
        head += data
        if b"\n\r\n" in head[-len(data) - 3 :]:
            says = read_head(bytes(head))
            if says.final:
                self._ends = says.status if says.ends_with_connection else 0
                self._head = None
                return ""
        return failures.HEADERS_TOO_LARGE if len(head) > RESPONSE_HEAD_BYTES_MAX else ""
