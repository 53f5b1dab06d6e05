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

from ha_stress.base.errors import ConfigError, Conflict, NotAllowed, NotFound, Unavailable, UserError

DEFAULT_URL = "http://127.0.0.1:7700"
TIMEOUT_S = 2.0
#: A node that asks every other process, or waits for its turn to do so.
LOOK_TIMEOUT_S = 8.0
#: A node that adds the histograms of some thousand frames.
SERIES_TIMEOUT_S = 20.0
#: For a task names are looked up, and its data is checked and stored, at so many bytes a second at least.
CREATE_TIMEOUT_S = 5.0
CREATE_BYTES_PER_S = 1e6
#: A listener of events hears a comment every few seconds; after this much silence the node is gone.
STREAM_SILENCE_S = 15.0
RETRY_S = 0.1
_KINDS: dict[int, type[UserError]] = {403: NotAllowed, 404: NotFound, 409: Conflict}


class ClusterUnreachable(Unavailable):
    """No node of the cluster answered; the sentence says what was tried and what to do.

    Attributes:
        tried: where was asked, each with the reason.
    """

    def __init__(self, tried: str) -> None:
        super().__init__(
            f"no node of the cluster answers ({tried}); start one with `ha-stress up`, or name a node with --api URL"
        )
        self.tried = tried


def data_dir_of(option: Path | None) -> Path:
    """`--data-dir`, else HA_STRESS_DATA, else `.ha-stress` here."""
    return option or Path(os.environ.get("HA_STRESS_DATA") or ".ha-stress")


def find_urls(api: Sequence[str], data_dir: Path | None = None) -> list[str]:
    """Where to ask: --api, else HA_STRESS_API, else what a local cluster wrote into its directory, else the default."""
    given = [url for item in (api or [os.environ.get("HA_STRESS_API", "")]) for url in item.split(",") if url.strip()]
    if given:
        return [_checked(url.strip(), "--api") for url in given]
    return local_urls(data_dir_of(data_dir)) or [DEFAULT_URL]


def local_urls(data_dir: Path) -> list[str]:
    """The nodes of the local cluster in `data_dir`; none if none is described there. ConfigError if it is unreadable."""
    file = data_dir / "cluster.json"
    described = local_cluster(data_dir)
    if described is None:
        return []
    try:
        urls = [process["api_url"] for process in described["processes"] if process.get("api_url")]
        return [_checked(url, f"api_url in {file}") for url in urls]
    except (KeyError, TypeError, AttributeError):
        raise _undescribed(file) from None


def local_cluster(data_dir: Path) -> dict[str, Any] | None:
    """What the local cluster in `data_dir` says of itself: redis_url, cluster, processes. None if there is none."""
    file = data_dir / "cluster.json"
    try:
        described = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None  # no local cluster runs here
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}; name a node with --api URL") from None
    except ValueError:
        raise _undescribed(file) from None
    if not isinstance(described, dict):
        raise _undescribed(file)
    return described


def _undescribed(file: Path) -> ConfigError:
    return ConfigError(f"{file} does not describe a cluster: start it again, or name a node with --api URL")


def _checked(url: str, where: str) -> str:
    """`url` with a scheme; ConfigError names `where` it was given."""
    try:
        parsed = httpx.URL(url if "://" in url else f"http://{url}")
    except httpx.InvalidURL as error:
        raise ConfigError(f"{where} {url!r} is not a URL: {error}") from None
    strange = not url.isprintable() or " " in url or not 0 <= (parsed.port or 0) <= 65_535
    if parsed.scheme not in ("http", "https") or not parsed.host or strange:
        raise ConfigError(f"{where} {url!r} is not a URL: write for example http://127.0.0.1:7700")
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
        status: dict[str, Any] = self.call("GET", "/status", key="nodes")
        self.learn([node["api_url"] for node in status["nodes"]])
        return status

    def create_task(self, task: dict[str, Any]) -> dict[str, Any]:
        """`task` needs an `id`: that makes trying again harmless."""
        assert task.get("id")
        timeout_s = CREATE_TIMEOUT_S + len(json.dumps(task)) / CREATE_BYTES_PER_S
        found: dict[str, Any] = self.call("POST", "/tasks", task, key="id", timeout_s=timeout_s)
        return found

    def tasks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/tasks", key="tasks")["tasks"]
        return found

    def task(self, task_id: str, *, timeline: bool = False) -> dict[str, Any]:
        return self._task("GET", f"/tasks/{_segment(task_id)}" + ("?timeline=1" if timeline else ""))

    def series(
        self, task_id: str, *, width_s: int | None = None, after: int = -1, histograms: bool = False
    ) -> dict[str, Any]:
        """A part of the course of a task; `next_after` says whether there is more. Reading it may take some seconds."""
        path = f"/tasks/{_segment(task_id)}/series?after={after}&histograms={int(histograms)}"
        path += "" if width_s is None else f"&width_s={width_s}"
        found: dict[str, Any] = self.call("GET", path, key="buckets", timeout_s=SERIES_TIMEOUT_S)
        return found

    def set_rate(self, task_id: str, rate: float) -> dict[str, Any]:
        return self._task("PUT", f"/tasks/{_segment(task_id)}/rate", {"rate": rate})

    def stop_task(self, task_id: str) -> dict[str, Any]:
        return self._task("POST", f"/tasks/{_segment(task_id)}/stop")

    def stop_all(self) -> list[str]:
        """The ids of all tasks that had not ended."""
        found: list[str] = self.call("POST", "/tasks/stop", key="stopped")["stopped"]
        return found

    def events(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", f"/events?after={after}&limit={limit}", key="events")["events"]
        return found

    def failovers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/failovers", key="failovers")["failovers"]
        return found

    def failover(self, epoch: int) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/failovers/{epoch}", key="epoch")
        return found

    # What an operator asks for.

    def controls(self) -> dict[str, Any]:
        return self._controls("GET", "/controls")

    def pause(self, why: str) -> dict[str, Any]:
        return self._controls("POST", "/pause", {"why": why})

    def resume(self) -> dict[str, Any]:
        return self._controls("POST", "/resume")

    def ask_switchover(self, to: str, epoch: int) -> dict[str, Any]:
        """`epoch` is what the caller saw: so that asking again at another node never moves the mastership twice."""
        wish = {"to": to, "epoch": epoch}
        found: dict[str, Any] = self.call("POST", "/switchover", wish, key="revision", timeout_s=LOOK_TIMEOUT_S)
        return found

    def withdraw_switchover(self) -> dict[str, Any]:
        return self._controls("DELETE", "/switchover")

    def set_tags(self, node: str, tags: dict[str, Any]) -> dict[str, Any]:
        return self._controls("PUT", f"/nodes/{_segment(node, 'node')}/tags", tags)

    def add_sentinel(self, sentinel: str) -> dict[str, Any]:
        return self._controls("POST", "/sentinels", {"id": sentinel})

    def remove_sentinel(self, sentinel: str) -> dict[str, Any]:
        return self._controls("DELETE", f"/sentinels/{_segment(sentinel, 'sentinel')}")

    def explain(self) -> dict[str, Any]:
        """What each sentinel would do now; the node asks them all, which may take a second."""
        found: dict[str, Any] = self.call("GET", "/explain", key="sentinels", timeout_s=LOOK_TIMEOUT_S)
        return found

    def doctor(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", "/doctor", key="findings", timeout_s=LOOK_TIMEOUT_S)
        return found

    def follow(self, after: int) -> Iterator[dict[str, Any]]:
        """Events as they happen, for ever, from `after` on; moves to the next node without a gap or a repetition.
        Unavailable if no node is there at all, or if all that are there refuse."""
        refused: set[str] = set()  # since a stream was open
        while True:
            self.status()  # raises if no node is there at all; learns where the others are
            url = self.urls[0]
            try:
                for event in self._stream(url, after):
                    after = event["sequence"]
                    yield event
            except Unavailable:
                if url in refused:  # its turn has come again
                    raise
                refused.add(url)
            except httpx.RequestError:
                refused.clear()
            else:
                refused.clear()
            self._to_the_back(url)
            time.sleep(RETRY_S)

    # How it is asked.

    def learn(self, urls: Sequence[str]) -> None:
        self.urls += [url for url in dict.fromkeys(urls) if url and url not in self.urls]

    def call(self, method: str, path: str, body: Any = None, *, key: str, timeout_s: float | None = None) -> Any:
        """The first node's answer that is an object with `key`; UserError for the caller's mistakes."""
        timeout = httpx.USE_CLIENT_DEFAULT if timeout_s is None else httpx.Timeout(timeout_s, connect=TIMEOUT_S)
        refusals: dict[str, str] = {}
        for url in list(self.urls):
            try:
                answer = self._http.request(method, f"{url}/api/v1{path}", json=body, timeout=timeout)
            except (httpx.RequestError, httpx.InvalidURL) as error:
                refusals[url] = _reason(error)
                continue
            document = _object(answer)
            if answer.status_code >= 500 or (key if answer.is_success else "error") not in document:
                refusals[url] = str(document.get("error") or _foreign(answer))
                continue
            self._to_the_front(url)
            if not answer.is_success:
                raise _KINDS.get(answer.status_code, UserError)(str(document["error"]))
            return document
        raise ClusterUnreachable("; ".join(f"{url}: {why}" for url, why in refusals.items()))

    def _task(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = self.call(method, path, body, key="id")
        return found

    def _controls(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = self.call(method, path, body, key="revision")
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
            raise Unavailable(str(_object(answer).get("error") or f"{url} {_foreign(answer)}"))
        yield answer.iter_lines()


def _segment(text: str, what: str = "task") -> str:
    """An id in a path. What is no id at all cannot exist either."""
    if not text or not all(c.isalnum() or c in "._-" for c in text):
        raise NotFound(f"there is no {what} {text!r}")
    return text


def _object(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; an empty one if it is something else."""
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _foreign(answer: httpx.Response) -> str:
    return f"answered {answer.status_code} {answer.reason_phrase}, but not as the API of a node does"


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return _unconnected(str(error))
    return str(error) or type(error).__name__


def _unconnected(why: str) -> str:
    """What a system says of a failed connection, in words."""
    if "refused" in why.lower():
        return "nothing listens there"
    name_unknown = any(text in why for text in ("Name or service not known", "nodename nor servname", "getaddrinfo"))
    return "there is no host of that name" if name_unknown else why
