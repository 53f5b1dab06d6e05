"""The failover beside that of Valkey Sentinel: same machine, same run, same `down_after`, one observer.

    python -m bench.failover [--rounds 10] [--json] [--plot docs/failover.png]

Rounds alternate between the two systems and between kill -9 and SIGSTOP of the master. Both systems are up all the time;
a round begins when both are well, at a random moment of their ping periods. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol

from bench.command import carry_out, conditions, parser_of, say, whole
from bench.failover_figures import (
    DOWN_AFTER_S,
    FIELDS,
    OURS,
    SYSTEMS,
    TITLES,
    VALKEY,
    Cause,
    Round,
    Rounds,
    report_of,
    table,
    verdicts,
)
from bench.failover_ours import Ours
from bench.failover_valkey import Valkey

#: Every period of both systems (pings, hellos) is at most this long, but for Valkey's hellos; the phase shall be random.
PHASE_S: Final = 1.0
PLOT: Final = Path(__file__).parent.parent / "docs" / "failover.png"
#: After a restart the machine shall be quiet again.
SETTLE_S: Final = 1.0


class System(Protocol):
    def fail(self, cause: Cause) -> Round: ...


def measure(count: int) -> dict[str, Any]:
    load_before = os.getloadavg()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        valkey = stack.enter_context(Valkey(directory / VALKEY, free_ports))
        ours = stack.enter_context(Ours(directory / OURS))
        rounds = _alternate({OURS: ours, VALKEY: valkey}, count)
    return report_of(rounds) | {
        "conditions": {
            "down_after_ms": round(DOWN_AFTER_S * 1000),
            "valkey": valkey.version,
            "cores": os.cpu_count(),
            "load_average_before": round(load_before[0], 2),
            "load_average_after": round(os.getloadavg()[0], 2),
        }
    }


def _alternate(systems: dict[str, System], count: int) -> Rounds:
    rounds: Rounds = {cause: {name: [] for name in SYSTEMS} for cause in Cause}
    for number in range(count):
        for cause in Cause:
            for name in SYSTEMS if number % 2 == 0 else reversed(SYSTEMS):
                time.sleep(SETTLE_S + random.uniform(0, PHASE_S))
                one = systems[name].fail(cause)
                rounds[cause][name].append(one)
                figures = ", ".join(f"{field} {getattr(one, field):.0f}" for field in FIELDS)
                say(f"round {number + 1} of {count}, {TITLES[cause]:<8} {name:<7} {figures}")
    return rounds


def free_ports(count: int) -> list[int]:
    """Different ones that nobody listened on a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def plot(report: dict[str, Any], path: Path) -> None:
    """Needs matplotlib, which comes with the development extra."""
    try:
        from bench import plot_failover
    except ImportError as error:
        say(f"{path} was not drawn: {error}; pip install -e '.[dev]'")
        return
    try:
        plot_failover.draw(report, path)
    except OSError as error:
        say(f"{path} was not drawn: {error}")
    else:
        say(f"{path} shows every round")


def main() -> int:
    parser = parser_of("failover", __doc__)
    parser.add_argument("--rounds", type=whole(1, 1_000), default=10, help="of each system and cause (default 10)")
    parser.add_argument(
        "--plot",
        type=Path,
        default=PLOT,
        metavar="FILE.png",
        help="where to draw the phases (default docs/failover.png)",
    )
    options = parser.parse_args()
    report, code = carry_out(lambda: measure(options.rounds), _shown, as_json=options.json)
    if report is not None:
        plot(report, options.plot)
    return code


def _shown(report: dict[str, Any]) -> str:
    return "\n".join(["\n\n".join(table(report, cause) for cause in Cause), *verdicts(report), conditions(report)])


if __name__ == "__main__":
    sys.exit(main())
