"""Import of HAR recordings and OpenAPI descriptions, and the commands that do it."""

from __future__ import annotations

import base64
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ha_stress.base.errors import ConfigError
from ha_stress.cli.import_files import parse_description
from ha_stress.cli.main import main
from ha_stress.cli.plan_file import read_plan
from ha_stress.cli.task_document import described
from ha_stress.cli.task_options import TaskOptions
from ha_stress.imports import har, openapi
from ha_stress.imports.imported import Imported, ImportedRequest
from ha_stress.imports.plan import plan_toml

# --- HAR ---


def entry(url: str, method: str = "GET", kind: str = "text/html", **request: Any) -> dict[str, Any]:
    """As a browser writes it, with what an import has to leave out."""
    headers = [
        {"name": ":authority", "value": "shop.example.org"},
        {"name": "Host", "value": "shop.example.org"},
        {"name": "Connection", "value": "keep-alive"},
        {"name": "Accept", "value": "*/*"},
        {"name": "Cookie", "value": "session=1"},
    ]
    return {
        "startedDateTime": "2024-05-01T10:00:00.000Z",
        "time": 12.5,
        "request": {
            "method": method,
            "url": url,
            "httpVersion": "h2",
            "headers": headers + request.pop("headers", []),
            "queryString": [],
            "cookies": [{"name": "session", "value": "1"}],
            "headersSize": -1,
            "bodySize": 0,
            **request,
        },
        "response": {"status": 200, "content": {"size": 10, "mimeType": kind}},
    }


def recorded(*entries: dict[str, Any]) -> str:
    return json.dumps({"log": {"version": "1.2", "creator": {"name": "x"}, "entries": list(entries)}})


def test_a_recording_becomes_requests_without_what_belongs_to_one_connection() -> None:
    found = har.requests_of(recorded(entry("https://shop.example.org/a?x=1#top")))
    assert found.requests == (
        ImportedRequest(url="https://shop.example.org/a?x=1", method="GET", headers=(("Accept", "*/*"),)),
    )
    assert found.notes == ("cookies left out: keep them with --cookies",)


def test_cookies_and_http2_are_kept_by_choice() -> None:
    (request,) = har.requests_of(recorded(entry("https://h/")), cookies=True, http2=True).requests
    assert ("Cookie", "session=1") in request.headers
    assert request.http2


def test_equal_requests_become_one_with_a_weight() -> None:
    found = har.requests_of(recorded(entry("https://h/a"), entry("https://h/b"), entry("https://h/a")))
    assert [(one.url, one.weight) for one in found.requests] == [("https://h/a", 2), ("https://h/b", 1)]


def test_hosts_and_decoration_can_be_left_out_and_it_is_said() -> None:
    text = recorded(
        entry("https://shop.example.org/"),
        entry("https://cdn.shop.example.org/app.js", kind="text/javascript; charset=utf-8"),
        entry("https://tracker.example.net/t"),
        entry("wss://shop.example.org/live"),
        entry("data:image/png;base64,AAAA", kind="image/png"),
    )
    below = har.requests_of(text, hosts=["shop.example.org", "*.shop.example.org"])
    assert [one.url for one in below.requests] == ["https://shop.example.org/", "https://cdn.shop.example.org/app.js"]
    assert "1 request to other hosts left out" in below.notes
    assert "2 requests that are not HTTP left out" in below.notes
    plain = har.requests_of(text, hosts=["*.shop.example.org", "shop.example.org:443"], static=False)
    assert [one.url for one in plain.requests] == ["https://shop.example.org/"]
    with pytest.raises(ConfigError, match="no request that can be sent"):
        har.requests_of(text, hosts=["nowhere.example.org"])


@pytest.mark.parametrize(
    ("posted", "body", "kind"),
    [
        ({"mimeType": "application/json", "text": '{"a":"ü"}'}, '{"a":"ü"}'.encode(), None),
        (
            {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a", "value": "1 2"}]},
            b"a=1+2",
            "application/x-www-form-urlencoded",
        ),
        (
            {"mimeType": "image/png", "encoding": "base64", "text": base64.b64encode(b"\x89PNG").decode()},
            b"\x89PNG",
            "image/png",
        ),
    ],
)
def test_posted_data_become_the_body(posted: dict[str, Any], body: bytes, kind: str | None) -> None:
    own = [{"name": "content-type", "value": posted["mimeType"]}] if kind is None else []
    (request,) = har.requests_of(recorded(entry("http://h/", "POST", headers=own, postData=posted))).requests
    assert (request.method, request.body) == ("POST", body)
    kinds = [value for name, value in request.headers if name.lower() == "content-type"]
    assert kinds == [kind or posted["mimeType"]]


def test_a_recorded_upload_is_multipart_again_with_a_boundary_of_its_own() -> None:
    params = [{"name": "f", "fileName": "a.txt", "contentType": "text/plain", "value": "hi"}]
    posted = {"mimeType": "multipart/form-data; boundary=old", "params": params}
    old = [{"name": "Content-Type", "value": "multipart/form-data; boundary=old"}]
    (request,) = har.requests_of(recorded(entry("http://h/", "POST", headers=old, postData=posted))).requests
    kind = dict(request.headers)["Content-Type"]
    assert "old" not in kind
    assert kind.partition("boundary=")[2].encode() in request.body
    assert b'filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhi\r\n' in request.body


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<har>", "not JSON"),
        ("[]", "no log.entries"),
        ('{"log": {"entries": {}}}', "not a list"),
        ('{"log": {"entries": [{}]}}', "entry 1 of the HAR file has no request"),
        ('{"log": {"entries": []}}', "no request that can be sent"),
        ('{"log": {"entries": [{"request": {"url": "http://h/", "headers": 1}}]}}', "entry 1 .* another shape"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        har.requests_of(text)


# --- OpenAPI ---

PETS = """
openapi: 3.0.3
info: {title: Pets, version: "1.0"}
servers:
  - url: https://{region}.example.org/v1/
    variables: {region: {default: eu}}
security: [{key: []}]
paths:
  /pets:
    parameters:
      - {name: X-Trace, in: header, required: true, schema: {type: string, format: uuid}}
    get:
      tags: [read]
      parameters:
        - {name: limit, in: query, required: true, schema: {type: integer, minimum: 10}}
        - {name: tags, in: query, required: true, example: [big, red], schema: {type: array, items: {type: string}}}
        - {name: since, in: query, schema: {type: string, format: date}, example: 2024-02-03}
        - {name: unused, in: query, schema: {type: string}}
      responses:
        "200": {description: ok, content: {application/json: {}}}
    post:
      tags: [write]
      security: []
      requestBody: {$ref: "#/components/requestBodies/Pet"}
      responses: {"201": {description: made}}
  /pets/{petId}/photos/{n}:
    put:
      parameters:
        - {name: petId, in: path, required: true, schema: {type: string}, example: "a b/c"}
        - {name: n, in: path, required: true, schema: {type: integer}}
      requestBody:
        content: {multipart/form-data: {schema: {type: object, properties: {title: {type: string}, ok: {type: boolean}}}}}
      responses: {default: {description: any}}
    delete: {deprecated: true, responses: {}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}
  requestBodies:
    Pet: {content: {text/plain: {}, application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
  schemas:
    Pet:
      type: object
      required: [name]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, example: Rex}
        kind: {type: string, enum: [dog, cat]}
        born: {type: string, format: date}
        owner: {$ref: "#/components/schemas/Owner"}
        parents: {type: array, items: {$ref: "#/components/schemas/Pet"}}
    Owner:
      allOf:
        - {type: object, properties: {email: {type: string, format: email}}}
        - {properties: {age: {type: integer, maximum: 0}}}
"""


def pets() -> Any:
    return parse_description("pets.yaml", PETS)


def test_each_operation_becomes_a_request_with_example_values() -> None:
    found = openapi.requests_of(pets())
    listing, create, upload = found.requests
    assert listing.url == "https://eu.example.org/v1/pets?limit=10&tags=big&tags=red&since=2024-02-03"
    assert listing.headers == (("X-Trace", "00000000-0000-4000-8000-000000000001"), ("Accept", "application/json"))
    assert (create.method, create.url) == ("POST", "https://eu.example.org/v1/pets")
    body = json.loads(create.body)
    assert body["name"] == "Rex" and body["kind"] == "dog" and body["born"] == "2024-01-31"
    assert body["owner"] == {"email": "user@example.org", "age": 0}
    assert "id" not in body
    assert upload.url == "https://eu.example.org/v1/pets/a%20b%2Fc/photos/1"
    assert b'name="title"\r\n\r\nexample\r\n' in upload.body and b'name="ok"\r\n\r\ntrue\r\n' in upload.body
    assert found.notes == (
        "key: add your key as the header X-Key",
        "DELETE /pets/{petId}/photos/{n} is deprecated and was left out",
    )


def test_operations_are_chosen_by_method_and_tag_and_the_server_can_be_another_one() -> None:
    (only,) = openapi.requests_of(pets(), methods=["GET"], base_url="http://127.0.0.1:8080").requests
    assert only.url.startswith("http://127.0.0.1:8080/pets?")
    (only,) = openapi.requests_of(pets(), tags=["write"]).requests
    assert only.method == "POST"
    with pytest.raises(ConfigError, match="no operation that was asked for"):
        openapi.requests_of(pets(), tags=["none"])


def test_the_server_that_is_nearest_to_an_operation_is_the_one_that_is_loaded() -> None:
    paths = {
        "/a": {"get": {}, "put": {"servers": [{"url": "http://own/o"}]}, "servers": [{"url": "http://path/p"}]},
        "/b": {"get": {}},
    }
    document = {"openapi": "3.0.3", "servers": [{"url": "http://all/v1"}], "paths": paths}
    urls = [one.url for one in openapi.requests_of(document).requests]
    assert urls == ["http://path/p/a", "http://own/o/a", "http://all/v1/b"]
    assert {one.url for one in openapi.requests_of(document, base_url="http://mine").requests} == {
        "http://mine/a",
        "http://mine/b",
    }


def test_what_is_binary_in_a_form_is_a_file_with_a_name() -> None:
    fields = {
        "note": {"type": "string", "example": "x"},
        "photo": {"type": "string", "format": "binary"},
        "more": {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1},
    }
    media = {
        "schema": {"type": "object", "required": list(fields), "properties": fields},
        "encoding": {"photo": {"contentType": "image/png, image/gif"}},
    }
    post = {"requestBody": {"content": {"multipart/form-data": media}}}
    document = {"openapi": "3.0.3", "servers": [{"url": "http://h"}], "paths": {"/a": {"post": post}}}
    body = openapi.requests_of(document).requests[0].body
    assert b'name="note"\r\n\r\nx' in body
    assert b'name="photo"; filename="file"\r\nContent-Type: image/png\r\n' in body
    assert b'name="more"; filename="file"\r\nContent-Type: application/octet-stream\r\n' in body


def test_a_relative_server_is_completed_by_the_base() -> None:
    document = pets() | {"servers": [{"url": "/v2"}]}
    with pytest.raises(ConfigError, match="--base"):
        openapi.requests_of(document)
    found = openapi.requests_of(document, base_url="http://h:1", methods=["post"])
    assert found.requests[0].url == "http://h:1/v2/pets"


@pytest.mark.parametrize(
    ("parameter", "query"),
    [
        ({"example": ["a", "b"]}, "p=a&p=b"),
        ({"example": ["a", "b"], "explode": False}, "p=a%2Cb"),
        ({"example": ["a", "b"], "style": "pipeDelimited"}, "p=a%7Cb"),
        ({"example": {"k": 1}, "style": "deepObject"}, "p%5Bk%5D=1"),
        ({"example": {"k": 1, "l": True}}, "k=1&l=true"),
        ({"examples": {"one": {"value": "x y"}}}, "p=x%20y"),
        ({"content": {"application/json": {"example": {"a": 1}}}}, "p=%7B%22a%22%3A%201%7D"),
        ({"schema": {"type": ["null", "integer"], "exclusiveMinimum": 5}}, "p=6"),
    ],
)
def test_query_parameters_are_written_in_their_style(parameter: dict[str, Any], query: str) -> None:
    operation = {"parameters": [{"name": "p", "in": "query", "required": True, **parameter}]}
    document = {"openapi": "3.1.0", "servers": [{"url": "http://h"}], "paths": {"/x": {"get": operation}}}
    (request,) = openapi.requests_of(document).requests
    assert request.url == f"http://h/x?{query}"


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([], "not an object"),
        ({"swagger": "2.0"}, "Swagger 2.0 cannot be imported"),
        ({"openapi": "4.0"}, "begins with 3."),
        ({"openapi": "3.0.0"}, "no paths"),
        (
            {"openapi": "3.0.0", "servers": [{"url": "http://h", "variables": [1]}], "paths": {"/a": {"get": {}}}},
            "another shape",
        ),
        (
            {"openapi": "3.0.0", "servers": [{"url": "http://h"}], "paths": {"/a": {"get": {"parameters": "x"}}}},
            "GET /a has another shape than OpenAPI says: its parameters are not a list",
        ),
        (
            {"openapi": "3.0.0", "servers": [{"url": "http://h"}], "paths": {"/a": {"get": {"parameters": 1}}}},
            "GET /a has another shape",
        ),
        ({"openapi": "3.0.0", "servers": [{"url": "http://h"}], "paths": {"/a": {"$ref": "#/x"}}}, "points to nothing"),
        ({"openapi": "3.0.0", "servers": [{"url": "http://h"}], "paths": {"/a": {"$ref": "o.yaml"}}}, "points outside"),
        ({"openapi": "3.0.0", "servers": [{"url": "http://h"}], "paths": {"/a": {"$ref": "#/paths/~1a"}}}, "to itself"),
    ],
)
def test_what_is_no_description_is_refused_in_one_sentence(document: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        openapi.requests_of(document)


def test_a_base_that_is_no_url_is_told_from_a_description_without_a_server() -> None:
    for base in ("localhost:8080", "h", "ftp://h"):
        with pytest.raises(ConfigError, match=f"--base '{base}' is not a URL: write for example http://"):
            openapi.requests_of(pets(), base_url=base)


@pytest.fixture(params=["C", "Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML with libyaml, and as it is without."""
    if request.param == "Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


@pytest.mark.usefixtures("parser")
def test_yaml_dates_stay_text_and_what_is_neither_json_nor_yaml_is_refused() -> None:
    assert parse_description("x", "a: 2024-02-03\nb: 1") == {"a": "2024-02-03", "b": 1}
    words = "[NO, yes, on, 12:30, 010, true, False, 7, -7, 1.5, 1e3, .5, 0x1F, null, =]"
    expected = ["NO", "yes", "on", "12:30", "010", True, False, 7, -7, 1.5, 1000.0, 0.5, 31, None, "="]
    assert parse_description("x", f"yes: {words}") == {"yes": expected}
    for text in ("{", "a: [", "a: !!python/object:os.system x"):
        with pytest.raises(ConfigError, match="x: not "):
            parse_description("x", text)


@pytest.mark.usefixtures("parser")
def test_yaml_that_would_be_more_than_memory_holds_is_refused() -> None:
    ten = ",".join
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{ten([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    merges = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{ten([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12))
    long = f"a: &a {'x' * 100_000}\nb: [{ten(['*a'] * 200)}]"
    for text, says in (
        *((one, "x: its aliases stand for more than 10,000,000") for one in (bomb, merges, long)),
        ("a: &a [*a]", r"x: what \*a stands for contains itself"),
        ("[" * 100_000, "x: there are more than 200 lists"),
        ("- " * 100_000, "x: there are more than 200 lists"),
        ("a: *b", "x: not YAML: found undefined alias"),
    ):
        with pytest.raises(ConfigError, match=says):
            parse_description("x", text)
    usual = "base: &base {a: 1}\nown: {<<: *base, b: 2}\nsame: *base"
    assert parse_description("x", usual) == {"base": {"a": 1}, "own": {"a": 1, "b": 2}, "same": {"a": 1}}


# --- the commands ---


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def test_the_commands_write_what_the_option_requests_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pets.yaml").write_text(PETS)
    (tmp_path / "a.har").write_text(recorded(entry("https://h/")))
    out = tmp_path / "requests.json"
    assert run("import", "openapi", str(tmp_path / "pets.yaml"), "-X", "get", "-H", "X-Key: 1", "-o", str(out)) == 0
    (request,) = json.loads(out.read_text())
    assert ["X-Key", "1"] in request["headers"]
    assert "run them with --requests" in capsys.readouterr().err
    assert run("import", "har", str(tmp_path / "a.har")) == 0
    assert json.loads(capsys.readouterr().out)[0]["url"] == "https://h/"
    assert run("import", "curl", "curl -L http://h/", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 1
    assert run("import", "curl", "wget http://h/") == 2
    assert run("import", "har", str(tmp_path / "none.har")) == 2
    assert "No such file" in capsys.readouterr().err


def test_half_a_character_in_a_recording_does_not_keep_the_others_from_being_written(tmp_path: Path) -> None:
    odd = entry("http://h/", headers=[{"name": "X-Odd", "value": "a\ud800b"}])
    (tmp_path / "a.har").write_text(recorded(odd))
    for name in ("out.json", "out.toml"):
        assert run("import", "har", str(tmp_path / "a.har"), "-o", str(tmp_path / name)) == 0
        assert "a?b" in (tmp_path / name).read_text("utf-8")


def test_a_draft_of_a_plan_is_one_that_the_plan_reader_takes(tmp_path: Path) -> None:
    (tmp_path / "pets.yaml").write_text(PETS)
    out = tmp_path / "pets.toml"
    assert run("import", "openapi", str(tmp_path / "pets.yaml"), "-H", 'X-"Q": \\', "-o", str(out)) == 0
    (task,) = read_plan(out).tasks
    assert (task["name"], task["rate"], task["duration_s"]) == ("pets", 1.0, 30.0)
    sent = [task, *task["requests"]]
    assert [one["url"] for one in sent] == [one.url for one in openapi.requests_of(pets()).requests]
    assert all(['X-"Q"', "\\"] in one["headers"] for one in sent)
    assert base64.b64decode(sent[1]["body_base64"]) == openapi.requests_of(pets()).requests[1].body


def test_a_plan_joins_headers_of_one_name_and_refuses_bodies_that_are_not_text() -> None:
    headers = (("Cookie", "a=1"), ("Cookie", "b=2"), ("Accept", "x"), ("Accept", "y"), ("D", "\x7f"))
    text = plan_toml(Imported(requests=(ImportedRequest(url="http://h/", headers=headers, http2=True, weight=3),)), "p")
    (request,) = tomllib.loads(text)["tasks"][0]["requests"]
    assert request["headers"] == {"Cookie": "a=1; b=2", "Accept": "x, y", "D": "\x7f"}
    assert (request["http2"], request["weight"]) == (True, 3)
    with pytest.raises(ConfigError, match="not text"):
        plan_toml(Imported(requests=(ImportedRequest(url="http://h/", body=b"\xff"),)), "p")


def test_a_task_can_be_what_a_curl_command_would_send() -> None:
    typed = TaskOptions(
        curl="curl http://h/a http://h/b -d x -m 2 --next http://h/c", rate="1", header=["A: 1"], timeout="7s"
    )
    document = described(typed)
    assert [one["url"] for one in (document, *document["requests"])] == ["http://h/a", "http://h/b", "http://h/c"]
    assert (document["method"], document["body"], document["timeout_s"]) == ("POST", "x", 2.0)
    assert document["requests"][1]["timeout_s"] == 7.0, "the option stands where the command says nothing"
    assert all(["A", "1"] in one["headers"] for one in (document, *document["requests"]))
    with pytest.raises(ConfigError, match="--curl says what is sent"):
        described(TaskOptions(curl="curl http://h/", url="http://h/", rate="1"))
