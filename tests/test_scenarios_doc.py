"""docs/scenarios.md: its example is a scenario, its commands exist, its table is what a user has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ha_stress.engines.exchange.user import Guest, User
from ha_stress.tasks.scenario import check_source

from .test_operations_doc import refusal

TEXT: Final = (Path(__file__).parents[1] / "docs" / "scenarios.md").read_text("utf-8")


def test_the_example_is_a_scenario() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    check_source("shop.py", example)


def test_every_command_that_the_page_shows_exists() -> None:
    commands = re.findall(r"^    \$ (ha-stress .*)$", TEXT, re.MULTILINE)
    assert len(commands) == 4
    assert [problem for command in commands if (problem := refusal(command))] == []


def test_the_table_has_what_a_user_has() -> None:
    rows = re.findall(r"^\| `(.*?)` \|", TEXT.partition("| `user.` |")[2].partition("\n\n")[0], re.MULTILINE)
    named = {
        re.sub(r"\(.*", "", name) for row in rows for name in row.replace("`", "").split(", ") if name.isidentifier()
    }
    named |= {row.partition("(")[0] for row in rows if "(" in row}
    has = {name for one in (Guest, User) for name in vars(one) if not name.startswith("_")}
    assert named == has | {"data", "number", "slot"}
