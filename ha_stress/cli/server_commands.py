"""`ha-stress node` and `ha-stress sentinel`: options become a config, signals become a graceful stop."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ha_stress.cli import options

if TYPE_CHECKING:
    import trio

#: After the config's own deadline for a graceful stop, this much more before the process just goes.
_STOP_MARGIN_S = 2.0
_PANEL = "Servers"


def node(
    id: Annotated[
        str, typer.Option("--id", envvar="HA_STRESS_ID", help="Stable name. [default: kept in the directory]")
    ] = "",
    redis: options.Redis = "redis://127.0.0.1:6379/0",
    database: Annotated[
        str,
        typer.Option(
            "--database", metavar="URL", envvar="HA_STRESS_DATABASE", help="[default: SQLite in the directory]"
        ),
    ] = "",
    cluster: options.Cluster = "default",
    sentinels: Annotated[
        int, typer.Option("--sentinels", envvar="HA_STRESS_SENTINELS", help="How many are configured in the cluster.")
    ] = 3,
    priority: Annotated[
        int, typer.Option("--priority", envvar="HA_STRESS_PRIORITY", help="Lower wins an election; 0 never.")
    ] = 100,
    engines: Annotated[int, typer.Option("--engines", envvar="HA_STRESS_ENGINES", help="Load processes.")] = 1,
    driver: Annotated[str, typer.Option("--driver", envvar="HA_STRESS_DRIVER", help="Kind of work.")] = "stress",
    host: options.Host = "127.0.0.1",
    advertise_host: options.AdvertiseHost = "",
    api_port: Annotated[
        int, typer.Option("--api-port", envvar="HA_STRESS_API_PORT", help="0 takes a free port.")
    ] = 7700,
    mesh_port: options.MeshPort = 0,
    secret: options.Secret = "",
    secret_file: options.SecretFile = None,
    data_dir: options.DataDir = None,
    timing: options.Timing = [],  # noqa: B006
    log_level: options.LogLevel = "info",
    log_json: options.LogJson = False,
    ready_fd: options.ReadyFd = -1,
    stop_with_parent: options.StopWithParent = False,
    as_json: options.Json = False,
) -> None:
    """Run one node: it works, and is master when it is elected. Logs go to standard error."""
    from ha_stress.base.config import NodeConfig, load
    from ha_stress.cli.client import data_dir_of

    directory = data_dir_of(data_dir)
    config = load(
        NodeConfig,
        {
            "id": id or _kept_id(directory),
            "cluster": cluster,
            "redis_url": redis,
            "database_url": database or f"sqlite:///{_made(directory).absolute() / 'ha-stress.db'}",
            "secret": _secret(secret, secret_file),
            "timing": _timing(timing),
            "driver": driver,
            "priority": priority,
            "host": host,
            "advertise_host": advertise_host,
            "api_port": api_port,
            "mesh_port": mesh_port,
            "engines": engines,
            "sentinels": sentinels,
        },
    )
    _configure_log(log_level, log_json)
    from ha_stress.node.server import run_node

    _serve(run_node, config, _Ready(ready_fd, as_json), stop_with_parent=stop_with_parent)


def sentinel(
    members: Annotated[
        str, typer.Option("--members", envvar="HA_STRESS_MEMBERS", help="Ids of all sentinels, this one too: s1,s2,s3.")
    ],
    id: Annotated[str, typer.Option("--id", envvar="HA_STRESS_ID", help="Its id, one of the members.")],
    redis: options.Redis = "redis://127.0.0.1:6379/0",
    cluster: options.Cluster = "default",
    quorum: Annotated[
        int, typer.Option("--quorum", envvar="HA_STRESS_QUORUM", help="Declares down; 0 is a majority.")
    ] = 0,
    peer: Annotated[
        list[str],
        typer.Option("--peer", metavar="ID=HOST:PORT", envvar="HA_STRESS_PEERS", help="Where a peer is; repeatable."),
    ] = [],  # noqa: B006
    host: options.Host = "127.0.0.1",
    advertise_host: options.AdvertiseHost = "",
    mesh_port: options.MeshPort = 0,
    secret: options.Secret = "",
    secret_file: options.SecretFile = None,
    data_dir: options.DataDir = None,
    timing: options.Timing = [],  # noqa: B006
    log_level: options.LogLevel = "info",
    log_json: options.LogJson = False,
    ready_fd: options.ReadyFd = -1,
    stop_with_parent: options.StopWithParent = False,
    as_json: options.Json = False,
) -> None:
    """Run one sentinel: it watches, votes and elects. Run three or more."""
    from ha_stress.base.config import SentinelConfig, load
    from ha_stress.cli.client import data_dir_of
    from ha_stress.cli.parse import parse_pairs

    config = load(
        SentinelConfig,
        {
            "id": id,
            "members": tuple(member.strip() for member in members.split(",") if member.strip()),
            "addresses": parse_pairs("--peer", peer),
            "quorum": quorum,
            "cluster": cluster,
            "redis_url": redis,
            "secret": _secret(secret, secret_file),
            "timing": _timing(timing),
            "host": host,
            "advertise_host": advertise_host,
            "mesh_port": mesh_port,
            "data_dir": str(_made(data_dir_of(data_dir)).absolute()),
        },
    )
    _configure_log(log_level, log_json)
    from sentinel.server import run_sentinel

    _serve(run_sentinel, config, _Ready(ready_fd, as_json), stop_with_parent=stop_with_parent)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=_PANEL)(node)
    app.command(rich_help_panel=_PANEL)(sentinel)


class _Ready:
    """Tells whoever started us that we serve: one JSON line."""

    def __init__(self, fd: int, as_json: bool) -> None:
        self.fd = fd
        self.as_json = as_json

    def __call__(self, ready: dict[str, Any]) -> None:
        line = json.dumps({"pid": os.getpid()} | ready) + "\n"
        if self.as_json:
            sys.stdout.write(line)
            sys.stdout.flush()
        if self.fd >= 0:
            os.write(self.fd, line.encode())
            os.close(self.fd)
            self.fd = -1


def _serve(
    run: Callable[..., Awaitable[None]],
    config: Any,
    on_ready: Callable[[dict[str, Any]], None],
    *,
    stop_with_parent: bool,
) -> None:
    import trio

    async def supervised() -> None:
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, stop)
            nursery.start_soon(_go_when_overdue, stop, config.timing.stop_timeout_s + _STOP_MARGIN_S)
            if stop_with_parent:
                nursery.start_soon(_stop_at_end_of_stdin, stop)
            await run(config, on_ready=on_ready, stop=stop)
            nursery.cancel_scope.cancel()

    trio.run(supervised)


async def _stop_on_signal(stop: trio.Event) -> None:
    """The first signal stops gracefully, the second at once."""
    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stop.is_set():
                os._exit(128 + number)
            stop.set()


async def _stop_at_end_of_stdin(stop: trio.Event) -> None:
    import trio

    while True:
        await trio.lowlevel.wait_readable(0)
        if not os.read(0, 4096):
            stop.set()
            return


async def _go_when_overdue(stop: trio.Event, timeout_s: float) -> None:
    import trio

    await stop.wait()
    await trio.sleep(timeout_s)
    sys.stderr.write(f"error: the graceful stop took longer than {timeout_s:g} s; going anyway\n")
    os._exit(1)


def _configure_log(level: str, as_json: bool) -> None:
    from ha_stress import log
    from ha_stress.base.errors import ConfigError

    if level.lower() not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"--log-level {level!r} is none of debug, info, warning, error")
    log.configure(level.lower(), as_json)


def _timing(items: list[str]) -> dict[str, str]:
    from ha_stress.cli.parse import parse_pairs

    return parse_pairs("--timing", items)


def _secret(secret: str, file: Path | None) -> str:
    from ha_stress.base.errors import ConfigError

    if file is None:
        return secret
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--secret-file {file} cannot be read: {error}") from None


def _made(directory: Path) -> Path:
    from ha_stress.base.errors import ConfigError

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--data-dir {directory} cannot be made: {error.strerror}") from None
    return directory


def _kept_id(directory: Path) -> str:
    """The id of a node that nobody named: drawn once, then kept."""
    from ha_stress.base.ids import new_node_id

    file = _made(directory) / "node-id"
    if not file.exists():
        file.write_text(new_node_id() + "\n")
    return file.read_text().strip()
