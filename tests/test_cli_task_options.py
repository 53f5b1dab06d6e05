"""The options that describe a task, and what becomes of them."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import REQUEST_BODY_BYTES_MAX
from ha_stress.cli.options import allowed_of
from ha_stress.cli.task_document import described
from ha_stress.cli.task_options import TaskOptions, takes_task

URL = "http://127.0.0.1:1/"


def document(**options: Any) -> dict[str, Any]:
    return described(TaskOptions(**({"url": URL, "rate": "10"} | options)))


def test_a_command_gets_an_option_for_each_field_and_keeps_its_own() -> None:
    app = typer.Typer()
    seen: list[Any] = []

    @app.command()
    @takes_task
    def load(task: TaskOptions, again: bool = False) -> None:
        """Load it."""
        seen.append((task, again))

    words = [
        URL,
        "-r",
        "1.5k",
        "-H",
        "A: b",
        "-H",
        "C: d",
        "--http2",
        "--users",
        "3",
        "--again",
        "--requests",
        "r.json",
    ]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    ((task, again),) = seen
    assert (task.url, task.rate, task.header, task.http2, task.users) == (URL, "1.5k", ["A: b", "C: d"], True, 3)
    assert again and task.requests == Path("r.json") and task.duration is None and task.check == []
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "Load it." in shown and "--think-time" in shown and "--again" in shown
    CliRunner().invoke(app, [URL])
    assert seen[1][0].header == [], "what was typed once is not typed for ever"


def test_what_was_left_out_has_the_meaning_of_the_command() -> None:
    bare = TaskOptions(url=URL)
    ran = described(bare, rate="10", duration="10s")
    assert (ran["rate"], ran["duration_s"], ran["name"]) == (10.0, 10.0, None)
    assert described(TaskOptions(url=URL, rate="5"))["duration_s"] is None, "until it is stopped"
    with pytest.raises(ConfigError, match="--rate is missing"):
        described(bare)
    assert described(bare, rate="1")["id"] != described(bare, rate="1")["id"]
    assert described(bare, rate="1", task_id="mine")["id"] == "mine"


def test_a_profile_and_users_need_no_rate_and_a_profile_has_its_duration() -> None:
    ramp = described(TaskOptions(url=URL, profile="ramp 0..100 in 20s"), rate="10", duration="10s")
    assert (ramp["rate"], ramp["duration_s"]) == (0.0, 20.0)
    assert ramp["profile"]["stages"] == [{"duration_s": 20.0, "begin": 0.0, "end": 100.0}]
    assert described(TaskOptions(url=URL, profile="ramp 0..100 in 20s", duration="1m"))["duration_s"] == 60.0
    users = described(TaskOptions(url=URL, users=5, think_time="250ms", warm_up="1s"), rate="10", duration="10s")
    assert (users["rate"], users["users"], users["think_time_s"], users["warm_up_s"]) == (0.0, 5, 0.25, 1.0)


def test_arrivals_are_drawn_with_a_seed_that_stays_the_same() -> None:
    assert document()["profile"] is None
    assert document(arrivals="poisson:7")["profile"]["poisson_seed"] == 7
    seed = document(arrivals="poisson")["profile"]["poisson_seed"]
    assert isinstance(seed, int) and seed != document(arrivals="poisson")["profile"]["poisson_seed"]


def test_a_body_that_is_no_text_is_sent_as_it_was_typed() -> None:
    assert document(body="a\udcff")["body_base64"] == b64encode(b"a\xff").decode()


def test_files_are_read_here(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\xff\0")
    (tmp_path / "shop.py").write_text("async def scenario(user): ...")
    (tmp_path / "people.csv").write_text("name\nAnn\n")
    found = document(
        body=f"@{tmp_path / 'body'}",
        scenario=tmp_path / "shop.py",
        data=[f"people={tmp_path / 'people.csv'}"],
        data_once=[f"codes={tmp_path / 'people.csv'}"],
    )
    assert found["body_base64"] == "/wA="
    assert found["scenario"]["name"] == "shop.py" and "scenario(user)" in found["scenario"]["source"]
    assert [(one["name"], one["csv"], one["again"]) for one in found["scenario"]["feeders"]] == [
        ("people", "name\nAnn\n", True),
        ("codes", "name\nAnn\n", False),
    ]


def test_further_requests_come_from_a_file_and_the_first_may_be_the_target(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text(json.dumps([{"url": "http://127.0.0.1/a", "weight": 2}, {"url": "ws://127.0.0.1/b"}]))
    assert [one["url"] for one in document(requests=file)["requests"]] == ["http://127.0.0.1/a", "ws://127.0.0.1/b"]
    alone = document(url="", requests=file)
    assert (alone["url"], alone["weight"]) == ("http://127.0.0.1/a", 2)
    assert [one["url"] for one in alone["requests"]] == ["ws://127.0.0.1/b"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": ""}, "URL is missing"),
        ({"url": "ftp://h/"}, "ftp"),
        ({"rate": "fast"}, "--rate: 'fast' is not a rate"),
        ({"rate": ""}, "--rate"),
        ({"duration": ""}, "--duration"),
        ({"duration": "soon"}, "--duration"),
        ({"think_time": "1s"}, "only users"),
        ({"users": 3}, "not both"),
        ({"profile": "zigzag"}, "--profile"),
        ({"arrivals": "never"}, "poisson:SEED"),
        ({"check": ["colour"]}, "check 'colour'"),
        ({"threshold": ["p99"]}, "threshold 'p99'"),
        ({"body": "@nowhere"}, "--body nowhere: No such file"),
        ({"scenario": Path("nowhere")}, "--scenario nowhere"),
        ({"data": ["a=b"]}, "give one with --scenario"),
        ({"requests": Path("nowhere")}, "--requests nowhere"),
        ({"http2": True, "url": "ws://h/"}, "http2"),
    ],
)
def test_bad_input_is_refused_before_anything_is_started(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        document(**options)


@pytest.mark.parametrize("text", ["{}", "[]", "[1]", "nonsense", '[{"url": "http://h/", "speed": 1}]'])
def test_a_file_of_requests_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ConfigError, match=r"--requests|requests\.0\.speed: unknown field"):
        document(requests=tmp_path / "r.json")


def test_a_file_is_read_as_far_as_it_may_be_large(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than"):
        document(body="@/dev/zero")
    (tmp_path / "large").write_bytes(b"x" * REQUEST_BODY_BYTES_MAX)
    assert document(body=f"@{tmp_path / 'large'}")["url"] == URL
    (tmp_path / "latin").write_bytes(b"name\n\xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        document(scenario=tmp_path / "latin")


def test_what_may_be_loaded_may_be_listed_with_commas_too() -> None:
    assert allowed_of(["10.0.0.0/8, 192.0.2.7", "::1"]) == ("10.0.0.0/8", "192.0.2.7/32", "::1/128")
    assert "127.0.0.0/8" in allowed_of([]) == allowed_of([","])
    with pytest.raises(ConfigError, match="cannot be allowed"):
        allowed_of(["everybody"])
