"""The pure part of the plot: a report of `bench.failover` in; bars, marks and sentences out.

A bar begins at the signal and is cut at the median of each mark, in the order in which the marks came. Ours announces before
the successor acts, Valkey's sentinels after it, so the colour of a piece says which mark ends it, not which place it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.failover_figures import OURS, SYSTEMS, TITLES, VALKEY, Cause

#: Mark -> what the time until it was spent on, and what is reached at it.
PIECES: Final = {"detect_ms": "found to be down", "act_ms": "successor acts", "announce_ms": "subscriber is told"}
#: Why our SIGSTOP may take less than `down_after`.
FOOTNOTE: Final = (
    "Bars are cut at medians. kill -9: connections that the dead process's host refuses are evidence for ours; Valkey waits "
    "out down_after.\nSIGSTOP: both wait; ours counts silence from the last answer, up to one ping period before the "
    "signal, Valkey from its first unanswered ping."
)
NAMES: Final = {OURS: "ours", VALKEY: "Valkey Sentinel"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a bar, milliseconds after the signal; `rounds_ms` are those of the mark that ends it."""

    mark: str
    begin_ms: float
    end_ms: float
    worst_ms: float
    rounds_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One system under one cause."""

    system: str
    pieces: tuple[Piece, ...]

    @property
    def worst_ms(self) -> float:
        return max(piece.worst_ms for piece in self.pieces)


def bars(report: Mapping[str, Any], cause: Cause) -> tuple[Bar, ...]:
    return tuple(_bar(report[cause][system], system) for system in SYSTEMS)


def _bar(figures: Mapping[str, Any], system: str) -> Bar:
    pieces, begin_ms = [], 0.0
    for mark in sorted(PIECES, key=lambda mark: float(figures[mark]["median"])):
        one = figures[mark]
        pieces.append(
            Piece(
                mark=mark,
                begin_ms=begin_ms,
                end_ms=one["median"],
                worst_ms=one["worst"],
                rounds_ms=tuple(one["all_ms"]),
            )
        )
        begin_ms = one["median"]
    return Bar(system=system, pieces=tuple(pieces))


def title(report: Mapping[str, Any]) -> str:
    """The finding, whoever is faster."""
    ours, theirs = report[Cause.KILL][OURS], report[Cause.KILL][VALKEY]
    acts_ms, their_acts_ms = ours["act_ms"]["worst"], theirs["act_ms"]["worst"]
    return f"After kill -9 a successor acts within {acts_ms:,.0f} ms at worst; with Valkey Sentinel, {their_acts_ms:,.0f} ms"


def subtitle(report: Mapping[str, Any]) -> str:
    """The conditions."""
    conditions = report["conditions"]
    return (
        f"{report[Cause.KILL][OURS]['act_ms']['rounds']} rounds each, alternating in one run; down_after "
        f"{conditions['down_after_ms']:g} ms; three sentinels and three servers on either side; "
        f"Valkey {conditions['valkey']}; {conditions['cores']} cores"
    )


def heading(report: Mapping[str, Any], cause: Cause) -> str:
    """What happened, and how many times as long it took theirs."""
    ratio = report["ratios"][cause]
    acts, told = ratio["act_ms"]["median"], ratio["announce_ms"]["median"]
    return f"{TITLES[cause]} of the master: Valkey takes {acts:.1f} times as long to act, {told:.1f} times to announce"


def labels(bar: Bar, *, apart_ms: float) -> list[tuple[float, str]]:
    """(place, text) of the medians, milliseconds. Those that would touch stand together, at the place of the last one."""
    together: list[list[Piece]] = []
    for piece in bar.pieces:
        if together and piece.end_ms - together[-1][-1].end_ms < apart_ms:
            together[-1].append(piece)
        else:
            together.append([piece])
    return [(group[-1].end_ms, " | ".join(f"{piece.end_ms:,.0f}" for piece in group)) for group in together]
