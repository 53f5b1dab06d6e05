"""A run as JUnit XML, which every CI server reads: a test case for each thing that was judged. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

from ha_stress.report.cases import Case, Outcome, cases_of
from ha_stress.report.run import Run
from ha_stress.report.verdict import verdict_of


def junit_of(run: Run) -> str:
    cases = cases_of(run)
    took_s = max(0.0, (run.task.get("ended_at") or run.made_at) - run.began_at)
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.outcome is Outcome.FAILED for case in cases)),
        "errors": "0",
        "time": f"{took_s:.3f}",
    }
    skipped = str(
        sum(case.outcome is Outcome.UNKNOWN for case in cases)
    )  # the schema of Jenkins has it of a suite only
    name = _text(str(run.task.get("name") or run.task["id"]))
    suites = ElementTree.Element("testsuites", {"name": "ha-stress"} | counts)
    at = datetime.fromtimestamp(run.began_at, tz=UTC).isoformat(timespec="seconds").removesuffix("+00:00")
    suite = ElementTree.SubElement(suites, "testsuite", {"name": name, "timestamp": at, "skipped": skipped} | counts)
    _, word, said = verdict_of(run)
    properties = ElementTree.SubElement(suite, "properties")
    for key, value in (("verdict", word), ("sentence", said)):
        ElementTree.SubElement(properties, "property", name=key, value=_text(value))
    for case in cases:
        _add(suite, name, case)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _add(suite: ElementTree.Element, task: str, case: Case) -> None:
    element = ElementTree.SubElement(
        suite, "testcase", classname=f"{task}.{case.group}", name=_text(case.name), time="0"
    )
    found = _text(case.found)
    if case.outcome is Outcome.FAILED:
        ElementTree.SubElement(element, "failure", message=found, type=case.group).text = found
    elif case.outcome is Outcome.UNKNOWN:
        ElementTree.SubElement(element, "skipped", message=found)
    else:
        ElementTree.SubElement(element, "system-out").text = found


def _text(words: str) -> str:
    """XML has no form for most control characters."""
    return "".join(c if c in "\t\n" or (c.isprintable() and c not in "\ufffe\uffff") else "\ufffd" for c in words)
