"""`ha-stress up`: a whole cluster on this machine, in the foreground."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ha_stress.cli import options

if TYPE_CHECKING:
    from ha_stress.cli.local import LocalCluster

_WATCH_S = 0.25


def up(
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=64, help="How many nodes.")] = 3,
    sentinels: Annotated[int, typer.Option("--sentinels", min=0, max=15, help="How many sentinels.")] = 3,
    engines: Annotated[int, typer.Option("--engines", min=1, max=64, help="Load processes per node.")] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what an earlier cluster left in the directory.")
    ] = False,
    allow: options.Allow = [],  # noqa: B006
    data_dir: options.DataDir = None,
    timing: options.Timing = [],  # noqa: B006
    log_level: options.LogLevel = "info",
    as_json: options.Json = False,
) -> None:
    """Start Redis, sentinels and nodes here; Ctrl-C stops them all."""
    from ha_stress.cli.client import data_dir_of
    from ha_stress.cli.local import LocalCluster, LocalSpec
    from ha_stress.cli.output import console
    from ha_stress.cli.parse import parse_pairs
    from ha_stress.cli.server_commands import checked_level

    spec = LocalSpec(
        data_dir=data_dir_of(data_dir),
        nodes=nodes,
        sentinels=sentinels,
        engines=engines,
        allow=options.allowed_of(allow),
        timing=checked_timing(parse_pairs("--timing", timing)),
        log_level=checked_level(log_level),
        fresh=fresh,
    )
    stop_on_term()
    screen = console(stderr=as_json)
    began = time.monotonic()
    if not as_json:
        screen.print(f"Starting {nodes} nodes and {sentinels} sentinels in {spec.data_dir} ...", markup=False)
    with LocalCluster(spec) as cluster:
        try:  # what is printed tells the reader that it may be interrupted, so printing is inside
            _tell(screen, cluster, time.monotonic() - began, as_json=as_json)
            _watch(screen, cluster)
        except KeyboardInterrupt:
            screen.print("Stopping ...")


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start here")(up)


def checked_timing(pairs: dict[str, str]) -> dict[str, str]:
    """Refuse a wrong timing here, rather than in the log of a child."""
    from ha_stress.base.config import Timing, load

    load(Timing, pairs)
    return pairs


def stop_on_term() -> None:
    """SIGTERM stops as Ctrl-C does, so that no child is left behind, and so does the end of a session, unless `nohup` says
    otherwise. Ctrl-C counts also where a script's `&` turned it off.

    The handler sends SIGINT instead of raising: trio has to choose the place where the interruption is safe.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


def _tell(screen: Any, cluster: LocalCluster, took_s: float, *, as_json: bool) -> None:
    from ha_stress.cli.output import print_json

    with cluster.client() as client:
        status = client.status()
    if as_json:
        print_json({"ready_s": round(took_s, 3), "data_dir": str(cluster.dir), "status": status}, line=True)
    else:
        _introduce(screen, cluster, status, took_s)


def _introduce(screen: Any, cluster: LocalCluster, status: dict[str, Any], took_s: float) -> None:
    from rich.text import Text

    from ha_stress.cli.client import data_dir_of
    from ha_stress.cli.cluster_views import status_view

    option = "" if cluster.dir == data_dir_of(None).absolute() else f" --data-dir {cluster.spec.data_dir}"
    url = status["nodes"][0]["api_url"]
    screen.print(status_view(status))
    screen.print(f"\nReady in {took_s:.1f} s. Ctrl-C stops everything. From another terminal:\n")
    commands = (
        (f"ha-stress task create http://127.0.0.1:8080/ --rate 500 --duration 20s{option}", "load something of yours"),
        (f"ha-stress events --follow{option}", "watch what happens"),
        (f"kill -9 {_master_pid(status)}", "kill the master, and look"),
        (f"ha-stress failovers{option}", "how long it took, who won and why"),
    )
    for command, meaning in commands:
        screen.print(Text.assemble((f"  # {meaning}\n", "dim"), (f"  {command}", "bold")), soft_wrap=True)
    screen.print(f"\nAPI: {url}/api/v1/openapi.json\nLogs: {cluster.spec.data_dir}/*.log", markup=False, soft_wrap=True)


def _master_pid(status: dict[str, Any]) -> int:
    master = status["master"]["node"] if status["master"] else ""
    return next((node["pid"] for node in status["nodes"] if node["id"] == master), 0)


def _ending(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def _watch(screen: Any, cluster: LocalCluster) -> None:
    """Until interrupted: say when a process ends by itself. It is not started again; that the cluster copes is the point.
    Unavailable once none is left."""
    from rich.text import Text

    from ha_stress.base.errors import Unavailable

    said: set[str] = set()
    while True:
        for who, rest in _ended(cluster):
            if who not in said:
                said.add(who)
                screen.print(Text.assemble((f"{who} ended", "yellow"), rest), soft_wrap=True)
        if not any(child.alive for child in cluster.children()):
            raise Unavailable(f"every node and sentinel has ended; their logs are in {cluster.dir}")
        time.sleep(_WATCH_S)


def _ended(cluster: LocalCluster) -> Iterator[tuple[str, str]]:
    """Who has, and the rest of the sentence."""
    for child in cluster.children():
        if not child.alive:
            yield f"{child.kind} {child.id}", f" ({_ending(child.popen.returncode)}); its log is {child.log_path}"
    if cluster.redis is not None and not cluster.redis.alive:
        yield "redis", f": without it no node acts as master; its log is {cluster.dir / 'redis' / 'redis.log'}"
