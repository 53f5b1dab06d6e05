"""`python -m tests.explore`: visit every state within the stated bound, and tell each violation as a conversation."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from typing import Any

from tests.explore.budget import KINDS, Budget, named, parse
from tests.explore.explorations import EXPLORATIONS
from tests.explore.search import Bound, Found, search
from tests.explore.starts import STARTS, Exploration
from tests.explore.tell import conversation
from tests.explore.world import World


def main() -> int:
    chosen = _arguments()
    began = time.perf_counter()
    world = World()
    rows: list[dict[str, Any]] = []
    for exploration in _wanted(chosen):
        start = exploration.begin(world)
        found = search(world, start, exploration.bound)
        rows.append(as_row(exploration, found))
        if not chosen.json:
            print(as_line(exploration, found), flush=True)
        if found.broken:
            print("\n".join(conversation(world, start, found.path, found.broken)), file=sys.stderr, flush=True)
    document = {
        "starts": rows,
        "states": sum(row["states"] for row in rows),
        "transitions": sum(row["transitions"] for row in rows),
        "violations": sum(row["violations"] for row in rows),
        "exhausted": all(row["exhausted"] for row in rows),
        "wall_s": round(time.perf_counter() - began, 2),
        "bound": {"sentinels": 3, "nodes": 2, "explorations": len(rows)},
    }
    if chosen.json:
        print(json.dumps(document))
    else:
        print(summary(document))
    return 1 if document["violations"] else 0


def _arguments() -> argparse.Namespace:
    kinds = "; ".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items())
    parser = argparse.ArgumentParser(prog="python -m tests.explore", description=__doc__, epilog=f"Budgets: {kinds}.")
    parser.add_argument("--start", choices=sorted(STARTS), metavar="NAME", help=f"only from: {', '.join(STARTS)}")
    parser.add_argument(
        "--budget", type=_budget, metavar="KIND=N,...", help="how much may go wrong, instead of each start's own"
    )
    parser.add_argument(
        "--horizon", type=_natural, metavar="N", help="instants that may pass, instead of each start's own"
    )
    parser.add_argument(
        "--depth", type=_natural, default=0, metavar="N", help="moves from the start at most; 0: no limit"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser.parse_args()


def _budget(text: str) -> Budget:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _wanted(chosen: argparse.Namespace) -> list[Exploration]:
    """The explorations that were asked for; with a budget of one's own, one from each start."""
    wanted = [one for one in EXPLORATIONS if chosen.start in (None, one.start)]
    if chosen.budget is not None:
        wanted = [replace(one, budget=chosen.budget) for one in {one.start: one for one in wanted}.values()]
    return [replace(one, bound=_bound(one.bound, chosen)) for one in wanted]


def _bound(bound: Bound, chosen: argparse.Namespace) -> Bound:
    horizon = bound.horizon if chosen.horizon is None else chosen.horizon
    return replace(bound, horizon=horizon, depth=chosen.depth or bound.depth)


def as_row(exploration: Exploration, found: Found) -> dict[str, Any]:
    return {
        "name": exploration.name,
        "budget": named(exploration.budget),
        "horizon": exploration.bound.horizon,
        "depth": found.depth,
        "states": found.states,
        "transitions": found.transitions,
        "exhausted": found.exhausted,
        "successions": found.successions,
        "violations": len(found.broken),
        "wall_s": round(found.wall_s, 2),
    }


def as_line(exploration: Exploration, found: Found) -> str:
    end = "exhausted" if found.exhausted else "NOT exhausted"
    outcome = f"VIOLATED: {'; '.join(found.broken)}" if found.broken else "0 violations"
    return (
        f"{exploration.name:<58} {exploration.bound.horizon} instants, depth {found.depth:>3}: "
        f"{found.states:>8,} states {found.transitions:>9,} transitions, {end}, {outcome}, {found.wall_s:.1f} s"
    )


def summary(document: dict[str, Any]) -> str:
    return (
        f"3 sentinels, 2 nodes, {document['bound']['explorations']} explorations: {document['states']:,} states, "
        f"{document['transitions']:,} transitions, {document['violations']} violations, {document['wall_s']:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
