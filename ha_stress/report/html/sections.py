"""The words and tables of the page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from math import inf
from typing import Any

from ha_stress.report import words
from ha_stress.report.cases import Case, Outcome, cases_of
from ha_stress.report.command import load_of
from ha_stress.report.html.tables import Cell, bar, section, table, tile, word
from ha_stress.report.html.view import View
from ha_stress.report.run import Run
from ha_stress.report.target import scheduled_s

_TONE = {Outcome.PASSED: "good", Outcome.FAILED: "bad", Outcome.UNKNOWN: "plain"}
_WORD = {Outcome.UNKNOWN: "not judged"}


#: Terms of the equations that are nothing bad.
_FINE = ("started", "completed", "under way")


def header(run: Run, verdict: tuple[str, str, str]) -> str:
    """`verdict`: its tone, its word, and a sentence."""
    task = run.task
    tone, verdict_word, sentence = verdict
    when = f"{'' if task.get('started_at') else 'not started, created '}{words.moment(run.began_at)}"
    took = words.seconds(max(0.0, (task.get("ended_at") or run.made_at) - run.began_at))
    return (
        f'<header><p class="brand">HA Stress report</p><h1>{escape(str(task["name"]))}</h1>'
        f'<p class="request"><b>{escape(str(task["method"]))}</b> {escape(str(task["url"]))}</p>'
        f'<p class="when">{escape(load_of(task))}</p>'
        f'<p class="when">{escape(when)}, {escape(took)}, task {escape(str(task["id"]))}</p>'
        f'<p class="verdict {tone}"><b>{escape(verdict_word)}</b> {escape(sentence)}</p></header>'
    )


def tiles(view: View) -> str:
    task = view.run.task
    books, latency = task["books"], task["latency"]
    bad = books["intended"] - books["completed"] + int(books.get("wrong") or 0)
    # The last stretch may hold next to nothing of the schedule, and counts as a whole one in the plots.
    due_s = min(sum(view.covered), scheduled_s(task) or inf) or 1.0
    sent = words.rate(books["started"] / due_s)
    asked = f"{task['users']} users" if task.get("users") else f"of {words.rate(books['intended'] / due_s)} due"
    found = [
        tile("Requests", words.number(books["started"]), f"of {words.number(books['intended'])} intended"),
        tile("Sent per second", sent, f"{asked}, on average"),
    ]
    response = latency.get("response")
    if response:
        mean = f"mean {words.ms(response['mean_ms'])}"
        found += [
            tile("Response, median", words.ms(response["p50_ms"]), mean),
            tile("Response, p99", words.ms(response["p99_ms"]), f"p99.9 {words.ms(response['p999_ms'])}"),
            tile("Response, slowest", words.ms(response["max_ms"]), f"of {words.number(response['count'])}"),
        ]
    note = f"{words.number(bad)} of {words.number(books['intended'])}"
    found.append(tile("Errors", words.percent(bad, books["intended"]), note, "bad" if bad else "good"))
    return f'<dl class="tiles">{"".join(found)}</dl>'


def judged(run: Run) -> str:
    cases = cases_of(run)
    rows = [_case(case) for case in cases]
    return section("What was judged", table(("what", "", "result", "found"), rows), name="judged")


def _case(case: Case) -> list[Cell]:
    return [case.group, case.name, word(_TONE[case.outcome], _WORD.get(case.outcome, case.outcome.value)), case.found]


def books(run: Run) -> str:
    """The equation, with its figures."""
    found = run.task["books"]
    under_way = found["started"] - found["completed"] - found["failed"]
    rest = "never answered" if run.task["status"] == "ended" else "under way"  # whoever would have counted it is dead
    first = _equation("intended", found["intended"], [(n, found[n]) for n in ("started", "dropped", "uncovered")])
    second = _equation(
        "started", found["started"], [("completed", found["completed"]), ("failed", found["failed"]), (rest, under_way)]
    )
    verdict = (
        word("good", "The books balance.").html if found["balanced"] else word("bad", "The books do not balance.").html
    )
    meanings = (
        "<p class='small'>Intended: what the schedule asked for. Dropped: not sent, because too many requests were under "
        "way. Uncovered: due at a worker that had died before it accounted for them. An arrival cannot end otherwise.</p>"
    )
    others = [
        ("late", "begun over 10 ms after it was due"),
        ("retried", "sent on a second connection"),
        ("connected", "new connections"),
    ]
    rows = [[name, words.number(found[name]), meaning] for name, meaning in others if found.get(name) is not None]
    rows += [
        [label, words.size(found[name]), "of HTTP"]
        for name, label in (("bytes_in", "received"), ("bytes_out", "sent"))
        if found.get(name)
    ]
    return section(
        "The books", first, second, f"<p>{verdict}</p>", meanings, table(("", "", ""), rows, right=[1]), name="books"
    )


def _equation(name: str, total: int, parts: list[tuple[str, int]]) -> str:
    terms = "<b>+</b>".join(
        f'<span class="{"bad" if count and label not in _FINE else ""}">'
        f"{words.number(count)}<small>{escape(label)}</small></span>"
        for label, count in parts
    )
    return f'<p class="equation"><span>{words.number(total)}<small>{escape(name)}</small></span><b>=</b>{terms}</p>'


def outcomes(run: Run) -> str:
    """Statuses, failures, failed checks."""
    task = run.task
    parts = []
    completed = task["books"]["completed"]
    for title, found, tone, whole in (
        ("Status of the answers", task["statuses"], "", completed),
        ("Failures by kind", task["failures"], "bad", task["books"]["started"]),
        ("Failed checks", _checks(run), "bad", completed),
    ):
        if found:
            rows = _counted(found, tone, whole)
            parts.append(f"<div><h3>{title}</h3>{table(('', 'requests', 'share', ''), rows, right=[1, 2])}</div>")
    return section("What came back", f'<div class="columns">{"".join(parts)}</div>', name="outcomes") if parts else ""


def _checks(run: Run) -> Mapping[str, int]:
    known: Mapping[str, int] = run.task.get("check_failures") or {}
    return known


def _counted(found: Mapping[str, int], tone: str, whole: int) -> Iterable[list[Cell]]:
    for name, count in sorted(found.items(), key=lambda pair: -pair[1]):
        bad = tone or ("bad" if name.isdigit() and int(name) >= 400 else "")
        share = count / whole if whole else 0.0
        yield [name, words.number(count), words.percent(count, whole), bar(share, bad)]


def plan(run: Run) -> str:
    revisions = run.task.get("plan") or ()
    if not revisions:
        return ""
    rows: list[list[Cell]] = [
        [
            str(one["number"]),
            f"{one['at_s']:.2f} s",
            f"{one['users']} users" if one.get("users") else f"{words.rate(one['rate'])}/s",
            "open" if one["limit"] is None else words.number(one["limit"]),
            ", ".join(_share(share) for share in one["shares"]),
            str(one["why"]),
        ]
        for one in revisions
    ]
    head = ("revision", "from", "rate", "arrivals", "who had what", "why")
    lead = "Every arrival belongs to one worker by this plan; a new revision moves shares or changes the rate."
    return section("The plan", table(head, rows, right=[0, 1, 2, 3]), lead=lead, name="plan")


def _share(share: Mapping[str, Any]) -> str:
    return f"{share['node']} {words.rate(share['rate'])}/s" + (" (died)" if share["lost"] else "")


def failovers(run: Run) -> str:
    if not run.failovers:
        return ""
    phases = ("sdown", "odown", "elected", "awarded", "accepted")
    rows: list[list[Cell]] = []
    for one in run.failovers:
        known = one.get("phases") or {}
        cells = ["-" if known.get(f"{name}_ms") is None else f"{known[f'{name}_ms']:,.0f} ms" for name in phases]
        who = [str((one.get(key) or {}).get("node") or "-") for key in ("old", "winner")]
        rows.append(
            [
                str(one["epoch"]),
                *who,
                str(one.get("cause") or one.get("kind") or "-"),
                *cells,
                str(one.get("outcome") or "-"),
            ]
        )
    head = (
        "epoch",
        "old master",
        "new master",
        "cause",
        "suspected",
        "agreed",
        "elected",
        "named",
        "acting",
        "outcome",
    )
    lead = "The controller died and another one took over; the load went on meanwhile. Times count from the first suspicion."
    return section("Failovers", table(head, rows, right=[0, 4, 5, 6, 7, 8]), lead=lead, name="failovers")


def environment(run: Run) -> str:
    known = run.environment
    rows: list[list[Cell]] = [
        [
            str(node["id"]),
            str(node.get("version") or "-"),
            str(node.get("role") or "-"),
            "-" if node.get("cpu_percent") is None else f"{node['cpu_percent']:.0f} %",
            "-" if not node.get("memory_total_bytes") else words.size(float(node["memory_total_bytes"])),
        ]
        for node in known.get("nodes", ())
    ]
    facts = [
        f"ha-stress {known.get('version', '-')}, cluster {known.get('cluster', '-')}",
        f"{len(known.get('sentinels', ()))} sentinels",
        f"report made {words.moment(run.made_at)}",
    ]
    nodes = table(("node", "version", "role", "cpu now", "memory"), rows, right=[3, 4]) if rows else ""
    absent = "".join(
        f"<p>Not in this report, as nobody answered: {escape(one)}.</p>" for one in known.get("missing", ())
    )
    return section("Environment", f"<p>{escape('; '.join(facts))}.</p>", nodes, absent, name="environment")


def again(run: Run) -> str:
    return section("Do it again", f"<pre><code>{escape(run.command)}</code></pre>", name="again") if run.command else ""


def seconds_table(view: View) -> str:
    """Every value of the plots as a table, for those who cannot see plots, and for copying."""
    from ha_stress.report.html.rate_chart import targets

    head = ("from", "target/s", "sent", "completed", "failed", "dropped", "p50", "p90", "p99", "max", "service p99")
    rows = []
    for one, wanted in zip(view.course, targets(view), strict=True):
        response, service = one.response, one.service
        figures = (
            ["-"] * 4
            if response is None
            else [words.ms(v) for v in (response.p50_ms, response.p90_ms, response.p99_ms, response.max_ms)]
        )
        counted = [words.number(one.numbers[name]) for name in ("started", "completed", "failed", "dropped")]
        begin = f"{one.second - view.run.began_at:.2f} s"
        rows.append(
            [begin, words.rate(wanted), *counted, *figures, "-" if service is None else words.ms(service.p99_ms)]
        )
    if not rows:
        return ""
    width = "second" if view.course[0].width_s == 1 else f"{view.course[0].width_s} seconds"
    found = table(head, rows, right=range(len(head)))
    summary = f"<summary>All values, one row for each {width}</summary>"
    return f'<section id="values"><details>{summary}{found}</details></section>'
