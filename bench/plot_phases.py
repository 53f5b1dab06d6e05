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
PIECES: Final = {"detect_ms": "found to be down", "act_ms": "successor is master", "announce_ms": "it is announced"}
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
    told = theirs["announce_ms"]["median"] / max(ours["announce_ms"]["median"], 0.001)
    faster = f"{told:.0f} times sooner than" if told >= 1.5 else f"{told:.2g} times as soon as"
    return (
        f"After kill -9 our successor acts in {ours['act_ms']['median']:.0f} ms, at worst {ours['act_ms']['worst']:.0f}; "
        f"it is announced {faster} by Valkey Sentinel"
    )


def subtitle(report: Mapping[str, Any]) -> str:
    """The conditions."""
    conditions = report["conditions"]
    return (
        f"One run, alternating, {report[Cause.KILL][OURS]['act_ms']['rounds']} rounds of each; down_after "
        f"{conditions['down_after_ms']:g} ms on both sides; three sentinels and three servers each; "
        f"Valkey {conditions['valkey']}; {conditions['cores']} cores. Bars end at medians, a dot is a round."
    )


def heading(report: Mapping[str, Any], cause: Cause) -> str:
    """What happened, and how many times as long it took theirs."""
    ratio = report["ratios"][cause]
    acts, told = ratio["act_ms"]["median"], ratio["announce_ms"]["median"]
    return f"{TITLES[cause]} of the master: Valkey takes {acts:.1f} times as long to act, {told:.1f} times to announce"


def labels(bar: Bar, *, apart_ms: float) -> list[tuple[float, str, bool]]:
    """(place, text, whether it stands to the right of the place) of the medians. Those that would touch stand together."""
    together: list[list[Piece]] = []
    for piece in bar.pieces:
        if together and piece.end_ms - together[-1][-1].end_ms < apart_ms:
            together[-1].append(piece)
        else:
            together.append([piece])
    found = []
    for group in together:
        text = ", ".join(f"{piece.end_ms:,.0f}" for piece in group)
        found.append((group[-1].end_ms, f"{text} ms", False))
    return found
