"""How things look: names and figures stay whole on a narrow terminal, and words say what is meant."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, RenderableType

from ha_stress.cli.cluster_views import status_view
from ha_stress.cli.output import print_line
from ha_stress.cli.views import event_line, failovers_table, tasks_table

NODE: dict[str, Any] = {
    "id": "node-1",
    "role": "master",
    "acting": True,
    "sequence": 1,
    "priority": 100,
    "pid": 12345,
    "cpu_percent": 12.0,
    "loop_lag_s": 0.001,
    "api_url": "http://127.0.0.1:43475",
    "draining": False,
    "leaving": False,
    "healthy": True,
    "frames_waiting": 0,
    "frames_lost": 0,
}
STATUS: dict[str, Any] = {
    "cluster": "local",
    "epoch": 1,
    "master": {"node": "node-1", "acting": True},
    "nodes": [NODE],
    "sentinels": [],
    "redis": "ok",
    "database": "ok",
}
TASK: dict[str, Any] = {
    "id": "checkout",
    "status": "running",
    "wanted": "run",
    "rate": 500.0,
    "duration_s": None,
    "created_at": 0.0,
    "name": "GET 127.0.0.1:8080",
}
EVENT: dict[str, Any] = {
    "sequence": 12,
    "at_ms": 0,
    "epoch": 1,
    "source": "s1",
    "name": "+new-epoch",
    "subject": "n1",
    "cause": "",
    "meaning": "a sentinel learnt of a higher epoch",
}


def terminal(width: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, no_color=True, color_system=None, width=width)


def lines(screen: Console) -> list[str]:
    assert isinstance(screen.file, io.StringIO)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


def shown(what: RenderableType, width: int) -> list[str]:
    screen = terminal(width)
    screen.print(what)
    return lines(screen)


def test_names_and_figures_stay_whole_on_a_narrow_terminal() -> None:
    found = "\n".join(shown(status_view(STATUS), 60))
    assert "node-1" in found and "12345" in found and "…" not in found


def test_nothing_ends_with_an_empty_line() -> None:
    assert shown(status_view(STATUS), 80)[-1] != ""


def test_a_failover_fits_into_eighty_columns() -> None:
    phases = {f"{name}_ms": 1234.5 for name in ("odown", "elected", "awarded", "accepted")}
    record = {"epoch": 2, "at": 1.0, "old": {"node": "n1"}, "winner": {"node": "n3"}, "leader": "s1", "phases": phases}
    found = shown(failovers_table([record | {"outcome": "accepted", "kind": "failover", "cause": "crash"}]), 80)
    assert "accepted: crash" in found[2] and len(found) == 4


def test_a_task_that_shall_stop_is_stopping_before_the_master_says_so() -> None:
    assert "stopping" in shown(tasks_table([TASK | {"wanted": "stop"}]), 80)[2]
    assert "ended" in shown(tasks_table([TASK | {"wanted": "stop", "status": "ended"}]), 80)[2]
    assert "running" in shown(tasks_table([TASK]), 80)[2]


def test_words_in_brackets_are_shown_as_they_are() -> None:
    found = shown(tasks_table([TASK | {"name": "GET [fd00::1]:8080"}, TASK | {"name": "a [/b] [bold]c"}]), 80)
    assert "GET [fd00::1]:8080" in found[2] and "a [/b] [bold]c" in found[3]
    node = NODE | {"api_url": "http://[fd00::1]:7700"}
    assert "http://[fd00::1]:7700" in "\n".join(shown(status_view(STATUS | {"nodes": [node]}), 120))


def test_the_words_of_an_event_go_on_under_where_they_began() -> None:
    screen = terminal(80)
    print_line(screen, *event_line(EVENT))
    first, second = lines(screen)
    assert first.index("a sentinel") == len(second) - len(second.lstrip()) and second.strip() == "a higher epoch"


def test_an_event_has_what_it_is_quoted_by() -> None:
    head, _ = event_line(EVENT | {"epoch": 7, "sequence": 1204})
    assert "  e7#1204 " in head.plain


def test_an_event_is_one_line_in_a_pipe() -> None:
    screen = Console(file=io.StringIO(), width=60, color_system=None)
    print_line(screen, *event_line(EVENT))
    assert len(lines(screen)) == 1
