"""Checks: how they are written, and what a response must be like to pass them."""

from __future__ import annotations

import gzip

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.engines.checking import plain
from ha_stress.tasks.checking import compiled, failures, with_implied
from ha_stress.tasks.checks import Check, parse_check
from ha_stress.tasks.jsonpath import find, parse_path
from ha_stress.wire.codec import from_plain, to_plain

HEADERS = [(b"Content-Type", b"application/json; charset=utf-8"), (b"X-Count", b"12"), (b"x-count", b"7")]
BODY = b'{"items": [{"id": 3, "name": "Ann"}, {"id": 4}], "ok": true, "two words": {"n": null}, "pi": 3.5, "s": "3"}'


def passes(text: str, *, status: int = 200, body: bytes = BODY, latency_ms: float = 12.5) -> bool:
    return failures(compiled([parse_check(text)]), status, HEADERS, body, latency_ms) == []


@pytest.mark.parametrize(
    "text",
    [
        "status==200", "status == 200", "status in 200,204", "status in 404, 200-299", "status<400", "status != 500",
        "status >= 200", "STATUS == 200",
        "header content-type contains json", "header Content-Type matches ^application/", "header x-count == 7",
        "header x-count > 10", "header x-count exists", "header x-none not exists", "header x-none != 1",
        "header content-type not contains html",
        "body contains Ann", "body not contains Bob", r"body matches \"id\": \d", 'body contains "two words"',
        "json $.items[0].id == 3", "json $.items[-1].id == 4", "json $.items[*].id == 4", "json $.ok == true",
        "json $.ok exists", "json $.none not exists", "json $['two words'].n == null", 'json $["two words"].n exists',
        "json $.items[0].name == Ann", 'json $.items[0].name == "Ann"', "json $.items[0].name matches ^A",
        "json $.items[0].name contains nn", "json $.pi > 3", "json $.pi<=3.5", "json $.ok != 1", "json $.s == \"3\"",
        "json $.s != 3", "json $.none != 3", "json $ contains items", "json $.items[*].name contains Ann",
        "size<1000", "size < 1k", "size<=1KiB", "size != 0",
        "latency<200ms", "latency <= 12.5", "latency >= 12500us", "latency<1s",
    ],
)  # fmt: skip
def test_a_response_that_is_as_the_check_says_passes_it(text: str) -> None:
    assert passes(text)


@pytest.mark.parametrize(
    "text",
    [
        "status==201", "status in 201,204", "status in 300-399", "status<200",
        "header content-type contains xml", "header x-none exists", "header x-none == 1", "header x-count > 12",
        "header content-type < 3", "header x-count != 7",
        "body contains ann", "body matches ^ok$", "body == ok", "body not contains Ann",
        "json $.items[0].id == 4", "json $.items[2].id exists", "json $.items.id exists", "json $.ok == 1",
        "json $.ok > 0", "json $.s == 3", "json $.items[0].id != 3", "json $.ok not exists", "json $.s < 4",
        "size<10", "size==0", "latency<10ms", "latency>=13ms",
    ],
)  # fmt: skip
def test_a_response_that_is_not_fails_it_by_its_text(text: str) -> None:
    check = parse_check(text)
    assert failures(compiled([check]), 200, HEADERS, BODY, 12.5) == [text]


def test_a_body_that_is_not_json_fails_every_json_check() -> None:
    deep = b"[" * 100_000
    for body in (b"", b"<html>", b"\xff\xfe\x00", b'{"a": ', deep):
        assert not passes("json $.a not exists", body=body)
        assert not passes("json $.a == 1", body=body)
        assert not passes("json $ != 1", body=body)


@pytest.mark.parametrize("text", ["json $ == 1", "json $.ok exists", "json $.ok not exists", "json $ matches 1"])
@pytest.mark.parametrize("body", [b"", b"1"])
def test_a_short_body_that_was_longer_with_its_coding_is_looked_at_as_any_other(text: str, body: bytes) -> None:
    short = plain([(b"content-encoding", b"gzip")], gzip.compress(body))
    assert len(short) > 4
    assert passes(text, body=short) == passes(text, body=body)


def test_json_as_deep_as_can_just_be_read_ends_nothing() -> None:
    for depth in range(900, 1000):
        passes("json $ matches x", body=b"[" * depth + b"]" * depth)


def test_an_empty_body_is_a_body() -> None:
    assert passes('body == ""', body=b"")
    assert passes("size==0", body=b"")
    assert passes("body matches ^$", body=b"")
    assert not passes("body contains ok", body=b"")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not understood"),
        ("nonsense", "not understood"),
        ("statuses == 200", "not understood"),
        ("status = 200", "of status one can ask"),
        ("status", "of status one can ask"),
        ("status contains 2", "of status one can ask"),
        ("status == ok", "three digits"),
        ("status == 20", "three digits"),
        ("status == 200.5", "three digits"),
        ("status in 2xx", "not statuses"),
        ("status in 200,", "not statuses"),
        ("status ==", "value is missing"),
        ("header == 3", "names no header"),
        ("header content-type", "of header one can ask"),
        ("header x exists 3", "nothing follows"),
        ("header x < many", "not a number"),
        ("body exists", "of body one can ask"),
        ("body matches (", "regular expression is broken"),
        ("json items == 3", "no path"),
        ("json $.a[ == 3", "no path"),
        ("json $..a == 3", "no path"),
        ("json $.a[1:2] exists", "no path"),
        ("json $.a", "of json one can ask"),
        ("json $.a < b", "not a number"),
        ("size < 10 apples", "not a number"),
        ("size < nan", "not a number"),
        ("latency == 3ms", "of latency one can ask"),
        ("latency < 10 years", "not a number"),
        ("body contains a\nb", "one line"),
        ("body contains " + "a" * 200, "one line"),
        ("status in 300-200", "not statuses"),
        ("status == \u0662\u0660\u0660", "three digits"),
        ("size < \u0663k", "not a number"),
        ("size < -1", "never below 0"),
        ("latency > -5ms", "never below 0"),
        ("json $.a[\u0660] == 3", "no path"),
    ],
)
def test_a_bad_check_is_refused_in_one_sentence(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse_check(text)
    assert "\n" not in str(caught.value)


def test_a_bad_check_gets_an_example_that_is_good() -> None:
    with pytest.raises(ConfigError, match="write for example 'status == 200'") as caught:
        parse_check("status is 200")
    parse_check(str(caught.value).split("'")[-2])


def test_a_check_crosses_the_wire_unchanged() -> None:
    for text in ("json $.a == 3", "size < 3", "body contains 3", "header x exists"):
        check = parse_check(text)
        assert from_plain(Check, to_plain(check)) == check


def test_what_a_response_is_needed_for_is_known_before() -> None:
    status = compiled([parse_check("status==200"), parse_check("status<300")])
    assert status.only_status
    assert not status.needs_body
    assert not status.needs_headers
    assert status.passing == {200}
    assert not compiled([]).rest
    assert len(compiled([]).passing) == 900
    assert compiled([parse_check("size<3")]).needs_body
    assert compiled([parse_check("json $ exists")]).needs_body
    assert compiled([parse_check("header a exists")]).needs_headers
    latency = compiled([parse_check("latency<3ms")])
    assert not latency.only_status
    assert not latency.needs_body


def test_failures_are_named_once_in_their_order() -> None:
    checks = compiled([parse_check(text) for text in ("size<1", "status==200", "body contains x", "size<1")])
    assert failures(checks, 500, [], b"abc", 1.0) == ["status==200", "size<1", "body contains x"]
    assert failures(checks, 1234, [], b"x", 1.0) == ["size<1"]


def test_a_task_without_a_check_of_the_status_gets_one() -> None:
    assert [check.text for check in with_implied([parse_check("size<3")])] == ["status<400", "size<3"]
    assert [check.text for check in with_implied([parse_check("status==500")])] == ["status==500"]
    assert parse_check("status<400") == with_implied([])[0]


def test_a_path_leads_to_every_value_that_it_names() -> None:
    document = {"a": [{"b": 1}, {"b": 2}, 3], "x'y": {"k-l": 4}}
    for path, found in (
        ("$", [document]),
        ("$.a[*].b", [1, 2]),
        ("$.a[-1]", [3]),
        ("$.a[3]", []),
        (r"$['x\'y'].k-l", [4]),
        ("$.*", [document["a"], document["x'y"]]),
        ("$.a.b", []),
    ):
        steps = parse_path(path)
        assert steps is not None
        assert find(document, steps) == found
    assert parse_path("$.a b") is None
    assert parse_path("a.b") is None
