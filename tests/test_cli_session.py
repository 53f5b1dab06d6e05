"""A run that is interrupted: whatever it has created is stopped, or it says that it is not."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ha_stress.base.errors import NotAllowed
from ha_stress.cli import main as cli
from ha_stress.cli import run_session
from ha_stress.cli.client import Client
from ha_stress.cli.live import Live
from ha_stress.cli.output import console
from ha_stress.cli.run_screen import LineScreen
from ha_stress.cli.run_session import Found, Session
from tests.http_server import http_server

Answer = tuple[int, dict[str, Any]]
NOTHING_FOUND: dict[str, Any] = {
    "books": {"balanced": True, "completed": 0, "intended": 0, "wrong": 0},
    "failures": {},
    "verdict": {"saturated": False, "passed": None},
}


class Api:
    """As much of a node's API as a run asks for. `asked` is what came, in order; `first` may answer in its place."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stored: dict[str, str] = {}
        self.first: Callable[[str, str], Answer | None] = lambda what, task: None
        self.url = ""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        kind, *rest = path.partition("?")[0].removeprefix("/api/v1/").split("/")
        task = str(body.get("id") or "".join(rest[:1]))
        what = {"GET": "read", "POST": "stop" if rest else "create"}[method] if kind == "tasks" else kind
        if kind == "tasks":
            self.asked.append(f"{what} {task}")
        if (said := self.first(what, task)) is not None:
            return said
        if kind != "tasks":
            return 200, {"nodes": [], "events": []}
        if what == "create":
            self.stored.setdefault(task, "running")
            return 201, {"id": task}
        if task not in self.stored:
            return 404, {"error": f"there is no task {task!r}"}
        if what == "stop":
            self.stored[task] = "ended"
        return 200, {"id": task, "status": self.stored[task]} | NOTHING_FOUND


@contextmanager
def serving(api: Api) -> Iterator[Client]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or "{}")
            status, document = api.answer(self.command, self.path, body)
            if status:
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            else:
                self.rfile.read()  # until the caller has gone away
            self.close_connection = True

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http_server(Handler) as api.url, Client([api.url], timeout_s=30.0) as client:
        yield client


def ctrl_c() -> Answer:
    """Pressed while the run waits for this answer, which never comes."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    return 0, {}


def once(wanted: str, answer: Callable[[], Answer]) -> Callable[[str, str], Answer | None]:
    """The first time that `wanted` is asked for."""
    left = [answer]
    return lambda what, task: left.pop()() if f"{what} {task}" == wanted and left else None


@pytest.fixture
def signals() -> Iterator[None]:
    """What a command makes of signals ends with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def conducted(client: Client, *names: str) -> tuple[Session, Found]:
    tasks = [{"id": name, "url": "u", "duration_s": 60.0, "timeout_s": 1.0, "users": 0} for name in names]
    session = Session(client, tasks, LineScreen(console(stderr=True), quiet=True))
    return session, session.run()


def test_ctrl_c_between_two_creations_stops_the_first_and_reports_it() -> None:
    api = Api()
    api.first = once("create b", ctrl_c)
    with serving(api) as client:
        session, found = conducted(client, "a", "b", "c")
    assert found.interrupted and api.stored == {"a": "ended", "b": "ended"}
    assert [task["id"] for task in found.tasks] == ["a", "b"]
    assert session.left() == []


def test_a_creation_that_was_cut_off_and_is_carried_out_late_is_stopped_all_the_same() -> None:
    api = Api()

    def late() -> Answer:
        api.stored["a"] = "running"
        return 404, {"error": "there is no task 'a'"}

    creation, stop = once("create a", ctrl_c), once("stop a", late)
    api.first = lambda what, task: creation(what, task) or stop(what, task)
    with serving(api) as client:
        session, _ = conducted(client, "a")
    assert api.stored == {"a": "ended"} and session.left() == []


def test_a_creation_that_was_cut_off_and_is_refused_leaves_nothing_to_report() -> None:
    api = Api()
    creation = once("create a", ctrl_c)
    refused: Answer = (403, {"error": "not allowed"})
    api.first = lambda what, task: creation(what, task) or (refused if what == "create" else None)
    with serving(api) as client:
        session, found = conducted(client, "a")
    assert found == Found(tasks=(), interrupted=True) and session.left() == []


def test_a_refused_task_stops_those_before_it_and_is_not_asked_for_again() -> None:
    api = Api()
    api.first = lambda what, task: (403, {"error": "not allowed"}) if (what, task) == ("create", "b") else None
    with serving(api) as client, pytest.raises(NotAllowed):
        conducted(client, "a", "b", "c")
    assert api.asked == ["create a", "create b", "stop a"]


def test_a_stop_that_no_node_takes_is_said_again_until_one_does() -> None:
    api = Api()
    look = once("read a", ctrl_c)
    away: Answer = (503, {"error": "the database is away"})
    api.first = lambda what, task: (
        look(what, task) or (away if what == "stop" and api.asked.count("stop a") < 3 else None)
    )
    with serving(api) as client:
        session, found = conducted(client, "a")
    assert found.interrupted and [task["status"] for task in found.tasks] == ["ended"]
    assert api.asked.count("stop a") == 3 and session.left() == []


def test_a_stop_that_is_never_taken_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_session, "_SETTLE_S", 0.0)
    api = Api()
    look = once("read a", ctrl_c)
    away: Answer = (503, {"error": "the database is away"})
    api.first = lambda what, task: look(what, task) or (away if what == "stop" else None)
    with serving(api) as client:
        session, found = conducted(client, "a")
    assert found.interrupted and [task["status"] for task in found.tasks] == ["running"]
    assert "stop a" in api.asked and session.left() == ["a"]


def test_a_run_that_gives_up_says_whose_load_may_go_on_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signals: None
) -> None:
    monkeypatch.setattr(run_session, "_UNAVAILABLE_S", 0.1)
    api = Api()
    api.first = lambda what, task: (503, {"error": "Redis is away"}) if api.stored else None
    with serving(api), pytest.raises(SystemExit) as ended:
        cli.main(["run", "http://127.0.0.1:1/", "--rate", "1", "--duration", "1s", "--api", api.url])
    assert ended.value.code == 3
    said, error = capsys.readouterr().err.splitlines()[-2:]
    (task,) = api.stored
    assert said.startswith(f"error: no node has taken the word to stop {task}: the load may go on until its duration")
    assert f"`ha-stress stop {task} --api {api.url}`" in said
    assert "Redis is away" in error


def test_of_a_plan_that_was_interrupted_the_document_has_tasks_however_few_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], signals: None
) -> None:
    (tmp_path / "plan.toml").write_text(
        '[defaults]\nurl = "http://127.0.0.1:1/"\n' + 2 * "[[tasks]]\nrate = 1\nduration = '9s'\n"
    )
    api, creation = Api(), [ctrl_c]
    api.first = lambda what, task: creation.pop()() if what == "create" and creation else None
    with serving(api), pytest.raises(SystemExit) as ended:
        cli.main(["run", str(tmp_path / "plan.toml"), "--json", "--api", api.url])
    document = json.loads(capsys.readouterr().out)
    assert (ended.value.code, document["interrupted"]) == (130, True)
    assert [task["id"] for task in document["tasks"]] == list(api.stored)


def test_a_second_ctrl_c_gives_up_and_knows_what_it_leaves_behind() -> None:
    api = Api()
    look, stop = once("read a", ctrl_c), once("stop a", ctrl_c)
    api.first = lambda what, task: look(what, task) or stop(what, task)
    with serving(api) as client:
        tasks = [{"id": "a", "url": "u", "duration_s": 60.0, "timeout_s": 1.0, "users": 0}]
        session = Session(client, tasks, LineScreen(console(stderr=True), quiet=True))
        with pytest.raises(KeyboardInterrupt):
            session.run()
    assert session.left() == ["a"]


def test_two_sentences_at_once_are_said_once_each(capsys: pytest.CaptureFixture[str]) -> None:
    screen, live = LineScreen(console(stderr=True)), Live(tasks=[], trouble="nobody answers", note="stopping")
    for _ in range(3):
        screen.show(live)
    assert capsys.readouterr().err.splitlines() == ["nobody answers", "stopping"]
