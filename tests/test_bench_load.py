"""The load and memory benchmarks: what they read out of other generators, their figures, and short runs of ours alone."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from bench import load, load_parse, plot_load
from bench.command import real, whole
from bench.load_figures import closed_rows, cpu_ratios, freeze_rows, goals, open_rows, ratios, tables, verdicts
from bench.load_parse import Said, Unreadable
from bench.load_run import Measured
from bench.load_server import binary
from bench.load_tools import OURS, SOCKET, TOOLS, Model, Run
from bench.memory_figures import Sample
from bench.memory_figures import report_of as memory_report
from bench.memory_figures import table as memory_table

WRK = """Running 3s test @ http://127.0.0.1:44535/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.23ms    1.69ms  16.45ms   85.32%
    Req/Sec    63.14k    14.98k   87.45k    60.00%
  Latency Distribution
     50%  501.00us
     75%    1.40ms
     90%    3.64ms
     99%    1.04s
  189165 requests in 3.02s, 38.43MB read
Requests/sec:  62691.24
"""
WRK2 = """  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms  400.00us   4.11ms   64.00%
  Latency Distribution (HdrHistogram - Recorded Latency)
 50.000%    1.01ms
 99.000%    1.99ms
 99.900%    2.40ms
"""
HEY = """
Summary:
  Total:	2.0574 secs
  Slowest:	0.0073 secs
  Requests/sec:	995.4202

Latency distribution:
  10% in 0.0006 secs
  50% in 0.0016 secs
  99% in 0.0067 secs
"""
HEY_OF_ANOTHER_VERSION = HEY.replace("% in", "%% in")
K6 = {"metrics": {"http_req_duration": {"p(50)": 0.115834, "p(99)": 1.197767, "max": 7.761448}}}
LOCUST = [
    {"response_times": {"1": 90, "10": 9}, "max_response_time": 12.5},
    {"response_times": {"53": 1}, "max_response_time": 53.69},
]
OURS_SAID = {"p50_us": 66, "p99_us": 200, "max_us": 900, "dropped": 3, "failed": {}, "wrong": 0}


def measured(rate: float, cpu_us: float = 8.0, **said: Any) -> Measured:
    latencies = {"p50_us": 100.0, "p99_us": 900.0, "max_us": 2_000.0} | said
    return Measured(rate=rate, cpu_us=cpu_us, node_cpu_us=0.1, server_percent=60.0, said=Said(**latencies))


def closed(**rates: float) -> list[dict[str, Any]]:
    return closed_rows({tool: [measured(rate)] for tool, rate in rates.items()})


def opened(*runs: tuple[str, float, Measured]) -> list[dict[str, Any]]:
    return open_rows({(rate, tool): [run] for tool, rate, run in runs})


def unmet(closed: list[dict[str, Any]], opened: list[dict[str, Any]]) -> list[str]:
    return [goal["goal"] for goal in goals(closed, opened) if not goal["met"]]


def test_each_generator_is_understood() -> None:
    assert load_parse.wrk(WRK) == Said(p50_us=501.0, p99_us=1_040_000.0, max_us=16_450.0)
    assert load_parse.wrk(WRK2) == Said(p50_us=1_010.0, p99_us=1_990.0, max_us=4_110.0)
    assert load_parse.hey(HEY) == Said(p50_us=1_600.0, p99_us=6_700.0, max_us=7_300.0)
    assert load_parse.hey(HEY_OF_ANOTHER_VERSION) == load_parse.hey(HEY)
    assert load_parse.k6(json.dumps(K6)) == Said(p50_us=115.834, p99_us=1_197.767, max_us=7_761.448, dropped=0)
    assert load_parse.locust(json.dumps(LOCUST)) == Said(p50_us=1_000.0, p99_us=10_000.0, max_us=53_690.0)
    assert load_parse.ours(json.dumps(OURS_SAID)) == Said(p50_us=66, p99_us=200, max_us=900, dropped=3)


def test_iterations_that_k6_did_not_start_are_dropped() -> None:
    metrics = K6["metrics"] | {"dropped_iterations": {"count": 1_100, "rate": 550.0}}
    assert load_parse.k6(json.dumps({"metrics": metrics})).dropped == 1_100


@pytest.mark.parametrize("read", [load_parse.wrk, load_parse.hey, load_parse.k6, load_parse.locust, load_parse.ours])
def test_what_no_generator_prints_is_unreadable(read: Any) -> None:
    for text in ("", "connection refused", "[]"):
        with pytest.raises(Unreadable):
            read(text)


def test_nothing_is_measured_where_requests_failed_or_were_answered_wrongly() -> None:
    for bad in ({"failed": {"reset": 1}}, {"wrong": 2}):
        with pytest.raises(Unreadable):
            load_parse.ours(json.dumps(OURS_SAID | bad))


def test_every_generator_is_told_where_how_long_and_how_much(tmp_path: Path) -> None:
    for tool in TOOLS:
        for model in tool.models:
            run = Run(
                model=model,
                url="http://127.0.0.1:8/",
                rate=640.0,
                connections=64,
                seconds=2.5,
                directory=tmp_path,
                core=1,
            )
            command = tool.command(run, "program")
            text = " ".join(command) + "".join(path.read_text() for path in tmp_path.iterdir())
            assert command[0] == "program"
            assert "127.0.0.1:8" in text
            assert any(length in text for length in ("2.5", "3s")), tool.name
            if model == Model.OPEN:
                assert any(rate in text for rate in ("640", "-q 10")), tool.name
            elif model == Model.CLOSED:
                assert "64" in text, tool.name


def test_rows_are_medians_of_the_runs() -> None:
    runs = [measured(90.0, 5.0), measured(100.0, 9.0), measured(400.0, 7.0)]
    (row,) = closed_rows({"wrk": runs})
    assert (row["tool"], row["rps"], row["cpu_us_per_request"], row["runs"]) == ("wrk", 100, 7.0, 3)


def test_the_rows_have_the_fields_of_the_issue() -> None:
    (row,) = closed(ours=100_000.0)
    assert set(row) >= {"tool", "rps", "cpu_us_per_request"}
    (row,) = opened((OURS, 1_000.0, measured(999.9, dropped=0)))
    assert set(row) >= {"tool", "rate", "achieved", "dropped", "p50_us", "p99_us", "cpu_us_per_request"}


def test_ratios_are_ours_divided_by_theirs_and_nothing_for_who_did_not_run() -> None:
    assert ratios(closed(ours=100.0, wrk=200.0, k6=10.0)) == {"wrk": 0.5, "hey": None, "k6": 10.0, "locust": None}


def test_by_processor_time_it_does_not_matter_how_long_anybody_waited_for_the_server() -> None:
    rows = closed_rows({OURS: [measured(100.0, 10.0)], "wrk": [measured(900.0, 8.0)], "k6": [measured(50.0, 80.0)]})
    assert cpu_ratios(rows) == {"wrk": 0.8, "hey": None, "k6": 8.0, "locust": None}


def test_a_goal_is_judged_only_for_what_ran() -> None:
    assert goals(closed(ours=100.0), []) == []
    assert unmet(closed(ours=100.0, wrk=160.0, hey=40.0, k6=16.0, locust=10.0), []) == []
    assert len(unmet(closed(ours=100.0, wrk=170.0, hey=41.0, k6=17.0, locust=11.0), [])) == 4


def test_a_rate_is_kept_if_it_is_at_most_a_thousandth_away() -> None:
    assert unmet([], opened((OURS, 1_000.0, measured(999.0)), (OURS, 10_000.0, measured(10_009.0)))) == []
    assert len(unmet([], opened((OURS, 1_000.0, measured(998.0)), ("k6", 10_000.0, measured(5_000.0))))) == 1


def test_the_lowest_rate_is_held_against_a_bare_socket() -> None:
    bare = (SOCKET, 1_000.0, measured(1_000.0, 40.0, p50_us=100.0))
    assert unmet([], opened((OURS, 1_000.0, measured(1_000.0, 40.0, p50_us=150.0)), bare)) == []
    assert len(unmet([], opened((OURS, 1_000.0, measured(1_000.0, 41.0, p50_us=151.0)), bare))) == 2


def test_a_percentile_that_forgot_most_of_a_frozen_second_hides_it() -> None:
    said = {
        OURS: Said(p50_us=60, p99_us=940_000, max_us=1_000_000),
        "hey": Said(p50_us=60, p99_us=7_700, max_us=1_000_000),
    }
    rows = freeze_rows(said, rate=400.0, seconds=6.0, freeze_s=1.0)
    assert [(row["tool"], row["shows"], row["expected_p99_us"]) for row in rows] == [
        (OURS, True, 940_000),
        ("hey", False, 940_000),
    ]


def report() -> dict[str, Any]:
    every_closed = closed(ours=100_000.0, wrk=150_000.0, locust=9_000.0)
    every_open = opened(
        (OURS, 1_000.0, measured(1_000.0, dropped=0)),
        (SOCKET, 1_000.0, measured(1_000.0, dropped=0)),
        ("hey", 10_000.0, measured(6_000.0)),
    )
    said = {OURS: Said(p50_us=60, p99_us=940_000, max_us=1_000_000), "hey": Said(p50_us=6, p99_us=77, max_us=1_000)}
    return {
        "closed": every_closed,
        "open": every_open,
        "freeze": freeze_rows(said, rate=400.0, seconds=6.0, freeze_s=1.0),
        "ratios": ratios(every_closed),
        "cpu_ratios": cpu_ratios(every_closed),
        "goals": goals(every_closed, every_open),
        "skipped": {"k6": "it is not here"},
        "notes": {"wrk": "no open model"},
        "conditions": {"shared_core": False, "rounds": 1, "seconds": 1.0},
    }


def test_the_tables_say_who_was_left_out_and_what_was_missed() -> None:
    text = tables(report())
    for part in (
        "100,000",
        "x 11.11",
        "6,000.0",
        "shows it",
        "hides it",
        "no open model",
        "k6 is left out: it is not here",
    ):
        assert part in text
    assert sum(line.startswith("met") for line in verdicts(report())) == len(report()["goals"])


def test_a_picture_is_drawn_of_a_whole_report_and_of_one_of_ours_alone(tmp_path: Path) -> None:
    alone = report() | {"closed": [], "open": [], "freeze": [], "ratios": {}}
    for number, one in enumerate((report(), alone)):
        plot_load.draw(json.loads(json.dumps(one)), tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_in_the_docs_is_drawn_of_a_full_run_only() -> None:
    tools = load.tools_named(",".join(tool.name for tool in TOOLS))
    full = {"conditions": {"seconds": load.SECONDS, "rounds": load.ROUNDS}, "skipped": {"wrk2": "not on the path"}}
    assert load.is_full(full, tools)
    assert not load.is_full(full, tools[:2])
    assert not load.is_full(full | {"skipped": {"k6": "no network"}}, tools)
    assert not load.is_full(full | {"conditions": {"seconds": load.QUICK_SECONDS, "rounds": 1}}, tools)


def test_unknown_generators_and_senseless_numbers_are_refused() -> None:
    assert [tool.name for tool in load.tools_named("wrk,ours,wrk")] == ["wrk", OURS]
    for bad in ("ab", "", "ours,"):
        with pytest.raises(argparse.ArgumentTypeError):
            load.tools_named(bad)
    for count in ("0", "-5", "abc", "nan", "1001.5"):
        with pytest.raises(argparse.ArgumentTypeError, match="number"):
            whole(1_000, 10**12)(count)
    assert whole(1_000, 10**12)("10_000_000") == 10_000_000
    assert real(1, 100_000)("21,000.5") == 21_000.5


@pytest.mark.cluster
@pytest.mark.skipif(binary() is None, reason="nginx is not installed")
def test_a_short_run_of_ours_alone_fills_every_table() -> None:
    found = load.measure(load.tools_named("ours,socket"), seconds=1.5, rounds=1, rates=(500.0,), freeze=False)
    json.dumps(found)
    assert [row["tool"] for row in found["closed"]] == [OURS]
    assert {row["tool"] for row in found["open"]} == {OURS, SOCKET}
    assert found["skipped"] == {}
    for row in [*found["closed"], *found["open"]]:
        assert row["cpu_us_per_request"] > 0
        assert 0 < row["p50_us"] <= row["p99_us"]
    assert all(100 < row["achieved"] < 900 for row in found["open"])
    assert len(found["goals"]) == 3, "the rate, and two against the bare socket"


def samples(grows_mb: float) -> list[Sample]:
    """Ten million requests; it grows by so much with each million, and took 30 MB at once while it warmed up."""
    return [
        Sample(at_s=n, requests=n * 100_000, rss_mb={"engine": 50.0 + grows_mb * n / 10 - (30.0 if n < 5 else 0.0)})
        for n in range(1, 101)
    ]


def test_what_grows_with_the_requests_misses_the_goal_and_warming_up_does_not_count() -> None:
    steady, growing = memory_report(samples(0.0)), memory_report(samples(1.0))
    assert steady["growth_mb_per_million"] == {"engine": 0.0}
    assert steady["rss_mb"] == {"engine": {"begin": 50.0, "middle": 50.0, "end": 50.0}}
    assert growing["growth_mb_per_million"] == {"engine": 1.0}
    assert [goal["met"] for one in (steady, growing) for goal in one["goals"]] == [True, False]
    assert (steady["requests"], steady["seconds"]) == (10_000_000, 99.0)
    assert "+1.000" in memory_table(growing)


def test_a_process_that_was_not_there_all_the_time_is_not_judged() -> None:
    every = samples(0.0)
    every[50] = Sample(at_s=51, requests=5_100_000, rss_mb={"engine": 50.0, "engine 2": 20.0})
    assert set(memory_report(every)["rss_mb"]) == {"engine"}
