"""What the demo shows: who is who, a timeline in milliseconds since the kill, the books, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import TaskID
from rich.rule import Rule
from rich.text import Text

from ha_stress.cli import views
from ha_stress.cli.cluster_views import status_view
from ha_stress.cli.failover_views import failover_view
from ha_stress.cli.layout import grid, ms, number, spaced
from ha_stress.cli.output import print_line
from ha_stress.cli.progress import progress_of, shown

#: What each invariant says, for people.
_MEANING = {
    "task_ended": "the task ended and its books are closed",
    "books_balanced": "intended = started + dropped + uncovered",
    "started_equals_counted": "the target counted exactly the requests that were started",
    "nothing_uncovered": "no arrival was lost with the dead process",
    "one_winner_per_epoch": "every epoch has exactly one master",
    "one_leader_per_epoch": "every epoch has at most one leading sentinel",
    "epoch_grew": "the successor has a higher epoch",
    "new_master_is_acting": "the successor is master and acts",
    "old_master_is_worker": "the old master came back as a worker",
    "old_epoch_refused": "the old master's writes were refused",
    "events_without_gap": "the event stream has no gap",
    "total_below_500_ms": "from the kill to the first act of the successor in less than 500 ms",
}


class DemoView:
    """Prints as it goes. `quiet` prints nothing: the document is all that is wanted."""

    def __init__(self, screen: Console, *, quiet: bool = False) -> None:
        self.screen = screen
        self.quiet = quiet
        self._progress = progress_of(screen)
        self._bar: TaskID | None = None

    def say(self, text: str) -> None:
        if not self.quiet:
            self.screen.print(text, soft_wrap=True)

    def head(self, title: str) -> None:
        if not self.quiet:
            self.screen.print()
            self.screen.print(Rule(Text(title, "bold"), align="left", style="dim"))

    def who(self, status: Mapping[str, Any]) -> None:
        self.head("Who is who")
        if not self.quiet:
            self.screen.print(status_view(status))

    # The load.

    def load_begins(self, url: str, rate: float, duration_s: float) -> None:
        self.head(f"{number(rate)} requests/s for {duration_s:g} s on {url}")
        if not self.quiet and self.screen.is_terminal:
            self._progress.start()
            self._bar = self._progress.add_task(url, total=duration_s, note="starting")

    def load(self, task: Mapping[str, Any], duration_s: float) -> None:
        if self._bar is not None:
            self._progress.update(self._bar, **shown(task, duration_s))

    def load_ends(self) -> None:
        if self._bar is not None:
            self._progress.stop()
            self._bar = None

    def act(self, at_s: float, text: str) -> None:
        """Something that the demo itself did."""
        if not self.quiet:
            head = Text.assemble((f"{at_s:9.3f} s ", "dim"), (f" {'demo':<10} ", "bold"))
            print_line(self.screen, head, Text.from_markup(text))

    def event(self, event: Mapping[str, Any], at_s: float, since_kill_ms: float | None) -> None:
        if self.quiet:
            return
        near = since_kill_ms is not None and 0 <= since_kill_ms < 10_000
        when = f"{since_kill_ms:+9.0f} ms" if near else f"{at_s:9.3f} s "
        print_line(self.screen, *views.event_parts(Text(when, "bold" if near else "dim"), event))

    # The verdict.

    def verdict(self, report: Mapping[str, Any], task: Mapping[str, Any], record: Mapping[str, Any] | None) -> None:
        if self.quiet:
            return
        self.head("The books")
        self.screen.print(views.summary(task))
        counted = report["target"]["counted"]
        if counted is not None:
            self.screen.print()
            self.screen.print(Text.assemble(("counted by the target  ", "dim"), (number(counted), "bold")))
        self.head("The failover")
        self.screen.print(_phases(report["failover"]))
        if record:
            self.screen.print()
            self.screen.print(failover_view(record))
        self.head("What must hold")
        for name, holds in report["invariants"].items():
            mark = ("  ✓ ", "bold green") if holds else ("  ✗ ", "bold red")
            head = Text.assemble(mark, (f"{name:<24}", "" if holds else "red"))
            print_line(self.screen, head, Text(_MEANING.get(name, ""), "dim"))
        self.screen.print()
        total = report["failover"]["total_ms"]
        if report["ok"]:
            self.screen.print(f"[bold green]Everything held.[/] The master was replaced in {ms(total)} ms under load.")
        else:
            self.screen.print("[bold red]Not everything held:[/] see the crosses above.")


def _phases(failover: Mapping[str, Any]) -> Any:
    rows = (
        ("detect_ms", "detect", "killed, until a quorum holds it to be down"),
        ("elect_ms", "elect", "until a sentinel has the majority"),
        ("award_ms", "award", "until the mastership record names the successor"),
        ("act_ms", "act", "until its first act under the new epoch"),
        ("total_ms", "total", f"{failover['killed']} -> {failover['winner'] or '?'}"),
    )
    table = grid("phase", "ms", "from the one before", right=("ms",))
    for key, name, meaning in rows:
        style = "bold" if name == "total" else ""
        table.add_row(Text(name, style), Text(ms(failover[key]), style), Text(meaning, "dim"))
    return spaced(table)
