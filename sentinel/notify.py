"""Telling somebody outside of one event: a program that is run, a URL that is posted to. One try; `hooks` makes more.

Neither is trusted to end: each try has a deadline, what it prints or answers is read within a bound, and a program is
killed with all that it has started.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import trio

from ha_stress import __version__, log
from ha_stress.base.errors import ConfigError, Unavailable
from ha_stress.base.limits import NOTIFICATION_OUTPUT_BYTES_MAX, NOTIFICATIONS_AT_ONCE_MAX
from ha_stress.cluster.events import MEANING, Event

if TYPE_CHECKING:
    import httpx

_log = log.get("notify")

#: A program that has ended may leave a child behind that holds its output open; what was printed is read by then.
OUTPUT_GRACE_S = 0.2
#: A killed process is gone at once, unless it hangs in the kernel; nobody waits for that.
KILLED_WAIT_S = 2.0
#: Values of the environment are for a `case` in a shell script; what is longer stands in the document.
VALUE_CHARS_MAX = 4_096


class NotDelivered(Unavailable):
    """A notification was not taken.

    Attributes:
        again: whether it may help to try again.
    """

    def __init__(self, message: str, *, again: bool = True) -> None:
        super().__init__(message)
        self.again = again


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is told: the event, and which sentinel of which cluster tells it."""

    event: Event
    cluster: str
    sentinel: str

    @property
    def text(self) -> str:
        """One line for people; chat programs show the field of this name."""
        event = self.event
        about = " ".join(
            part for part in (event.name, event.subject, f"({event.cause})" if event.cause else "") if part
        )
        return f"{self.cluster}: {about}, epoch {event.epoch}: {MEANING.get(event.name, '')}"

    def document(self) -> bytes:
        """JSON: the event's own fields, `cluster`, `sentinel` (who tells it), `meaning` and `text`."""
        told = {"text": self.text, "cluster": self.cluster, "sentinel": self.sentinel}
        told |= {"meaning": MEANING.get(self.event.name, "")}
        return json.dumps(told | asdict(self.event)).encode()

    def environment(self) -> dict[str, str]:
        """The same for a shell script, without the detail."""
        values: dict[str, Any] = {"CLUSTER": self.cluster, "SENTINEL": self.sentinel, "EVENT_TEXT": self.text}
        values |= {f"EVENT_{name.upper()}": value for name, value in asdict(self.event).items() if name != "detail"}
        return {f"HA_STRESS_{name}": str(v).replace("\0", "")[:VALUE_CHARS_MAX] for name, v in values.items()}


class Receiver(Protocol):
    """`name` is the kind ("command", "webhook"), `where` what people recognise it by, without anything secret."""

    name: str
    where: str

    async def deliver(self, notice: Notice) -> None:
        """One try. NotDelivered says why it failed."""
        ...


class Command:
    """A program. It gets the document on standard input and the rest in its environment; exit status 0 means taken."""

    name = "command"

    def __init__(self, command: str, *, timeout_s: float) -> None:
        self._words = shlex.split(command)
        self._timeout_s = timeout_s
        self.where = self._words[0]

    async def deliver(self, notice: Notice) -> None:
        output = bytearray()
        status = await self._run(notice, output)
        said = output.decode("utf-8", "replace").strip()
        if said:
            _log.info("a notification command says", command=self.where, status=status, output=said)
        if status is None:
            raise NotDelivered(f"it was killed after {self._timeout_s:g} s")
        if status:
            raise NotDelivered(
                f"exit status {status}: {said.splitlines()[-1][:200]}" if said else f"exit status {status}"
            )

    async def _run(self, notice: Notice, output: bytearray) -> int | None:
        """The exit status; None if it had to be killed."""
        # Our own settings hold secrets, and would be mistaken for the event's.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HA_STRESS_")}
        try:
            process = await trio.lowlevel.open_process(
                self._words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=inherited | notice.environment(),
                start_new_session=True,  # so that it can be killed with its children
            )
        except (OSError, ValueError) as error:
            raise NotDelivered(f"it cannot be run: {error}") from None
        assert process.stdin is not None and process.stdout is not None
        try:
            with trio.move_on_after(self._timeout_s):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_feed, process.stdin, notice.document())
                    read = trio.Event()
                    nursery.start_soon(_drain, process.stdout, output, read)
                    await process.wait()
                    with trio.move_on_after(OUTPUT_GRACE_S):
                        await read.wait()
                    nursery.cancel_scope.cancel()
            return process.returncode
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                with trio.CancelScope(shield=True), trio.move_on_after(KILLED_WAIT_S):
                    await process.wait()
            await trio.aclose_forcefully(process.stdin)
            await trio.aclose_forcefully(process.stdout)


async def _feed(stdin: trio.abc.SendStream, document: bytes) -> None:
    try:
        async with stdin:
            await stdin.send_all(document)
    except trio.BrokenResourceError:
        pass  # it need not read what it is told


async def _drain(stdout: trio.abc.ReceiveStream, output: bytearray, read: trio.Event) -> None:
    """Keep the beginning, and go on reading so that a talkative program is not stopped by a full pipe."""
    async for chunk in stdout:
        output += chunk[: NOTIFICATION_OUTPUT_BYTES_MAX - len(output)]
    read.set()


class Webhook:
    """A URL. The document is posted to it; any 2xx status means taken. Redirects are not followed."""

    name = "webhook"

    def __init__(self, client: httpx.AsyncClient, url: str, *, timeout_s: float) -> None:
        self._client = client
        self._url = url
        self._timeout_s = timeout_s
        parts = urlsplit(url)
        self.where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    async def deliver(self, notice: Notice) -> None:
        import httpx

        try:
            with trio.fail_after(self._timeout_s):
                # The body of the answer says nothing to us, so it is not read, however long it is.
                async with self._client.stream("POST", self._url, content=notice.document()) as answer:
                    status = answer.status_code
        except trio.TooSlowError:
            raise NotDelivered(f"no answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotDelivered(f"{type(error).__name__}: {error}".removesuffix(": ")) from None
        if not 200 <= status < 300:
            raise NotDelivered(f"it answered {status}", again=status in (408, 429) or status >= 500)


@asynccontextmanager
async def open_webhook(url: str, headers: Mapping[str, str], *, timeout_s: float) -> AsyncIterator[Webhook]:
    """A webhook with its connections. The HTTP client is read from disk here, so that other sentinels do without it.
    ConfigError if the environment (proxies, certificates) does not let it work."""
    own = {"content-type": "application/json", "user-agent": f"ha-stress/{__version__}"}
    given = {name.lower(): value for name, value in headers.items()}

    def client() -> httpx.AsyncClient:
        import httpx

        try:
            return httpx.AsyncClient(
                headers=own | given,
                timeout=None,  # one deadline for the whole of a try
                limits=httpx.Limits(max_connections=NOTIFICATIONS_AT_ONCE_MAX, keepalive_expiry=5.0),
                verify=url.startswith("https:"),  # reading the authorities takes a while, and memory
            )
        except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
            raise ConfigError(f"no webhook with this environment (proxies, certificates): {error}") from None

    async with await trio.to_thread.run_sync(client) as opened:
        yield Webhook(opened, url, timeout_s=timeout_s)
