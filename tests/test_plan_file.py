"""Plan files: what they may say, and what is said about those that say something else."""

from __future__ import annotations

import re
import tomllib
from base64 import b64decode
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ha_stress.api.creation import checked
from ha_stress.base.errors import ConfigError
from ha_stress.cli.dry_run import nodes_of, plan_view, preview
from ha_stress.cli.plan_file import RunPlan, plan_of, read_plan
from ha_stress.cli.plan_model import PlanTask
from ha_stress.cli.run_outputs import named, outputs_of
from ha_stress.cli.run_place import Place

PLAN = """
name = "checkout"

[defaults]
timeout = "2s"
thresholds = ["p99 < 200ms over 10s", "error_rate < 1%"]

[cluster]
nodes = 3
engines = 2
timing = {down_after_s = 1.5}

[outputs]
html = "out/report.html"
junit = "out/junit.xml"

[[tasks]]
name = "browse"
url = "http://127.0.0.1:8080/items"
rate = "1.5k"
duration = "1m"
warm_up = "5s"
checks = ["status == 200"]
headers = {Accept = "application/json"}

[[tasks]]
name = "buy"
url = "http://127.0.0.1:8080/buy"
method = "post"
body = '{"item": 1}'
stages = [{duration = "10s", begin = 0, end = 100}, {duration = 20, begin = 100, end = "50"}]
thresholds = ["failed < 10 abort after 5s"]
requests = [{url = "http://127.0.0.1:8080/pay", weight = 2, body_file = "pay.json"}]
nodes_max = 1

[[tasks]]
url = "http://127.0.0.1:8080/"
users = 10
think_time = "250ms"
duration = 30
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "pay.json").write_bytes(b'{"card": 7}')
    return tmp_path


def parsed(text: str, beside: Path) -> RunPlan:
    return plan_of(tomllib.loads(text), beside)


def test_a_plan_has_several_tasks_on_top_of_defaults(beside: Path) -> None:
    plan = parsed(PLAN, beside)
    browse, buy, users = plan.tasks
    assert (browse["rate"], browse["duration_s"], browse["warm_up_s"], browse["timeout_s"]) == (1500, 60, 5, 2)
    assert browse["thresholds"] == ["p99 < 200ms over 10s", "error_rate < 1%"]
    assert buy["thresholds"] == ["failed < 10 abort after 5s"], "what a task says goes before the defaults"
    assert browse["headers"] == [["Accept", "application/json"]]
    assert (buy["method"], b64decode(buy["body_base64"])) == ("POST", b'{"item": 1}')
    assert buy["duration_s"] == 30 and buy["profile"]["stages"][1] == {"duration_s": 20, "begin": 100, "end": 50}
    (pay,) = buy["requests"]
    assert (pay["weight"], b64decode(pay["body_base64"])) == (2, b'{"card": 7}')
    assert (users["users"], users["think_time_s"], users["duration_s"]) == (10, 0.25, 30)
    assert (plan.name, plan.cluster.nodes, plan.cluster.engines) == ("checkout", 3, 2)
    assert plan.outputs == {"html": beside / "out/report.html", "junit": beside / "out/junit.xml"}
    assert len({task["id"] for task in plan.tasks}) == 3
    for task in plan.tasks:
        checked(task)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "buy"', 'threshholds = ["p99<1s"]', "tasks[1].threshholds: unknown key, did you mean thresholds?"),
        ("warm_up =", "warmup =", "tasks[0].warmup: unknown key, did you mean warm_up?"),
        ("nodes = 3", "node = 3", "cluster.node: unknown key, did you mean nodes?"),
        ("junit =", "xml =", "outputs.xml: unknown key; there are dir, html, json, csv, hgrm, junit"),
        ('timeout = "2s"', 'timout = "2s"', "defaults.timout: unknown key, did you mean timeout?"),
        ("weight = 2", "wieght = 2", "tasks[1].requests[0].wieght: unknown key, did you mean weight?"),
        ("begin = 100", "start = 100", "tasks[1].stages[1].start: unknown key"),
        ("[cluster]", "[clusters]", "clusters: unknown key, did you mean cluster?"),
        ('rate = "1.5k"', "rate = true", "tasks[0].rate: True is not a rate"),
        ('rate = "1.5k"', "", "tasks[0].rate: missing"),
        ('rate = "1.5k"', "rate = inf", "tasks[0].rate: inf is not a rate"),
        ('duration = "1m"', "", "tasks[0].duration: missing"),
        ('duration = "1m"', 'duration = "soon"', "tasks[0].duration: 'soon' is not a duration"),
        ('url = "http://127.0.0.1:8080/items"', "", "tasks[0].url: missing"),
        ('url = "http://127.0.0.1:8080/items"', "url = 5", "tasks[0].url: input should be a valid string"),
        ("8080/items", "8080/it ems", "tasks[0]: URL"),
        ('"status == 200"', '"status is 200"', "tasks[0].checks[0]: check 'status is 200': of status one can ask"),
        (
            '"failed < 10 abort after 5s"',
            '"failed"',
            "tasks[1].thresholds[0]: threshold 'failed': it is not of the form",
        ),
        ('body_file = "pay.json"', 'body_file = "no.json"', "tasks[1].requests[0].body_file no.json: No such file"),
        ('body_file = "pay.json"', 'body_file = "/dev/zero"', "tasks[1].requests[0].body_file /dev/zero: it is larger"),
        ('body_file = "pay.json"', 'body_file = "."', "tasks[1].requests[0].body_file .: Is a directory"),
        ('body_file = "pay.json"', 'body_file = "a\\u0000b"', "tasks[1].requests[0].body_file a"),
        ('weight = 2, body_file = "pay.json"', 'body = "x", body_file = "y"', "tasks[1].requests[0]: give body or"),
        ('"http://127.0.0.1:8080/pay"', '""', "tasks[1].requests[0].url: missing"),
        ('url = "http://127.0.0.1:8080/buy"', "", "tasks[1].method: it belongs to a request; give url as well"),
        ("users = 10", 'users = 10\nscenario = "no.py"', "tasks[2].scenario "),
        ("users = 10", 'users = 10\ndata = {a = "b.csv"}', "tasks[2].data is read by a scenario"),
        ("users = 10", 'users = 10\narrivals = "never"', "tasks[2].arrivals: 'never' is none of uniform, poisson"),
        ('rate = "1.5k"', 'profile = "zigzag"', "tasks[0].profile: "),
        ("users = 10", "users = 10\nprofile = 'ramp 0..9 in 5s'", "tasks[2]: users send as fast"),
        ("down_after_s = 1.5", "down_after = 1", "cluster.timing.down_after: unknown setting"),
        (
            "down_after_s = 1.5",
            "down_after_s = true",
            "cluster.timing.down_after_s: True is neither a number nor a text",
        ),
        ("nodes = 3", 'allow = ["foo"]', "cluster.allow: "),
        ("nodes = 3", 'api = ["http://127.0.0.1:1"]', "cluster.engines: it is for a cluster that is started here"),
        ('duration = "10s"', "duration = 0", "tasks[1].stages[0].duration: 0 is no length of time"),
        ('duration = "1m"', "duration = 0", "tasks[0].duration: 0 is no length of time"),
        ("8080/pay", "8080/p y", "tasks[1].requests[0]: URL"),
        ("weight = 2", "weight = -2", "tasks[1].requests[0]: "),
        ("nodes = 3", "nodes = 0", "cluster.nodes: input should be greater than or equal to 1"),
        ("begin = 0, ", "", "tasks[1].stages[0].begin: missing"),
        ("users = 10", "users = 10\nrate = 5", "tasks[2]: users send as fast as they are answered"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(old: str, new: str, says: str, beside: Path) -> None:
    assert old in PLAN
    with pytest.raises(ConfigError) as caught:
        parsed(PLAN.replace(old, new, 1), beside)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ['outputs = "x"', 'tasks = ["a"]', "cluster = 5"])
def test_what_should_be_a_table_is_called_one(text: str, beside: Path) -> None:
    with pytest.raises(ConfigError, match=r"^(outputs|tasks\[0\]|cluster): input should be a table$"):
        parsed(text, beside)


@pytest.mark.parametrize(
    ("defaults", "own", "expected"),
    [
        ("rate = 5", "users = 3", (0.0, 3, None)),
        ("users = 3\nthink_time = 1", "rate = 5", (5.0, 0, None)),
        ('rate = 5\narrivals = "poisson:1"', "users = 3", (0.0, 3, None)),
        ("rate = 5", "rate = 7", (7.0, 0, None)),
        ('profile = "ramp 0..9 in 5s"', "rate = 7", (7.0, 0, None)),
        ("rate = 5", "stages = [{duration = 5, begin = 0, end = 9}]", (0.0, 0, 1)),
        ("rate = 5", "", (5.0, 0, None)),
    ],
)
def test_a_task_that_says_its_load_has_nothing_of_that_from_the_defaults(
    defaults: str, own: str, expected: tuple[float, int, int | None], beside: Path
) -> None:
    text = f'[defaults]\n{defaults}\n[[tasks]]\nurl = "http://127.0.0.1/"\nduration = 5\n{own}\n'
    (task,) = parsed(text, beside).tasks
    assert (task["rate"], task["users"], task["profile"] and len(task["profile"]["stages"])) == expected


def test_a_rate_beside_stages_is_not_told_as_the_highest_one(beside: Path) -> None:
    text = '[[tasks]]\nurl = "http://127.0.0.1/"\nrate = 1000\nprofile = "ramp 0..5 in 2s"\n'
    assert preview(parsed(text, beside).tasks, *nodes_of(Place()))["tasks"][0]["peak_rate"] == 5


def test_a_time_limit_of_the_task_is_one_of_all_its_requests(beside: Path) -> None:
    own = PLAN.replace("weight = 2", "timeout = 5").replace("nodes_max = 1", 'timeout = "3s"')
    for text, expected in ((PLAN, [2, 2]), (own, [3, 5])):
        buy = parsed(text, beside).tasks[1]
        assert [one["timeout_s"] for one in (buy, *buy["requests"])] == expected


def test_a_file_that_is_no_plan_is_named(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    for text, says in ((None, "No such file"), ("a =", "not TOML"), ("", "tasks: missing"), ("tasks = []", "tasks: ")):
        if text is not None:
            file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_plan(file)
        assert str(caught.value).startswith(f"{file}: {says}")
    file.write_bytes(b"\xef\xbb\xbf" + PLAN.replace("pay.json", str(file)).encode())
    assert len(read_plan(file).tasks) == 3, "some editors begin a file with a mark"


def test_a_dry_run_says_who_would_get_what(beside: Path) -> None:
    found = preview(parsed(PLAN, beside).tasks, *nodes_of(Place(nodes=3)))
    assert (found["nodes"], found["master"]) == (["n1", "n2", "n3"], "n1")
    browse, buy, users = found["tasks"]
    assert (browse["peak_rate"], browse["arrivals"], browse["duration_s"]) == (1500, 90_000, 60)
    assert [(one["node"], one["peak_rate"], one["arrivals"]) for one in browse["shares"]] == [
        ("n2", 750, 45_000),
        ("n3", 750, 45_000),
    ]
    assert (buy["peak_rate"], buy["arrivals"]) == (100, 2000), "10 s from 0 to 100 and 20 s from 100 to 50"
    assert [(one["node"], one["arrivals"]) for one in buy["shares"]] == [("n2", 2000)]
    assert (users["arrivals"], [one["users"] for one in users["shares"]]) == (None, [5, 5])


def test_a_dry_run_fits_the_screen_however_long_a_url_is(beside: Path) -> None:
    long = PLAN.replace("8080/items", f"8080/{'x' * 300}")
    screen = Console(file=StringIO(), width=80, color_system=None)
    screen.print(plan_view(preview(parsed(long, beside).tasks, *nodes_of(Place(nodes=3)))))
    assert isinstance(screen.file, StringIO)
    lines = screen.file.getvalue().splitlines()
    assert [line for line in lines if "xxx" in line] == [line for line in lines if line.endswith("…")]
    assert sum("xxx" in line for line in lines) == 1


def test_a_master_alone_gets_all_of_it(beside: Path) -> None:
    found = preview(parsed(PLAN, beside).tasks[:1], *nodes_of(Place(nodes=1)))
    assert [(one["node"], one["share"]) for one in found["tasks"][0]["shares"]] == [("n1", 1.0)]


def test_reports_of_several_tasks_have_their_names(tmp_path: Path) -> None:
    assert named(tmp_path / "report.html", "GET 127.0.0.1:80/a", 1) == tmp_path / "report.2-get-127-0-0-1-80-a.html"
    assert named(tmp_path / "r.csv", "Größte 注文 🛒!", 0).name == "r.1-größte-注文.csv"
    plan = RunPlan(tasks=(), outputs={"dir": tmp_path / "planned", "csv": tmp_path / "mine.csv"})
    found = outputs_of(plan, None, {"html": tmp_path / "typed.html"})
    assert found["csv"] == tmp_path / "mine.csv"
    assert found["html"] == tmp_path / "typed.html"
    assert found["junit"] == tmp_path / "planned" / "junit.xml"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="reports cannot be written"):
        outputs_of(plan, tmp_path / "file" / "x", {})


def test_the_example_of_the_documentation_is_a_plan(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / "plans.md").read_text(encoding="utf-8")
    plan = parsed(text.split("```toml\n")[1].split("```")[0], tmp_path)
    assert [task["name"] for task in plan.tasks] == ["browse", "buy", "back office"]
    preview(plan.tasks, *nodes_of(Place(nodes=plan.cluster.nodes)))
    keys = re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `")))
    assert set(keys) == set(PlanTask.model_fields), "every key of a task is in the table"
