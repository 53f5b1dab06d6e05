"""docs/verdicts.md: its examples are understood, its commands exist, its figures are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ha_stress.cli.exit_codes import __doc__ as exit_codes
from ha_stress.tasks import verdict
from ha_stress.tasks.checks import parse_check
from ha_stress.tasks.thresholds import COUNTS, parse_threshold, unit_of

from .test_operations_doc import refusal

TEXT: Final = (Path(__file__).parents[1] / "docs" / "verdicts.md").read_text("utf-8")


def column(section: str, number: int = 1) -> list[str]:
    """The words in code of a column of the section's tables, without their heads."""
    body = TEXT.partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in body.splitlines() if line.startswith("| ")]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row[number])]


def test_every_command_that_the_page_shows_exists() -> None:
    commands = re.findall(r"^    \$ (ha-stress .*)$", TEXT, re.MULTILINE)
    assert len(commands) == 2
    assert [problem for command in commands if (problem := refusal(command))] == []
    for word in re.findall(r"--check '(.*?)'", TEXT):
        parse_check(word)
    for word in re.findall(r"--threshold '(.*?)'", TEXT):
        parse_threshold(word)


def test_every_check_of_the_table_is_one() -> None:
    examples = column("Checks")
    assert len(examples) > 12
    for text in examples:
        parse_check(text)


def test_every_metric_of_the_table_is_one_and_none_is_missing() -> None:
    metrics = column("Thresholds")
    assert all(unit_of(metric) for metric in metrics)
    assert set(COUNTS) <= set(metrics)


def test_the_limits_are_those_of_the_code() -> None:
    table = TEXT.partition("## Validity\n")[2].partition("\n## ")[0]
    for words in (
        f"over {verdict.BUSY_CORE_SHARE:.0%} of a core in more than {verdict.BUSY_SECONDS_SHARE_MAX:.0%} of their seconds",
        f"more than {verdict.LATE_SHARE_MAX:.0%} of the arrivals were begun over 10 ms after",
        f"lagged by more than {verdict.LOOP_LAG_S_MAX:g} s",
        f"differ by more than {verdict.CLOCK_SKEW_S_MAX:g} s",
        f"more than {verdict.DROPPED_SHARE_MAX:.0%} of the arrivals found the in-flight limit",
        f"more than {verdict.UNCOVERED_SHARE_MAX:.0%} of the arrivals belonged to processes that died",
    ):
        assert words.replace("%", " %") in table


def test_the_exit_codes_are_those_of_the_command() -> None:
    codes = re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)
    assert codes == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "130"]
    assert exit_codes is not None
    assert set(re.findall(r"(?:^|  )(\d+)  ", exit_codes, re.MULTILINE)) == set(codes)
