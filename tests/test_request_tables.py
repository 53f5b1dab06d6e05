"""The figures by request where people see them: API, terminal, page, CSV; and where the names come from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from ha_stress.api.by_request import request_views, several
from ha_stress.cli.plan_file import plan_of
from ha_stress.cli.request_table import SHORT, request_table, short_request_table
from ha_stress.cli.task_document import as_first
from ha_stress.engines.histogram import blob_of
from ha_stress.imports.har import requests_of as of_har
from ha_stress.imports.imported import ImportedRequest
from ha_stress.imports.openapi import requests_of as of_openapi
from ha_stress.imports.plan import plan_toml
from ha_stress.report import write
from ha_stress.report.html.page import page_of
from ha_stress.report.run import Run
from ha_stress.tasks.figures import RequestFigures
from ha_stress.tasks.scenario import Scenario
from ha_stress.tasks.spec import HttpRequest, TaskSpec
from tests.report_support import BEGAN, stretch, task_of

SPEC = TaskSpec(id="t-1", name="shop", request=HttpRequest(url="http://a/"), rate=1.0)
MIX = replace(SPEC, mix=(HttpRequest(url="http://a/cart", method="POST"), HttpRequest(url="http://a/", name="again")))
FIGURES = RequestFigures(
    started=10,
    completed=8,
    wrong=3,
    failed={"timeout": 2},
    statuses={"200": 5, "503": 3},
    service_us=blob_of({1000: 7, 2000: 1}),
)


def rows(found: Mapping[str, RequestFigures], spec: TaskSpec = MIX) -> list[dict[str, Any]]:
    return [view.model_dump() for view in request_views(spec, found)]


def task(by_request: list[dict[str, Any]]) -> dict[str, Any]:
    return task_of([stretch(int(BEGAN), [1000])], by_request=by_request)


def printed(what: RenderableType | None, width: int = 80) -> str:
    assert what is not None
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_requests_of_a_mix_come_in_its_order_also_those_that_were_not_sent() -> None:
    found = request_views(MIX, {"again": FIGURES, "further requests": FIGURES, "GET /": FIGURES})
    assert [one.name for one in found] == ["GET /", "POST /cart", "again", "further requests"]
    assert (found[1].started, found[1].service) == (0, None)
    one = found[0]
    assert (one.completed, one.failed, one.wrong, one.failures) == (8, 2, 3, {"timeout": 2})
    assert one.service is not None
    assert (one.service.count, one.service.p50_ms, one.service.p95_ms, one.service.max_ms) == (8, 1.0, 2.0, 2.0)


def test_those_of_a_scenario_come_in_the_order_in_which_they_were_made_and_one_request_has_none() -> None:
    play = replace(SPEC, scenario=Scenario(name="s.py", source=""))
    assert several(play) and several(MIX) and not several(SPEC)
    assert [one.name for one in request_views(play, {"b": FIGURES, "a": FIGURES})] == ["b", "a"]
    assert request_views(SPEC, {}) == []


def test_the_table_fits_into_eighty_columns_and_a_narrow_one_has_less() -> None:
    text = printed(request_table(task(rows({"again": FIGURES, "x" * 90: FIGURES}))))
    assert max(map(len, text.splitlines())) <= 80
    assert [word in text for word in ("POST /cart", "sent", "p50 ms", "p95 ms", "p99 ms", "max ms")] == [True] * 6
    wide = printed(request_table(task(rows({"again": FIGURES, "[red]x[/]": FIGURES}))), 120)
    assert "status 503 3, timeout 2" in wide and "[red]x[/]" in wide
    narrow = printed(request_table(task(rows({"again": FIGURES}))), 50)
    assert "p99 ms" in narrow and "max ms" not in narrow


def test_a_long_table_is_cut_to_what_was_sent_most_often_and_says_where_the_rest_is() -> None:
    play = replace(SPEC, scenario=Scenario(name="s.py", source=""))
    many = {f"GET /{n}": RequestFigures(started=n) for n in range(SHORT + 5)}
    text = printed(request_table(task(rows(many, play)), most=SHORT))
    assert "and 5 more: ha-stress task show t-1" in text
    assert "GET /24" in text and "GET /4 " not in text
    assert "more" not in printed(request_table(task(rows(many, play))))
    assert request_table(task([])) is None


def test_while_it_runs_there_are_as_many_rows_as_there_is_room_for_and_first_those_with_which_something_is_wrong() -> (
    None
):
    play = replace(SPEC, scenario=Scenario(name="s.py", source=""))
    many = {f"GET /{n}{'x' * 80}": RequestFigures(started=100 + n) for n in range(30)} | {"bad": FIGURES}
    found = task(rows(many, play))
    table = short_request_table(found, 80, 6)
    assert table is not None and table.row_count == 4
    text = printed(table)
    assert len(text.splitlines()) == 6 and "bad" in text and "GET /29" in text and "GET /26" not in text
    assert short_request_table(found, 80, 2) is None
    assert short_request_table({}, 80, 20) is None


def test_a_report_has_a_table_and_rows_of_them(tmp_path: Path) -> None:
    second = stretch(int(BEGAN), [1000])
    run = Run(task=task(rows({"<again>": FIGURES})), stretches=(second,), made_at=BEGAN + 5)
    page = page_of(run)
    assert "By request" in page and "&lt;again&gt;" in page and "<again>" not in page
    written = write(run, "csv", tmp_path / "run.csv")
    assert written == [tmp_path / "run.csv", tmp_path / "run.requests.csv"]
    table = list(csv.DictReader(io.StringIO(written[1].read_text(encoding="utf-8"))))
    assert [row["request"] for row in table] == ["GET /", "POST /cart", "again", "<again>"]
    last = table[-1]
    assert (last["started"], last["failed_timeout"], last["status_503"], last["service_p95_ms"]) == (
        "10",
        "2",
        "3",
        "2.0",
    )
    assert table[0]["service_p95_ms"] == ""


def test_a_report_of_one_request_or_of_an_older_program_has_none(tmp_path: Path) -> None:
    run = Run(task=task_of([stretch(int(BEGAN), [1000])]), stretches=(stretch(int(BEGAN), [1000]),))
    assert "By request" not in page_of(run)
    assert write(run, "csv", tmp_path / "run.csv") == [tmp_path / "run.csv"]


# Where names come from


def test_a_plan_names_requests_and_its_task() -> None:
    further = {"url": "http://127.0.0.1:1/b", "name": "b"}
    one = {
        "name": "shop",
        "request_name": "a",
        "url": "http://127.0.0.1:1/a",
        "requests": [further],
        "rate": 1,
        "duration": 1,
    }
    (first,) = plan_of({"tasks": [one]}, Path()).tasks
    assert (first["name"], first["request_name"], first["requests"][0]["name"]) == ("shop", "a", "b")
    alone = {"name": "shop", "requests": [further], "rate": 1, "duration": 1}
    (second,) = plan_of({"tasks": [alone]}, Path()).tasks
    assert (second["name"], second["request_name"], second["requests"]) == ("shop", "b", [])
    assert as_first({"url": "u", "name": "n"}) == {"url": "u", "request_name": "n"}


def test_a_description_names_operations_by_their_path_with_its_parameters() -> None:
    parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    paths = {"/pets/{id}": {"get": {"parameters": [parameter]}}, "/pets": {"get": {}}}
    found = of_openapi({"openapi": "3.0.0", "servers": [{"url": "http://h/v1"}], "paths": paths}).requests
    assert [one.name for one in found] == ["GET /v1/pets/{id}", ""]
    assert found[0].to_api()["name"] == "GET /v1/pets/{id}"
    assert "name" not in found[1].to_api()


def test_recorded_requests_that_differ_in_an_id_have_one_name() -> None:
    urls = ("http://h/items/1", "http://h/items/2", "http://h/about?x=1")
    entries = [{"request": {"method": "GET", "url": url, "headers": []}} for url in urls]
    found = of_har(json.dumps({"log": {"entries": entries}})).requests
    assert [one.name for one in found] == ["GET /items/{id}", "GET /items/{id}", ""]
    elsewhere = [{"request": {"method": "GET", "url": "http://other/items/1", "headers": []}}]
    several_hosts = of_har(json.dumps({"log": {"entries": entries + elsewhere}})).requests
    assert several_hosts[0].name == "GET h/items/{id}"


def test_a_draft_of_a_plan_keeps_the_names() -> None:
    from ha_stress.imports.imported import Imported

    imported = Imported(requests=(ImportedRequest(url="http://127.0.0.1:1/1", name='the "first"'),))
    assert 'name = "the \\"first\\""' in plan_toml(imported, "draft")
