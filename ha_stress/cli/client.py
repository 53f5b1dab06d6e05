"""An HTTP client for a cluster, not for one node: when a node does not answer, the next one is asked.

Reads and changes are idempotent as they are; a creation carries an id that the client chose. So trying again at another
node is always right, also while the master is dying.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from ha_stress.base.errors import ConfigError, Conflict, HaStressError, NotFound, Unavailable, UserError

DEFAULT_URL = "http://127.0.0.1:7700"
TIMEOUT_S = 2.0
#: A listener of events hears a comment every few seconds; after this much silence the node is gone.
STREAM_SILENCE_S = 15.0
RETRY_S = 0.1
_KINDS: dict[int, type[UserError]] = {404: NotFound, 409: Conflict}


class ClusterUnreachable(Unavailable):
    """No node of the cluster answered; the sentence says what was tried and what to do."""


def data_dir_of(option: Path | None) -> Path:
    """`--data-dir`, else HA_STRESS_DATA, else `.ha-stress` here."""
    return option or Path(os.environ.get("HA_STRESS_DATA") or ".ha-stress")


def find_urls(api: Sequence[str], data_dir: Path | None = None) -> list[str]:
    """Where to ask: --api, else HA_STRESS_API, else what a local cluster wrote into its directory, else the default."""
    given = [url for item in (api or [os.environ.get("HA_STRESS_API", "")]) for url in item.split(",") if url.strip()]
    if given:
        return [_checked(url.strip()) for url in given]
    return local_urls(data_dir_of(data_dir)) or [DEFAULT_URL]


def local_urls(data_dir: Path) -> list[str]:
    try:
        described = json.loads((data_dir / "cluster.json").read_text())
        return [process["api_url"] for process in described["processes"] if process.get("api_url")]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # no local cluster was ever started here, or an older one left something unreadable


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url if "://" in url else f"http://{url}")
    except httpx.InvalidURL as error:
        raise ConfigError(f"--api {url!r} is not a URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(f"--api {url!r} is not a URL: write for example http://127.0.0.1:7700")
    return str(parsed).rstrip("/")


class Client:
    """Calls of /api/v1 on whichever node answers. Not thread-safe."""

    def __init__(self, urls: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> None:
        assert urls
        self.urls = list(urls)
        self._http = httpx.Client(timeout=timeout_s, trust_env=False)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # What can be asked.

    def status(self) -> dict[str, Any]:
        """Who is who; the nodes it names are remembered as places to ask."""
        status: dict[str, Any] = self.call("GET", "/status")
        self.learn([node["api_url"] for node in status["nodes"]])
        return status

    def create_task(self, task: dict[str, Any]) -> dict[str, Any]:
        """`task` needs an `id`: that makes trying again harmless."""
        assert task.get("id")
        return self._dict("POST", "/tasks", task)

    def tasks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/tasks")["tasks"]
        return found

    def task(self, task_id: str, *, timeline: bool = False) -> dict[str, Any]:
        return self._dict("GET", f"/tasks/{_segment(task_id)}" + ("?timeline=1" if timeline else ""))

    def set_rate(self, task_id: str, rate: float) -> dict[str, Any]:
        return self._dict("PUT", f"/tasks/{_segment(task_id)}/rate", {"rate": rate})

    def stop_task(self, task_id: str) -> dict[str, Any]:
        return self._dict("POST", f"/tasks/{_segment(task_id)}/stop")

    def events(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/events?after={after}&limit={limit}")["events"]
        return found

    def failovers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/failovers")["failovers"]
        return found

    def failover(self, epoch: int) -> dict[str, Any]:
        return self._dict("GET", f"/failovers/{epoch}")

    def follow(self, after: int) -> Iterator[dict[str, Any]]:
        """Events as they happen, for ever, from `after` on; moves to the next node without a gap or a repetition."""
        while True:
            self.status()  # raises if no node is there at all; learns where the others are
            try:
                for event in self._stream(self.urls[0], after):
                    after = event["sequence"]
                    yield event
            except httpx.TransportError:
                time.sleep(RETRY_S)
            self._to_the_back(self.urls[0])

    # How it is asked.

    def learn(self, urls: Sequence[str]) -> None:
        self.urls += [url for url in dict.fromkeys(urls) if url and url not in self.urls]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer of the first node that gives one; UserError for the caller's mistakes."""
        refusals: dict[str, str] = {}
        for url in list(self.urls):
            try:
                answer = self._http.request(method, f"{url}/api/v1{path}", json=body)
            except httpx.TransportError as error:
                refusals[url] = _reason(error)
                continue
            if answer.status_code >= 500:
                refusals[url] = _error_of(answer)
                continue
            self._to_the_front(url)
            return _decoded(answer)
        raise ClusterUnreachable(_unreachable(refusals))

    def _dict(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = self.call(method, path, body)
        return found

    def _stream(self, url: str, after: int) -> Iterator[dict[str, Any]]:
        timeout = httpx.Timeout(TIMEOUT_S, read=STREAM_SILENCE_S)
        with _streaming(self._http, f"{url}/api/v1/events/stream?after={after}", timeout) as lines:
            for line in lines:
                if line.startswith("data: "):
                    yield json.loads(line[6:])

    def _to_the_front(self, url: str) -> None:
        self.urls.remove(url)
        self.urls.insert(0, url)

    def _to_the_back(self, url: str) -> None:
        self.urls.remove(url)
        self.urls.append(url)


@contextmanager
def _streaming(http: httpx.Client, url: str, timeout: httpx.Timeout) -> Iterator[Iterator[str]]:
    with http.stream("GET", url, timeout=timeout) as answer:
        if answer.status_code != 200:
            answer.read()
            raise Unavailable(_error_of(answer))
        yield answer.iter_lines()


def _segment(text: str) -> str:
    """A task id in a path. What is no id at all cannot exist either."""
    if not text or not all(c.isalnum() or c in "._-" for c in text):
        raise NotFound(f"there is no task {text!r}")
    return text


def _decoded(answer: httpx.Response) -> Any:
    if answer.status_code >= 400:
        raise _KINDS.get(answer.status_code, UserError)(_error_of(answer))
    try:
        return answer.json()
    except ValueError:
        raise HaStressError(f"{answer.url} did not answer with JSON: is that a node's API?") from None


def _error_of(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answered {answer.status_code} {answer.reason_phrase}: is that a node's API?"


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return "nothing listens there" if "refused" in str(error).lower() else str(error)
    return str(error) or type(error).__name__


def _unreachable(refusals: dict[str, str]) -> str:
    tried = "; ".join(f"{url}: {why}" for url, why in refusals.items())
    return f"no node of the cluster answers ({tried}); start one with `ha-stress up`, or name a node with --api URL"
