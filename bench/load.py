"""Ours beside wrk, hey, k6 and Locust: the same server, the same core, the same run, in turns.

    python -m bench.load [--seconds 4] [--rounds 3] [--quick] [--only ours,wrk,...] [--json] [--plot FILE]

nginx (65 bytes, one worker) has one core, the generator another one. (a) closed: 64 connections, as fast as they go;
(b) open: 1,000 to 100,000 a second on a schedule, at 1,000 beside a bare blocking socket; (c) a server that stands still for
a second.

Rates are what the server counted and cpu is what the kernel says, over a window of `--seconds` in the middle of each run: so
start-up counts for nobody. Latencies are what each generator reports. Ours is the real engine behind the real pool, with a
check on each answer, both histograms and the ledger on; the cpu of the process that reads its reports is given apart
(`node_cpu_us_per_request`). Figures are medians of the rounds. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.command import carry_out, conditions, parser_of, real, say, whole
from bench.load_figures import closed_rows, cpu_ratios, freeze_rows, goals, open_rows, ratios, tables, verdicts
from bench.load_parse import Said
from bench.load_run import Bench, Measured
from bench.load_server import cores, nginx
from bench.load_tools import OURS, SOCKET, TOOLS, Model, Tool
from ha_stress.base.errors import HaStressError

CONNECTIONS: Final = 64
RATES: Final = (1_000.0, 10_000.0, 50_000.0, 100_000.0)
SECONDS: Final = 4.0
ROUNDS: Final = 3
PLOT: Final = Path(__file__).parent.parent / "docs" / "load.png"
QUICK_SECONDS: Final = 1.5
#: Neither Debian nor PyPI has it.
RARE: Final = frozenset({"wrk2"})
#: A generator that kept less than this of a rate has fallen behind.
KEPT_PART: Final = 0.5
FREEZE_RATE: Final = 400.0
FREEZE_RUN_S: Final = 6.0
FREEZE_S: Final = 1.0


class Comparison:
    """All runs. A generator that cannot be had, or that fails, is left out with the reason in `skipped`."""

    def __init__(self, bench: Bench, tools: Sequence[Tool], seconds: float, rounds: int) -> None:
        self.skipped: dict[str, str] = {}
        self._bench = bench
        self._seconds = seconds
        self._rounds = rounds
        self.tools = [tool for tool in tools if self._available(tool)]

    def _available(self, tool: Tool) -> bool:
        program, why = tool.found()
        if not program:
            self._skip(tool, why)
        return bool(program)

    def _skip(self, tool: Tool, why: str) -> None:
        say(f"{tool.name} is left out: {why}")
        self.skipped[tool.name] = why

    def closed(self) -> dict[str, list[Measured]]:
        runs: dict[str, list[Measured]] = defaultdict(list)
        for _ in range(self._rounds):
            for tool in self._having(Model.CLOSED):
                measured = self._run(tool, Model.CLOSED, 0.0, CONNECTIONS)
                if measured is not None:
                    runs[tool.name].append(measured)
        return runs

    def open(self, rates: Sequence[float]) -> dict[tuple[float, str], list[Measured]]:
        """Whoever has fallen far behind a rate is asked for the higher ones only once."""
        runs: dict[tuple[float, str], list[Measured]] = defaultdict(list)
        behind: set[str] = set()
        for rate in rates:
            asked = [tool for tool in self._having(Model.OPEN) if tool.name != SOCKET or rate == min(rates)]
            for number in range(self._rounds):
                for tool in asked:
                    measured = None
                    if number == 0 or tool.name not in behind:
                        measured = self._run(tool, Model.OPEN, rate, tool.connections_open)
                    if measured is not None:
                        runs[rate, tool.name].append(measured)
            behind |= {
                tool.name
                for tool in asked
                if tool.name != OURS and all(run.rate < KEPT_PART * rate for run in runs[rate, tool.name])
            }
        return runs

    def freeze(self) -> dict[str, Said]:
        said: dict[str, Said] = {}
        for tool in self._having(Model.CLOSED, Model.OPEN):
            try:
                said[tool.name] = self._bench.freeze(tool, rate=FREEZE_RATE, seconds=FREEZE_RUN_S, freeze_s=FREEZE_S)
            except HaStressError as error:
                self._skip(tool, str(error))
        return said

    def _having(self, *models: Model) -> list[Tool]:
        return [tool for tool in self.tools if set(models) & set(tool.models) and tool.name not in self.skipped]

    def _run(self, tool: Tool, model: Model, rate: float, connections: int) -> Measured | None:
        if tool.name in self.skipped:
            return None
        try:
            measured = self._bench.run(tool, model, rate=rate, connections=connections, seconds=self._seconds)
        except HaStressError as error:
            self._skip(tool, str(error))
            return None
        asked = f" asked for {rate:,.0f}/s" if rate else ""
        say(f"{tool.name}{asked}: {measured.rate:,.0f}/s, {measured.cpu_us:.1f} us a request")
        return measured


def measure(
    tools: Sequence[Tool],
    *,
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
    rates: Sequence[float] = RATES,
    freeze: bool = True,
) -> dict[str, Any]:
    server_core, core = cores()
    load_before = os.getloadavg()[0]
    with nginx(server_core) as server:
        comparison = Comparison(Bench(server, core, server_core), tools, seconds, rounds)
        closed = closed_rows(comparison.closed())
        opened = open_rows(comparison.open(rates))
        frozen = comparison.freeze() if freeze else {}
    return {
        "closed": closed,
        "open": opened,
        "freeze": freeze_rows(frozen, rate=FREEZE_RATE, seconds=FREEZE_RUN_S, freeze_s=FREEZE_S),
        "ratios": ratios(closed),
        "cpu_ratios": cpu_ratios(closed),
        "goals": goals(closed, opened),
        "skipped": comparison.skipped,
        "notes": {
            tool.name: tool.note for tool in comparison.tools if tool.note and tool.name not in comparison.skipped
        },
        "conditions": {
            "cores": len(os.sched_getaffinity(0)),
            "shared_core": server_core == core,
            "seconds": seconds,
            "rounds": rounds,
            "load_average_before": round(load_before, 2),
            "load_average_after": round(os.getloadavg()[0], 2),
        },
    }


def tools_named(text: str) -> list[Tool]:
    known = {tool.name: tool for tool in TOOLS}
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]


def is_full(report: dict[str, Any], tools: Sequence[Tool]) -> bool:
    """Whether the picture in the docs may be drawn of it: nobody is missing who can be had, and nothing was cut short."""
    asked = report["conditions"]["seconds"] >= SECONDS and report["conditions"]["rounds"] >= ROUNDS
    return asked and list(tools) == list(TOOLS) and set(report["skipped"]) <= RARE


def main() -> int:
    parser = parser_of("load", __doc__)
    parser.add_argument("--seconds", type=real(0.1, 600), help=f"the window of each run (default {SECONDS:g})")
    parser.add_argument("--rounds", type=whole(1, 100), help=f"default {ROUNDS}")
    parser.add_argument("--quick", action="store_true", help=f"one round of {QUICK_SECONDS:g} s")
    parser.add_argument(
        "--only", type=tools_named, default=list(TOOLS), help="of " + ",".join(tool.name for tool in TOOLS)
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="where to draw it (a full run with every tool: docs/load.png)"
    )
    options = parser.parse_args()
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    report, code = carry_out(
        lambda: measure(options.only, seconds=seconds, rounds=rounds), _shown, as_json=options.json
    )
    plot = options.plot or (PLOT if report is not None and is_full(report, options.only) else None)
    if report is not None and plot is not None:
        from bench.plot_load import draw  # matplotlib takes a second that a run without a picture need not wait

        draw(report, plot)
        say(f"picture: {plot}")
    return code


def _shown(report: dict[str, Any]) -> str:
    return "\n".join([tables(report), "", *verdicts(report), conditions(report)])


if __name__ == "__main__":
    sys.exit(main())
