"""Are the books exact while everything is killed? A cluster under load, kill -9 all the time, and a server that counts.

    python -m bench.books [--seconds 60] [--rate 21000] [--seed N] [--database postgresql|URL] [--database-outage] [--json]

Three nodes, three sentinels and Redis load one counting server. Every 5 s one of them is killed: a master, a worker, a
sentinel, Redis, in turn, by the dice of the seed; it is started again after 2 s. With --database-outage nothing of that
happens: a PostgreSQL is stopped for 10 s, and then once more while the master is killed. Exit code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import httpx

from bench.books_audit import Kill
from bench.books_cluster import WHOLE_S_MAX, Books, running
from bench.books_figures import MASTER, REDIS, SENTINEL, WORKER, report_of, table, verdicts
from bench.command import carry_out, conditions, parser_of, real, say
from bench.witness import BenchFailed
from tests.postgresql import NoPostgreSQL, PostgreSQL, private_postgresql

EVERY_S: Final = 5.0
DOWN_S: Final = 2.0
#: By so much a kill is early or late, so that it meets every phase of frames and pings.
JITTER_S: Final = 0.5
#: After the last kill: its detection, and the rate that comes back.
LAST_S: Final = 4.0
#: A busy machine is late with its restarts; with fewer kills than this part of what there is time for nothing is shown.
KILLS_PART: Final = 0.6
IN_TURN: Final = (MASTER, WORKER, SENTINEL, REDIS)
OUTAGE_S: Final = 10.0
#: Into an outage, when the master is killed.
INTO_OUTAGE_S: Final = 3.0
DATABASE: Final = "database"
POSTGRESQL: Final = "postgresql"
#: The shortest run that has two outages in it.
OUTAGES_SECONDS_MIN: Final = 45.0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    try:
        return _measure(options)
    except (NoPostgreSQL, httpx.HTTPError) as error:
        raise BenchFailed(str(error)) from None


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    load_before = os.getloadavg()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        server = None
        url = options.database
        if options.database_outage or url == POSTGRESQL:
            server = stack.enter_context(private_postgresql())
            url = server.url()
        books = stack.enter_context(running(directory, url, options.seed))
        books.load(options.rate, options.seconds)
        if options.database_outage:
            assert server is not None
            outages(books, server, options.seconds)
        else:
            kill_in_turn(books, options.seconds)
        books.wait_ended()
        report = report_of(books.evidence())
    circumstances = {
        "seed": options.seed,
        "database": url.partition(":")[0] or "sqlite",
        "cores": os.cpu_count(),
        "load_average_before": round(load_before[0], 2),
        "load_average_after": round(os.getloadavg()[0], 2),
    }
    return report | {"conditions": circumstances}


def kill_in_turn(books: Books, seconds: float) -> None:
    """Until the run is nearly over. Nobody is killed before the one before is back: two workers are what covers."""
    dice, begin = books.dice, books.started_at
    books.kills_wanted = int(KILLS_PART * (seconds - LAST_S) / EVERY_S)
    for number, what in enumerate(cycle(IN_TURN), 1):
        _sleep_until(begin + number * EVERY_S + dice.uniform(-JITTER_S, JITTER_S))
        if not _whole_before(books, begin + seconds - LAST_S):
            return
        name = books.kill(what)
        _say(books, f"killed {what} {name}")
        time.sleep(DOWN_S)
        books.restart(what, name)


def _whole_before(books: Books, end: float) -> bool:
    """Wait for everybody to be back; False if that is not before `end`, after which nobody is killed any more."""
    try:
        books.wait_whole(timeout_s=min(WHOLE_S_MAX, end - time.time()))
    except BenchFailed:
        if time.time() < end:
            raise
    return time.time() < end


def outages(books: Books, server: PostgreSQL, seconds: float) -> None:
    """Two, half the time after each other; in the second one the master is killed, and back when the database is."""
    books.kills_wanted = 3
    for number in range(2):
        _sleep_until(books.started_at + EVERY_S + number * seconds / 2)
        books.wait_whole()
        with _outage(books, server):
            if number:
                time.sleep(INTO_OUTAGE_S)
                killed = books.kill(MASTER)
                _say(books, f"killed master {killed}")
        if number:
            books.restart(MASTER, killed)


@contextmanager
def _outage(books: Books, server: PostgreSQL) -> Iterator[None]:
    begin = time.time()
    books.kills.append(Kill(what=DATABASE, name=POSTGRESQL, at=begin))
    server.stop()
    _say(books, "stopped PostgreSQL")
    yield
    _sleep_until(begin + OUTAGE_S)
    server.start()
    _say(books, "started PostgreSQL again")


def _sleep_until(unix_s: float) -> None:
    time.sleep(max(0.0, unix_s - time.time()))


def _say(books: Books, words: str) -> None:
    say(f"{time.time() - books.started_at:>6.1f} s  {words}")


def _options() -> argparse.Namespace:
    parser = parser_of("books", __doc__)
    parser.add_argument("--seconds", type=real(5, 86_400), default=60.0, help="of load (default 60)")
    parser.add_argument("--rate", type=real(1, 1_000_000), default=21_000.0, help="per second (default 21000)")
    parser.add_argument("--seed", type=int, default=None, help="who is killed and when exactly (default: random)")
    parser.add_argument(
        "--database", default="", metavar="URL", help="or 'postgresql' for a private one (default: an SQLite file)"
    )
    parser.add_argument("--database-outage", action="store_true", help="stop a private PostgreSQL instead of killing")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(1_000_000)
    if options.database_outage and options.database not in ("", POSTGRESQL):
        parser.error("--database-outage stops a PostgreSQL of its own: it goes without --database")
    if options.database_outage and options.seconds < OUTAGES_SECONDS_MIN:
        parser.error(f"--database-outage needs --seconds of at least {OUTAGES_SECONDS_MIN:g}")
    return options


def _shown(report: dict[str, Any]) -> str:
    return "\n".join([conditions(report), table(report), *verdicts(report)])


def main() -> int:
    options = _options()
    _, code = carry_out(lambda: measure(options), _shown, as_json=options.json)
    return code


if __name__ == "__main__":
    sys.exit(main())
