"""docs/operations.md is read at three in the morning: its events, commands, options, metrics and links must exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from ha_stress.cli.main import app
from ha_stress.cluster.events import MEANING

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "operations.md"
TEXT: Final = PAGE.read_text("utf-8")
FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EVENT_ROW: Final = re.compile(r"^\| `([+-][a-z-]+)` \|", re.MULTILINE)
METRIC: Final = re.compile(r"\bha_stress_[a-z_]+")
#: Where metrics are made. prometheus_client adds `_total` to the name of a counter.
METRIC_SOURCES: Final = (ROOT / "sentinel" / "metrics.py", ROOT / "ha_stress" / "api" / "metrics.py")
LINK: Final = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def chapter(title: str) -> str:
    """From the heading to the next one of its level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no chapter {title!r}"
    return found.group(1)


def shown_commands() -> Iterator[str]:
    """What is typed at a prompt, and what stands between backticks in the text."""
    for _, body in FENCE.findall(TEXT):
        yield from re.findall(r"^\$ (ha-stress .*)$", body, re.MULTILINE)
    yield from re.findall(r"`(ha-stress [^`]+)`", FENCE.sub("", TEXT))


def refusal(line: str) -> str:
    """Why the command line has no such command or option; "" if it has. Values are not looked at."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands") and not command.invoke_without_command:
        return f"{line!r}: {command.name} has no {words[:1]}"
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help", "-h"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    arguments = hasattr(command, "commands") and [word for word in words[:1] if not word.startswith("-")]
    return f"{line!r}: {command.name} has no {unknown or arguments}" if unknown or arguments else ""


def anchors(page: Path) -> set[str]:
    """Of the headings, as they are made by what renders the page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_event_is_in_the_table_once_and_nothing_else_is() -> None:
    rows = EVENT_ROW.findall(chapter("5 Every event"))
    assert sorted(rows) == sorted(MEANING)


def test_every_event_that_the_page_speaks_of_exists() -> None:
    named = set(re.findall(r"`([+-][a-z]+(?:-[a-z]+)*)`", FENCE.sub("", TEXT)))
    assert named <= set(MEANING), sorted(named - set(MEANING))


def test_every_command_and_option_that_the_page_shows_exists() -> None:
    lines = list(shown_commands())
    assert len(lines) > 40
    assert [problem for line in lines if (problem := refusal(line))] == []


@pytest.mark.parametrize(
    "line", ["ha-stress explode", "ha-stress tag n1 --colour red", "ha-stress sentinels replace s1", "ha-stress task"]
)
def test_a_command_or_option_that_does_not_exist_would_be_found(line: str) -> None:
    assert refusal(line)


def test_every_metric_that_the_page_names_is_made_by_a_sentinel_or_a_node() -> None:
    made = {name for path in METRIC_SOURCES for name in METRIC.findall(path.read_text("utf-8"))}
    named = set(METRIC.findall(TEXT))
    assert "ha_stress_sentinel_members_heard" in named
    assert sorted(name for name in named if name not in made and name.removesuffix("_total") not in made) == []


def test_every_alert_rule_has_an_expression_over_metrics() -> None:
    (rules,) = (body for language, body in FENCE.findall(TEXT) if language == "yaml")
    expressions = re.findall(r"^ +expr: (.+)$", rules, re.MULTILINE)
    assert len(expressions) == len(re.findall(r"^ +- alert: \w+$", rules, re.MULTILINE)) > 10
    assert all(METRIC.search(expression) for expression in expressions)
    assert set(re.findall(r'name="([^"]+)"', rules)) <= set(MEANING)


def test_every_link_leads_somewhere() -> None:
    wrong = []
    for target in LINK.findall(FENCE.sub("", TEXT)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        page = PAGE.parent / name if name else PAGE
        if not page.is_file() or (anchor and anchor not in anchors(page)):
            wrong.append(target)
    assert wrong == []


def test_the_page_on_differences_is_linked() -> None:
    assert "differences.md" in LINK.findall(TEXT)
