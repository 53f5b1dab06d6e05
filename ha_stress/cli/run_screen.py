"""Where a run is shown: a live view on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console
from rich.live import Live as RichLive

from ha_stress.cli.live import Live
from ha_stress.cli.live_view import live_view, plain_line

_LINE_EVERY_S: Final = 5.0


def screen_of(out: Console, aside: Console, *, quiet: bool) -> TerminalScreen | LineScreen:
    """The first of the two on which can be drawn; lines on the second one where neither is a terminal, whatever colours
    somebody asked for."""
    for screen in (out, aside):
        able = screen.is_terminal and not screen.is_dumb_terminal and screen.file.isatty()
        if not quiet and able and screen.encoding.startswith("utf"):
            return TerminalScreen(screen)
    return LineScreen(aside, quiet=quiet)


class TerminalScreen:
    """Redrawn in place; gone at the end, for the summary says it all."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._live = RichLive(console=screen, transient=True, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> TerminalScreen:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, live: Live) -> None:
        width, height = self._screen.size
        self._live.update(live_view(live, time.time(), width, height), refresh=True)


class LineScreen:
    """For logs. `quiet` says nothing at all."""

    def __init__(self, screen: Console, *, quiet: bool = False) -> None:
        self._screen = screen
        self._quiet = quiet
        self._due = time.monotonic() + _LINE_EVERY_S
        self._said: dict[str, str] = {}

    def __enter__(self) -> LineScreen:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, live: Live) -> None:
        if self._quiet:
            return
        for kind, sentence in (("trouble", live.trouble), ("note", live.note)):
            if sentence and sentence != self._said.get(kind):
                self._said[kind] = sentence
                self._screen.print(sentence, markup=False, soft_wrap=True)
        if time.monotonic() >= self._due and not live.ended:
            self._due = time.monotonic() + _LINE_EVERY_S
            for task in live.tasks:
                self._screen.print(plain_line(task, time.time()), markup=False, soft_wrap=True)
