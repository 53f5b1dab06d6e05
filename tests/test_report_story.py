"""What a report tells of the time of a run: the plan, deaths, failovers, and when the rate was back."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import typer

from ha_stress.api.creation import checked
from ha_stress.api.views import task_view
from ha_stress.base.errors import Unavailable
from ha_stress.cli.main import app
from ha_stress.cli.task_document import described
from ha_stress.cli.task_options import TaskOptions
from ha_stress.report.command import command_of, load_of
from ha_stress.report.gather import gather
from ha_stress.report.html import rate_chart, trouble_chart
from ha_stress.report.html.page import page_of
from ha_stress.report.html.view import letter, rows_of, view_of
from ha_stress.report.run import Run
from ha_stress.report.story import MARKS_MAX, is_short, marks_of, recoveries
from ha_stress.report.target import arrivals_wanted
from ha_stress.store.records import TaskRecord
from ha_stress.tasks.spec import Status, Wanted
from tests.report_support import BEGAN, stretch, task_of

SECOND = int(BEGAN)


def shares(**rates: float) -> list[dict[str, Any]]:
    return [{"node": node, "incarnation": f"{node}1", "rate": rate, "lost": False} for node, rate in rates.items()]


def revision(number: int, at_s: float, rate: float, limit: int | None, why: str, **rates: float) -> dict[str, Any]:
    return {"number": number, "at_s": at_s, "rate": rate, "limit": limit, "why": why, "shares": shares(**rates)}


def event(at_s: float, name: str, subject: str, **more: Any) -> dict[str, Any]:
    base = {"name": name, "source": "s1", "subject": subject, "epoch": 1, "cause": "", "meaning": "", "sequence": 1}
    return base | {"at_ms": round((SECOND + at_s) * 1000)} | more


def run_with_a_death() -> Run:
    """100/s from 0 to 10 s, then 200/s; n2 dies at 14.3 s, is found dead at 15.0 s and its share moves at 15.3 s."""
    plan = [
        revision(1, 0.0, 100.0, 1000, "the task began", n1=50, n2=50),
        revision(2, 10.0, 200.0, 1060, "rate 100 to 200 per second", n1=100, n2=100),
        revision(3, 15.3, 200.0, 940, "n2 gone", n1=200),
    ]
    sent = [(50, 50)] * 10 + [(100, 100)] * 4 + [(100, 5), (170, 0)] + [(200, 0)] * 4
    stretches = [
        stretch(SECOND + n, [1000] * sum(pair), sent={"n1": pair[0], "n2": pair[1]}) for n, pair in enumerate(sent)
    ]
    events = (
        event(0.0, "+revision", "t-1"),
        event(14.9, "+sdown", "n2"),
        event(15.0, "+odown", "n2", cause="crash"),
        event(15.1, "+odown", "n2", source="s2"),
        event(16.0, "-failover-abort-not-elected", "n9"),
        event(16.4, "+acting", "n3", epoch=2),
        event(18.0, "+node", "n2"),
    )
    task = task_of(stretches, plan=plan, started_at=float(SECOND), rate=200.0)
    return Run(
        task=task | {"ended_at": SECOND + 20.0}, stretches=tuple(stretches), events=events, made_at=SECOND + 30.0
    )


def test_the_target_follows_the_plan() -> None:
    task = dict(run_with_a_death().task)
    assert arrivals_wanted(task, SECOND + 3, SECOND + 4) == pytest.approx(100)
    assert arrivals_wanted(task, SECOND + 9.5, SECOND + 10.5) == pytest.approx(150)
    assert arrivals_wanted(task, SECOND + 15, SECOND + 16) == pytest.approx(200)
    assert arrivals_wanted(task, SECOND + 19.5, SECOND + 25) == pytest.approx(100)
    assert arrivals_wanted(task, SECOND - 5, SECOND) == 0
    assert arrivals_wanted(task | {"users": 5}, SECOND, SECOND + 1) is None
    assert arrivals_wanted(task | {"started_at": None}, SECOND, SECOND + 1) is None


def test_the_target_of_a_profile_is_its_rate_added_up() -> None:
    ramp = {"stages": [{"duration_s": 10.0, "begin": 0.0, "end": 100.0}], "poisson_seed": None}
    plan = [revision(1, 0.0, 0.0, None, "the task began", n1=0), revision(2, 4.0, 0.0, None, "n1 gone", n2=0)]
    task = {"started_at": 1000.0, "plan": plan, "profile": ramp, "duration_s": 20.0}
    assert arrivals_wanted(task, 1000, 1010) == pytest.approx(500)
    assert arrivals_wanted(task, 1003.5, 1004.5) == pytest.approx(40)
    assert arrivals_wanted(task, 1012, 1013) == pytest.approx(100)
    assert arrivals_wanted(task, 1019, 1030) == pytest.approx(100)


def test_marks_are_what_an_operator_would_ask_about_once_each() -> None:
    marks = marks_of(run_with_a_death())
    assert [(round(mark.at_s, 3), mark.title) for mark in marks] == [
        (10.0, "100 to 200/s"),
        (15.0, "n2 is down"),
        (15.3, "shares moved"),
        (16.4, "n3 is master"),
        (18.0, "n2 joined"),
    ]


def test_a_recovery_says_when_the_sum_was_back_at_the_target() -> None:
    run = run_with_a_death()
    (found,) = recoveries(run, run.course(600))
    assert (found.node, found.found_s, found.moved_s, found.back_s) == ("n2", 15.0, 15.3, 15.3)
    assert found.lowest == pytest.approx(105 / 200)
    assert "The lowest second around it had 52 % of the target" in found.sentence
    assert found.sentence.endswith("from 15.3 s on, 0.3 s after it was found, the sum was at the target again.")
    lazy = (*run.stretches[:15], stretch(SECOND + 15, [1000] * 150, sent={"n1": 150}), *run.stretches[16:])
    assert recoveries(replace(run, stretches=lazy), lazy)[0].back_s == 16.0  # more is missing than n2 would have sent
    early = replace(run, stretches=run.stretches[:16])
    (cut,) = recoveries(early, early.course(600))
    assert (cut.back_s, cut.measured) == (None, False) and "The run ended before" in cut.sentence
    weak = [replace(one, numbers=dict(one.numbers) | {"started": 150}) for one in run.stretches[15:]]
    (never,) = recoveries(run, (*run.stretches[:15], *weak))
    assert (never.back_s, never.measured) == (None, True)
    assert never.sentence.endswith("; the sum was not at the target again until the end.")


def test_a_recovery_is_told_however_much_else_happened() -> None:
    run = run_with_a_death()
    alarms = [event(1 + n / 10, "+bus-down", "n1", cause=f"number {n}") for n in range(MARKS_MAX)]
    noisy = replace(run, events=(*alarms, *run.events))
    assert recoveries(noisy, noisy.course(600)) == recoveries(run, run.course(600)) != []
    marks = marks_of(noisy)
    assert len(marks) == MARKS_MAX, "and no more than anybody reads"
    assert {"n2 is down", "n3 is master"} < {mark.title for mark in marks}, (
        "of which the deaths are not the ones left out"
    )
    assert [mark.at_s for mark in marks] == sorted(mark.at_s for mark in marks)


def test_a_node_may_be_called_whatever_a_sentence_says_of_nodes() -> None:
    run = run_with_a_death()
    plan = json.loads(json.dumps(run.task["plan"]).replace('"n2"', '"the master is down"'))
    events = [dict(one) | {"subject": "the master is down"} if one["subject"] == "n2" else one for one in run.events]
    told = recoveries(replace(run, task=dict(run.task) | {"plan": plan}, events=tuple(events)), run.stretches)
    assert [one.node for one in told] == ["the master is down"]


def test_every_failure_is_in_the_plot_of_what_went_wrong_however_many_kinds_there_are() -> None:
    run = run_with_a_death()
    counts = {f"kind{number}": 10 - number for number in range(9)}
    second = replace(run.stretches[3], named=dict(run.stretches[3].named) | {"failures": counts})
    view = view_of(replace(run, stretches=(*run.stretches[:3], second, *run.stretches[4:])))
    told = trouble_chart.hover(view)
    assert [name for name, _ in told.names] == [*(f"failed: kind{n}" for n in range(5)), "other kinds"]
    assert sum(int(values[3]) for values in told.values) == sum(counts.values())


def test_what_falls_on_an_edge_or_is_chance_is_not_below_the_target() -> None:
    task: dict[str, Any] = {"profile": None}
    assert not is_short(task, 1.5, 1) and not is_short(task, 50, 49) and not is_short(task, 1000, 990)
    assert is_short(task, 5, 3) and is_short(task, 50, 48) and is_short(task, 1000, 989)
    poisson = {"profile": {"stages": [], "poisson_seed": 7}}
    assert not is_short(poisson, 100, 70) and is_short(poisson, 100, 60)


def test_the_plot_shows_the_dip_each_workers_part_and_every_mark() -> None:
    view = view_of(run_with_a_death())
    drawn = rate_chart.draw(view, 1040)
    text = drawn.svg("wide")
    assert text.count('class="missing"') == 2
    assert text.count('class="area c') == 2
    assert text.count('class="mark') == text.count('<circle class="badge') == len(view.marks) == 5
    told = rate_chart.hover(view)
    assert [name for name, _ in told.names] == ["target", "sent", "n1", "n2"]
    assert [values[14] for values in told.values] == ["200", "105", "100", "5"]
    assert all(len(values) == len(told.places) == 20 for values in told.values)


def test_a_stretch_that_is_only_partly_scheduled_has_its_rate_over_that_part() -> None:
    stretches = [stretch(SECOND, [1000] * 75), *(stretch(SECOND + n, [1000] * 100) for n in range(1, 4))]
    task = task_of(stretches, duration_s=3.75)  # begins a quarter of a second into its first one
    view = view_of(Run(task=task, stretches=tuple(stretches)))
    assert rate_chart.sums(view) == pytest.approx([100.0] * 4)
    assert rate_chart.targets(view) == pytest.approx([100.0] * 4)


def test_badges_that_would_cover_each_other_go_above_or_are_left_out() -> None:
    assert rows_of([0, 100, 104, 108, 110, 200]) == [0, 0, 1, 2, -1, 0]
    assert [letter(number) for number in (0, 25, 26, 27)] == ["A", "Z", "AA", "AB"]


class Cluster:
    """Answers as the client does, in pages of one stretch."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.asked = 0

    def task(self, task_id: str) -> dict[str, Any]:
        assert task_id == "t-1"
        return dict(self.run.task)

    def series(
        self, task_id: str, *, width_s: int | None = None, after: int = -1, histograms: bool = False
    ) -> dict[str, Any]:
        assert (task_id, width_s, histograms) == ("t-1", 1, True)
        self.asked += 1
        ahead = [one for one in self.run.stretches if one.second > after]
        buckets = [
            {"second": one.second, **one.numbers, **one.named, "response_us": one.response_us.decode()}
            for one in ahead[:7]
        ]
        more = ahead[6].second if len(ahead) > 7 else None
        first, last = self.run.stretches[0].second, self.run.stretches[-1].second
        return {"width_s": 1, "first": first, "last": last, "next_after": more, "buckets": buckets}

    def events(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        other = [event(3.0, "+task", "t-2"), event(-60.0, "+odown", "n1"), event(99.0, "+odown", "n1")]
        return [*map(dict, self.run.events), *other]

    def failovers(self) -> list[dict[str, Any]]:
        return [{"epoch": 2, "at": BEGAN + 5}, {"epoch": 1, "at": BEGAN - 500}, {"epoch": 3}]

    def status(self) -> dict[str, Any]:
        node = {"id": "n1", "version": "1", "secret": "not for the report"}
        return {"cluster": "local", "epoch": 2, "master": None, "nodes": [node], "sentinels": []}


def test_everything_is_gathered_and_what_is_of_other_times_and_tasks_is_not() -> None:
    cluster = Cluster(run_with_a_death())
    found = gather(cluster, "t-1")
    assert cluster.asked == 3
    assert [one.numbers["started"] for one in found.stretches] == [
        one.numbers["started"] for one in cluster.run.stretches
    ]
    assert list(found.events) == list(cluster.run.events)
    assert [one["epoch"] for one in found.failovers] == [2]
    assert "secret" not in found.environment["nodes"][0]
    assert found.command.startswith("ha-stress task create 'http://127.0.0.1:8080/items?q=<b>' --rate 100")
    assert gather(cluster, "t-1").command.startswith("ha-stress task create ")


def test_a_report_is_made_without_what_nobody_answers_and_says_so() -> None:
    class WithoutRedis(Cluster):
        def events(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
            raise Unavailable("Redis does not answer")

    found = gather(WithoutRedis(run_with_a_death()), "t-1")
    assert (len(found.stretches), found.events) == (20, ())
    assert found.environment["missing"] == ["events: Redis does not answer"]
    assert "Redis does not answer" in page_of(found)


def test_secrets_of_the_request_do_not_travel_with_the_report() -> None:
    run = run_with_a_death()
    task = dict(run.task) | {
        "headers": [["Authorization", "Bearer abc"], ["Cookie", "id=1"], ["X-Api-Key", "k"], ["Accept", "text/html"]],
        "requests": [{"url": "http://h/", "headers": [["authorization", "Basic abc"]]}],
    }
    found = gather(Cluster(replace(run, task=task)), "t-1")
    assert [value for _, value in found.task["headers"]] == ["(hidden)"] * 3 + ["text/html"]
    assert found.task["requests"][0]["headers"] == [["authorization", "(hidden)"]]
    assert "abc" not in found.command


#: What options may be given together: everything that `task create` has.
TYPED = [
    "http://127.0.0.1/a?b=c --rate 10",
    "http://127.0.0.1/ --rate 1.5M --duration 20s",
    "http://127.0.0.1/ --rate 1234567 --duration 1m30s --warm-up 1500ms --timeout 0.00001",
    "http://127.0.0.1/ --rate 2000/min --duration 1h --in-flight-max 7 --nodes-max 3 --name 'a [b] \"c\"'",
    "http://127.0.0.1/ -r 0.0001 -X POST -H 'A: b c' -H 'A: d' --body @BODY --http2",
    "http://127.0.0.1/ --users 5 --think-time 250ms --duration 90s --check 'status == 200' --check 'body contains \"x\"'",
    "http://127.0.0.1/ --profile 'ramp 0..1500k in 1m' --arrivals poisson:7 --threshold 'p99 < 200ms over 10s'",
    "http://127.0.0.1/ --profile 'stages from 2000/min 1234567@30s,0.00001@1m' --duration 5m",
    "http://127.0.0.1/ --profile 'steps 1234567,7654321,33.333333333333336 every 1m30s'",
    "http://127.0.0.1/ --profile 'sine 0.1..0.7 every 60s' --duration 1h",
    "http://127.0.0.1/ --profile 'constant 2500000 for 10s' --threshold 'error_rate < 1% abort after 5s'",
    "http://127.0.0.1/ --rate 10 --arrivals poisson:9",
    "tcp://127.0.0.1:9 --rate 10 --body @BODY --expect '\r\n end'",
    "--requests REQUESTS.json --rate 10 --timeout 7s",
    "http://127.0.0.1/ --rate 1 --scenario shop.py --data people=people.csv --data-once cards=cards.csv --data-once x=x.csv",
]


def created(line: str) -> dict[str, Any]:
    """What the API would be asked for by the options of `task create`."""
    command: Any = typer.main.get_command(app).commands["task"].commands["create"]  # type: ignore[attr-defined]
    given = command.make_context("create", shlex.split(line)).params
    options = {one.name: given[one.name] for one in fields(TaskOptions)}
    lists = {name: list(options[name] or ()) for name in ("header", "check", "threshold", "data", "data_once")}
    files = {name: options[name] and Path(options[name]) for name in ("requests", "scenario")}
    document = described(TaskOptions(**(options | lists | files)), task_id="t-1")
    return document | ({"nodes_max": given["nodes_max"]} if given["nodes_max"] else {})


@pytest.mark.parametrize("line", TYPED)
def test_the_command_of_a_report_creates_the_same_task(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = {"url": "http://127.0.0.1/1", "weight": 3, "name": "one", "body": "x", "timeout_s": 2.5}
    others = [{"url": f"http://127.0.0.1/{number}", "method": "PUT"} for number in (2, 3)]
    (tmp_path / "REQUESTS.json").write_text(json.dumps([first, *others]))
    (tmp_path / "BODY").write_bytes(b"\xff\r\n")
    (tmp_path / "shop.py").write_text("async def scenario(user):\n    user.check(True, 'it is')\n")
    for name in ("people", "cards", "x"):
        (tmp_path / f"{name}.csv").write_text(f"id\n{name}\n")
    spec = checked(created(line))
    record = TaskRecord(
        spec=spec, wanted=Wanted.RUN, intent=1, created_at=0.0, status=Status.PENDING, seen_intent=0, plan=None, epoch=0,
        ended_at=None,
    )  # fmt: skip
    shown = command_of(task_view(record).model_dump(mode="json"))
    assert shown.startswith("ha-stress task create ")
    assert checked(created(shown.removeprefix("ha-stress task create "))) == spec


def test_the_command_says_all_that_options_can_say() -> None:
    task = dict(run_with_a_death().task) | {
        "method": "POST",
        "users": 5,
        "checks": ["status == 200"],
        "thresholds": ["p99 < 1s"],
    }
    words = command_of(task)
    for part in ("--users 5", "--method POST", "--check 'status == 200'", "--threshold 'p99 < 1s'", "--duration 20s"):
        assert part in words
    assert "--rate" not in words


def test_a_profile_is_written_as_it_may_be_typed() -> None:
    ramp = {"stages": [{"duration_s": 60.0, "begin": 0.0, "end": 1000.0}], "poisson_seed": 7}
    task = dict(run_with_a_death().task) | {"profile": ramp, "warm_up_s": 5.0, "duration_s": 90.0}
    assert "--profile 'ramp 0..1000 in 1m' --arrivals poisson:7 --duration 1m30s --warm-up 5s" in command_of(task)
    assert load_of(task) == "ramp 0..1000 in 1m, poisson:7, for 1m30s"
    assert load_of(task | {"users": 3, "think_time_s": 0.5}) == "3 users who think 0.5s, for 1m30s"
    assert load_of(dict(run_with_a_death().task) | {"duration_s": None}) == "100/s, until stopped"
