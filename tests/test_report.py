"""Reports: what is in each kind of file, also when a run was short, strange or empty."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from io import StringIO
from math import inf
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.cli.run_exit import exit_code
from ha_stress.report import KINDS, parsed, write, write_all
from ha_stress.report.cases import Outcome, cases_of
from ha_stress.report.document import document_of
from ha_stress.report.html.page import page_of
from ha_stress.report.junit import junit_of
from ha_stress.report.percentiles import hgrm_of, steps
from ha_stress.report.rows import csv_of
from ha_stress.report.run import Run, Stretch
from ha_stress.report.verdict import verdict_of
from ha_stress.tasks.distribution import EMPTY, distribution
from tests.report_support import BEGAN, blob_of, stretch, task_of
from tests.test_report_story import run_with_a_death

SECOND = int(BEGAN)


def run_of(stretches: list[Stretch] | None = None, **task: Any) -> Run:
    every = stretches if stretches is not None else [stretch(SECOND + n, [1000 + 10 * n] * 100) for n in range(10)]
    return Run(task=task_of(every or [stretch(SECOND, [])], **task), stretches=tuple(every), made_at=BEGAN + 60)


def threshold(text: str, ok: bool | None, observed: float | None = 312.0) -> dict[str, Any]:
    return {
        "text": text,
        "metric": "p99",
        "unit": "ms",
        "observed": observed,
        "limit": 200.0,
        "ok": ok,
        "window": None,
        "abort": False,
    }


def judged(*thresholds: dict[str, Any], valid: bool = True, **more: Any) -> dict[str, Any]:
    finding = {
        "name": "cpu",
        "about": "generator",
        "ok": valid,
        "observed": 0.5,
        "limit": 0.1,
        "sentence": "engines were busy",
    }
    said = [one["ok"] for one in thresholds]
    passed = None if not said else False if False in said else None if None in said else True
    return {
        "passed": False if more.get("aborted") else passed,
        "valid": valid,
        "saturated": not valid,
        "thresholds": list(thresholds),
        "validity": [finding],
        "aborted": None,
    } | more


ABORTED = {"threshold": "p99 < 9ms abort", "observed": 12.0, "after_s": 3.0}
KEPT, BROKEN = threshold("p99 < 400ms", True), threshold("p99 < 200ms", False)
NO_SETUP = {"name": "shop.py", "feeders": [], "setup_problem": "setup raised ValueError: no login"}
NO_TEARDOWN = {"name": "shop.py", "feeders": [], "teardown_problem": "teardown took longer than 60 s"}


# Files.


def test_every_kind_is_written_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    for kind in KINDS:
        written = write(run_of(), kind, tmp_path / f"r.{kind}")
        assert all(path.stat().st_size > 100 for path in written)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"r.json", "r.csv", "r.junit", "r.html", "r.hgrm", "r.service.hgrm"}


def test_a_json_report_is_read_back_as_the_same_run(tmp_path: Path) -> None:
    run = replace(run_with_a_death(), command="ha-stress run x", failovers=({"epoch": 2},))
    write(run, "json", tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert parsed(text) == run
    document = json.loads(text)
    assert document["schema"] == "ha-stress-report/1"
    assert document["said"]["recoveries"][0]["back_s"] == 15.3
    assert document["said"]["verdict"] == "Passed"


def test_what_is_no_report_is_refused_in_one_sentence(tmp_path: Path) -> None:
    write(run_of(), "json", tmp_path / "r.json")
    without_books = json.loads((tmp_path / "r.json").read_text())
    del without_books["task"]["books"]
    contents = (("[]", "schema"), ("{", "not JSON"), ("[" * 100_000, "not JSON"), ('{"schema": "x"}', "schema"))
    damaged = (('{"schema": "ha-stress-report/1"}', "damaged"), (json.dumps(without_books), "damaged"))
    for content, why in (*contents, *damaged):
        with pytest.raises(ConfigError, match=why):
            parsed(content)
    with pytest.raises(ConfigError, match="cannot be written"):
        write(run_of(), "html", tmp_path / "no" / "r.html")
    with pytest.raises(ConfigError, match="use json, csv"):
        write(run_of(), "pdf", tmp_path / "r.pdf")


def test_half_a_character_does_not_keep_a_report_from_being_written(tmp_path: Path) -> None:
    run = replace(run_of(name="a\ud800b", checks=["body contains \udfff"]), command="x \ud800")
    written, problems = write_all(run, {kind: tmp_path / f"r.{kind}" for kind in KINDS})
    assert (len(written), problems) == (6, [])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}, "no draft is left"
    assert "<h1>a?b</h1>" in (tmp_path / "r.html").read_text("utf-8")


def test_seconds_that_cannot_be_of_one_run_are_refused_before_a_row_is_made_for_each(tmp_path: Path) -> None:
    write(run_of(), "json", tmp_path / "r.json")
    whole = json.loads((tmp_path / "r.json").read_text())
    for second, width_s, says in (
        (4_000_000_000, 1, "its last second is 2200000000 s after its first one"),
        (1, 1, "its seconds do not follow each other"),
        (SECOND + 9, 0, "its seconds do not follow each other"),
    ):
        whole["series"]["buckets"][-1]["second"], whole["series"]["width_s"] = second, width_s
        with pytest.raises(ConfigError, match=f"the JSON report is damaged: {says}"):
            parsed(json.dumps(whole))
    whole["series"]["buckets"][-1]["second"] = float("inf")
    with pytest.raises(ConfigError, match="damaged"):
        parsed(json.dumps(whole))


def test_csv_has_a_row_a_second_also_for_seconds_in_which_nothing_happened() -> None:
    stretches = [
        stretch(SECOND + 1, [1000] * 100, sent={"n1": 60, "n2": 40}),
        stretch(SECOND + 4, [2000] * 90, sent={"n2": 100}, failed=10),
    ]
    rows = list(csv.DictReader(StringIO(csv_of(run_of(stretches, duration_s=10.0)))))
    assert [int(row["second"]) - SECOND for row in rows] == [1, 2, 3, 4]
    assert [row["started"] for row in rows] == ["100", "0", "0", "100"]
    assert (rows[0]["started_n1"], rows[3]["started_n1"], rows[3]["failed_reset"]) == ("60", "0", "10")
    assert (rows[0]["target"], rows[0]["at_s"], rows[0]["response_p50_ms"]) == ("100.0", "0.75", "1.0")
    assert rows[1]["response_p50_ms"] == ""


# Percentiles.


def test_steps_halve_the_distance_to_all_as_in_the_tools_of_the_hdrhistogram_family() -> None:
    found = list(steps(distribution([blob_of(list(range(1, 2001)))])))
    expected = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.775, 0.8, 0.825, 0.85, 0.875, 0.8875, 0.9]
    assert [round(step.share, 9) for step in found[:18]] == expected
    assert [step.value_us for step in found[:18]] == [max(1, round(2000 * share)) for share in expected]
    assert (found[-1].share, found[-1].value_us, found[-1].count) == (1.0, 2000, 2000)
    assert found[-2].share < 1.0


def test_hgrm_reads_as_plotters_read_it() -> None:
    lines = hgrm_of(distribution([blob_of([1000] * 90 + [5000] * 10)])).splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    rows = [line.split() for line in lines[2:] if not line.startswith("#")]
    assert [len(row) for row in rows] == [4] * (len(rows) - 1) + [3]
    assert rows[-1] == ["5.003", "1.000000000000", "100"]
    shares = [float(row[1]) for row in rows]
    assert shares == sorted(shares)
    assert re.match(r"#\[Mean +=  +1\.4\d\d, StdDeviation +=  +1\.2\d\d\]", lines[-3])
    assert re.match(r"#\[Max +=  +5\.003, Total count +=  +100\]", lines[-2])
    assert hgrm_of(EMPTY).count("#[") == 3


# Verdicts.


@pytest.mark.parametrize(
    ("task", "word", "part"),
    [
        ({}, "Passed", "All 1,000 requests completed"),
        ({"status": "running"}, "Running", "has not ended"),
        ({"uncovered": 5}, "Incomplete", "5 uncovered"),
        ({"failures": {"not_allowed": 9}}, "Not allowed", "(--allow)"),
        ({"scenario": NO_SETUP}, "Failed", "The scenario did not begin: setup raised ValueError: no login."),
        ({"scenario": NO_TEARDOWN}, "Passed", "the books balance. Afterwards, teardown took longer than 60 s."),
        ({"verdict": judged(KEPT)}, "Passed", "The threshold is kept. The run is valid,"),
        ({"verdict": judged(KEPT, KEPT)}, "Passed", "All 2 thresholds are kept. The run is valid,"),
        ({"verdict": judged(BROKEN)}, "Failed", "The threshold is broken: p99 < 200ms (it was 312 ms)."),
        ({"verdict": judged(BROKEN, KEPT)}, "Failed", "1 of 2 thresholds is broken: p99 < 200ms (it was 312 ms)."),
        ({"verdict": judged(BROKEN, BROKEN)}, "Failed", "All 2 thresholds are broken: "),
        ({"verdict": judged(KEPT, valid=False)}, "Not valid", "Engines were busy. The threshold is kept."),
        (
            {"verdict": judged(BROKEN, valid=False)},
            "Not valid",
            "Engines were busy. The threshold is broken: p99 < 200",
        ),
        ({"verdict": judged(valid=False), "uncovered": 5}, "Not valid", "Engines were busy."),
        (
            {"verdict": judged(BROKEN, valid=False, saturated=False)},
            "Failed",
            "(it was 312 ms). The run is not valid either: engines were busy.",
        ),
        (
            {"verdict": judged(KEPT, valid=False, saturated=False)},
            "Not valid",
            "Engines were busy. The threshold is kept.",
        ),
        ({"verdict": judged(valid=False, saturated=False), "uncovered": 5}, "Incomplete", "not valid either: engines"),
        ({"verdict": judged(aborted=ABORTED)}, "Aborted", "p99 < 9ms abort was broken after 3 s"),
        (
            {"verdict": judged(valid=False, aborted=ABORTED)},
            "Not valid",
            "Engines were busy. The threshold p99 < 9ms abort",
        ),
    ],
)
def test_the_verdict_is_one_word_and_one_sentence(task: dict[str, Any], word: str, part: str) -> None:
    _, found, sentence = verdict_of(run_of(**task))
    assert found == word
    assert part in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("task", "code", "word"),
    [
        ({}, 0, "Passed"),
        ({"scenario": NO_TEARDOWN}, 0, "Passed"),
        ({"verdict": judged(KEPT), "uncovered": 5}, 0, "Passed"),
        ({"uncovered": 5}, 4, "Incomplete"),
        ({"scenario": NO_SETUP}, 4, "Failed"),
        ({"scenario": NO_SETUP, "verdict": judged(KEPT)}, 4, "Failed"),
        ({"verdict": judged(valid=False, saturated=False), "uncovered": 50}, 4, "Incomplete"),
        ({"verdict": judged(BROKEN)}, 7, "Failed"),
        ({"verdict": judged(BROKEN, valid=False, saturated=False)}, 7, "Failed"),
        ({"verdict": judged(KEPT, aborted=ABORTED)}, 7, "Aborted"),
        ({"verdict": judged(valid=False)}, 8, "Not valid"),
        ({"verdict": judged(BROKEN, valid=False)}, 8, "Not valid"),
        ({"verdict": judged(KEPT, valid=False, saturated=False)}, 8, "Not valid"),
        ({"verdict": judged(KEPT), "failures": {"not_allowed": 9}}, 9, "Not allowed"),
    ],
)
def test_every_report_says_of_a_run_what_its_exit_code_says(task: dict[str, Any], code: int, word: str) -> None:
    run = run_of(**({"thresholds": [one["text"] for one in task.get("verdict", judged())["thresholds"]]} | task))
    assert exit_code(run.task) == code
    said = document_of(run)["said"]
    assert (said["verdict"], any(one["outcome"] == "failed" for one in said["judged"])) == (word, code != 0)
    suite = ElementTree.fromstring(junit_of(run)).find("testsuite")
    assert suite is not None
    known = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert known == {"verdict": word, "sentence": said["sentence"]}
    assert (suite.get("failures") != "0") == (code != 0)
    assert f"<b>{word}</b> {escape(said['sentence'])}</p>" in page_of(run)


def test_why_a_run_is_worth_nothing_stands_before_what_was_measured() -> None:
    groups = [case.group for case in cases_of(run_of(verdict=judged(BROKEN, valid=False)))]
    assert groups.index("validity") < groups.index("threshold")
    groups = [case.group for case in cases_of(run_of(verdict=judged(BROKEN, valid=False, saturated=False)))]
    assert groups.index("threshold") < groups.index("validity")


@pytest.mark.parametrize(("errand", "task"), [("setup", NO_SETUP), ("teardown", NO_TEARDOWN)])
def test_what_failed_before_or_after_the_load_is_in_every_report_with_its_reason(
    errand: str, task: dict[str, Any]
) -> None:
    run, why = run_of(scenario=task), task[f"{errand}_problem"]
    page = page_of(run)
    assert page.count(escape(why)) == 2, "in the verdict and among what was judged"
    assert f"<td>its {errand} succeeded</td>" in page
    (case,) = [one for one in document_of(run)["said"]["judged"] if one["group"] == "scenario"]
    assert case["found"].startswith(why)
    (found,) = [one for one in ElementTree.fromstring(junit_of(run)).iter("testcase") if "scenario" in str(one.attrib)]
    (told,) = found
    assert told.tag == {"setup": "failure", "teardown": "skipped"}[errand], "what comes after the load is not of it"
    assert str(told.get("message")).startswith(why)


def test_a_run_that_never_began_counts_from_its_creation() -> None:
    run = run_of([], started_at=None, ended_at=BEGAN + 2, plan=[], scenario=NO_SETUP)
    assert run.began_at == BEGAN - 1
    assert "not started, created 2027-01-15 07:59:59 UTC, 3 s, task" in page_of(run)
    assert 'timestamp="2027-01-15T07:59:59"' in junit_of(run) and 'time="3.000"' in junit_of(run)


def test_junit_has_a_case_for_each_threshold_each_check_and_the_validity() -> None:
    run = run_of(
        name='a "shop" & more\x00',
        checks=["status == 200", "body contains ok"],
        check_failures={"body contains ok": 3},
        thresholds=["p99 < 200ms", "p50 < 1ms"],
        verdict=judged(threshold("p99 < 200ms", False), threshold("p50 < 1ms", None, None)),
    )
    suites = ElementTree.fromstring(junit_of(run))
    assert set(suites.attrib) == {"name", "tests", "failures", "errors", "time"}, "what Jenkins' schema has of it"
    suite = suites.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("6", "1", "2")
    failures = {case.get("name"): case.find("failure") for case in suite.iter("testcase")}
    broken = failures["p99 < 200ms"]
    assert broken is not None
    assert broken.get("message") == "312 ms"
    assert failures["status == 200"] is None


def test_without_thresholds_a_failed_check_fails_its_case() -> None:
    cases = {case.name: case for case in cases_of(run_of(checks=["size < 9"], check_failures={"size < 9": 1}))}
    assert cases["size < 9"].outcome is Outcome.FAILED
    assert cases["every request completed"].outcome is Outcome.PASSED


# The page.


class Page(HTMLParser):
    """Complains about what is not closed, and collects what is loaded."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.loaded += [str(known[name]) for name in ("src", "href", "srcset") if known.get(name)]
        self.ids += [str(known["id"])] if "id" in known else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_loads_nothing_and_every_plot_is_well_formed() -> None:
    text = page_of(run_of())
    page = Page(text)
    assert page.loaded == []
    assert "url(" not in text
    assert "http" not in re.sub(r"http://127\.0\.0\.1:8080/items|http-equiv", "", text)
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 8  # rate, response, service and percentiles, wide and narrow
    for plot in plots:
        ElementTree.fromstring(plot)
        assert 'role="img"' in plot
        assert "nan" not in plot
    for name in ("rate", "latency", "judged", "outcomes", "books", "plan", "values"):
        assert name in page.ids


def test_a_last_moment_of_the_schedule_does_not_count_as_a_second_of_it() -> None:
    course = [stretch(SECOND + n, [1000] * 100) for n in range(10)]
    late = page_of(run_of([*course, stretch(SECOND + 10, [])], duration_s=10.0, started_at=SECOND + 0.016))
    assert "Sent per second</dt><dd>100<small>of 100 due, on average" in late


def test_in_the_closed_model_there_is_one_latency_and_no_target() -> None:
    text = page_of(run_of(users=5, rate=0.0, think_time_s=0.5))
    assert len(re.findall("<svg", text)) == 6  # rate, response and percentiles, wide and narrow
    assert "Service time" not in text
    assert "5 users who think 0.5s" in text
    assert 'class="key target"' not in text


def test_the_warm_up_is_marked_on_the_plots() -> None:
    assert 'class="warm"' not in page_of(run_of())
    text = page_of(run_of(warm_up_s=3.0))
    assert text.count('class="warm"') == 6
    assert "warm-up: in the books" in text


def test_what_comes_from_outside_is_text_on_the_page() -> None:
    evil = "</script><script>alert(1)</script><img src=x>"
    stretches = [stretch(SECOND + n, [1000] * 9, sent={evil: 10}, failed=1) for n in range(4)]
    run = run_of(
        stretches, name=evil, url=f"http://h/{evil}", failures={evil: 4}, checks=[evil], check_failures={evil: 1}
    )
    text = page_of(replace(run, command=evil, environment={"cluster": evil}))
    assert "<script>alert" not in text
    assert "<img" not in text
    assert Page(text).loaded == []


def test_figures_of_the_equation_are_those_of_the_books() -> None:
    text = page_of(run_of(uncovered=7))
    assert re.search(r"1,007<small>intended</small>", text)
    assert re.search(r"1,000<small>started</small>", text)
    assert re.search(r'class="bad">7<small>uncovered</small>', text)


@pytest.mark.parametrize(
    "run",
    [
        run_of([]),
        run_of([stretch(SECOND, [])]),
        run_of([stretch(SECOND, [1])]),
        run_of([stretch(SECOND, [0, 0, 0])]),
        run_of([stretch(SECOND, [3_600_000_000] * 3)]),
        run_of([stretch(SECOND + n, [], failed=5) for n in range(3)]),
        run_of(started_at=None, plan=[]),
        run_of(duration_s=None, status="running", ended_at=None),
        run_of(rate=0.0, users=5, think_time_s=1.0),
        run_of([stretch(SECOND + n, [1000] * 40, sent={f"n{i}": 2 for i in range(20)}) for n in range(5)]),
    ],
    ids=["nothing", "empty", "one", "zeros", "hours", "failures", "unplanned", "running", "closed", "many workers"],
)
def test_strange_runs_have_reports_too(run: Run, tmp_path: Path) -> None:
    for kind in KINDS:
        write(run, kind, tmp_path / "r")
    Page(page_of(run))


def test_a_long_run_is_drawn_from_merged_histograms_and_stays_small() -> None:
    usual, slow = (stretch(SECOND, [1000] * 99 + [last]) for last in (1000, 50_000))
    run = run_of([replace(slow if n % 7 == 0 else usual, second=SECOND + n) for n in range(1500)])
    course = run.course(600)
    assert [one.width_s for one in course] == [3] * 500
    assert course[0].response is not None
    assert course[0].response.count == 300
    assert course[0].response.max_ms == pytest.approx(50, rel=0.01)
    assert course[0].response.p99_ms == pytest.approx(1, rel=0.01)  # one of 300 is beyond it, where a mean would say 17
    assert sum(one.numbers["started"] for one in course) == 150_000
    assert len(page_of(run)) < 600_000
    assert max(one.response.max_ms if one.response else -inf for one in run.course(10)) == pytest.approx(50, rel=0.01)
