"""`ha-stress node` and `ha-stress sentinel`: options become a checked config, and this process becomes the server."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ha_stress.base.errors import ConfigError
from ha_stress.cli import options

if TYPE_CHECKING:
    from pydantic import BaseModel

#: What a pipe takes without a reader, on every Linux.
_CONFIG_BYTES_MAX = 60_000
#: Of a file with one word in it: a secret, or an id.
_WORD_BYTES_MAX = 4_096
_PANEL = "Servers"


def node(
    id: options.NodeId = "",
    redis: options.Redis = "redis://127.0.0.1:6379/0",
    database: options.Database = "",
    cluster: options.Cluster = "default",
    sentinels: options.Sentinels = 3,
    priority: Annotated[
        int, typer.Option("--priority", envvar="HA_STRESS_PRIORITY", help="Lower wins an election; 0 never.")
    ] = 100,
    engines: Annotated[int, typer.Option("--engines", envvar="HA_STRESS_ENGINES", help="Load processes.")] = 1,
    driver: Annotated[str, typer.Option("--driver", envvar="HA_STRESS_DRIVER", help="Kind of work.")] = "stress",
    allow: options.Allow = [],  # noqa: B006
    rate_max_task: options.RateMaxTask = "",
    rate_max_cluster: options.RateMaxCluster = "",
    scenarios: options.Scenarios = None,
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
    from ha_stress.base.quantities import parse_rate
    from ha_stress.cli.client import data_dir_of

    directory = data_dir_of(data_dir)
    config = load(
        NodeConfig,
        {
            "id": id or _kept_id(directory),
            "cluster": cluster,
            "redis_url": redis,
            "database_url": database or f"sqlite:///{_made(directory).absolute() / 'ha-stress.db'}",
            "secret": secret_of(secret, secret_file),
            "timing": _timing(timing),
            "driver": driver,
            "priority": priority,
            "host": host,
            "advertise_host": advertise_host,
            "api_port": api_port,
            "mesh_port": mesh_port,
            "engines": engines,
            "sentinels": sentinels,
            "allow": options.allowed_of(allow),
            "rate_max_task": parse_rate(rate_max_task) if rate_max_task else None,
            "rate_max_cluster": parse_rate(rate_max_cluster) if rate_max_cluster else None,
            "scenarios": scenarios,
        },
    )
    _become(
        "node",
        config,
        name=config.id,
        log_level=checked_level(log_level),
        log_json=log_json,
        ready_fd=ready_fd,
        ready_on_stdout=as_json,
        stop_with_parent=stop_with_parent,
    )


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
    http_port: options.HttpPort = 0,
    notify_command: options.NotifyCommand = "",
    notify_url: options.NotifyUrl = "",
    notify_header: options.NotifyHeader = [],  # noqa: B006
    notify_events: options.NotifyEvents = "",
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
            "members": _listed(members),
            "addresses": parse_pairs("--peer", peer),
            "quorum": quorum,
            "cluster": cluster,
            "redis_url": redis,
            "secret": secret_of(secret, secret_file),
            "timing": _timing(timing),
            "host": host,
            "advertise_host": advertise_host,
            "mesh_port": mesh_port,
            "http_port": None if http_port == -1 else http_port,
            "data_dir": str(_made(data_dir_of(data_dir)).absolute()),
        }
        | _notifications(notify_command, notify_url, notify_header, notify_events),
    )
    _become(
        "sentinel",
        config,
        name=config.id,
        log_level=checked_level(log_level),
        log_json=log_json,
        ready_fd=ready_fd,
        ready_on_stdout=as_json,
        stop_with_parent=stop_with_parent,
    )


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=_PANEL)(node)
    app.command(rich_help_panel=_PANEL)(sentinel)


def _become(kind: str, config: BaseModel, **settings: Any) -> NoReturn:
    """Replace this process by one that only serves: same pid, without the command line's libraries in its memory.

    The config goes through a pipe, as it holds the secret. Long configs do not fit into the pipe's buffer, hence the bound.
    """
    document = json.dumps({"kind": kind, "config": config.model_dump(mode="json"), **settings}).encode()
    if len(document) > _CONFIG_BYTES_MAX:
        raise ConfigError(f"the configuration is larger than {_CONFIG_BYTES_MAX} bytes")
    read_end, write_end = os.pipe()
    os.write(write_end, document)
    os.close(write_end)
    os.set_inheritable(read_end, True)
    sys.stdout.flush()
    module = "ha_stress.cli.serving"
    os.execv(sys.executable, [sys.executable, "-m", module, str(read_end), kind, str(settings["name"])])


def checked_level(level: str) -> str:
    if level.lower() not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"--log-level {level!r} is none of debug, info, warning, error")
    return level.lower()


def _timing(items: list[str]) -> dict[str, str]:
    from ha_stress.cli.parse import parse_pairs

    return parse_pairs("--timing", items)


def _notifications(command: str, url: str, headers: list[str], events: str) -> dict[str, Any]:
    from ha_stress.cli.parse import parse_pairs

    # Not by the library, which would split "Bearer ..." at the space.
    lines = headers or os.environ.get("HA_STRESS_NOTIFY_HEADER", "").splitlines()
    found = {"notify_command": command, "notify_url": url, "notify_headers": parse_pairs("--notify-header", lines)}
    return found | ({"notify_events": _listed(events)} if events else {})


def _listed(names: str) -> tuple[str, ...]:
    """Of "a, b,c"."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def secret_of(secret: str, file: Path | None) -> str:
    if file is None:
        return secret
    from ha_stress.cli.files import read_text

    found = read_text(f"--secret-file {file}", file, _WORD_BYTES_MAX).strip()
    if not found:
        raise ConfigError(f"--secret-file {file} is empty: write a secret of your own into it")
    return found


def _made(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise ConfigError(f"--data-dir {directory} cannot be made: {why}") from None
    return directory


def _kept_id(directory: Path) -> str:
    """The id of a node that nobody named: drawn once, then kept."""
    from ha_stress.base.ids import new_node_id
    from ha_stress.cli.files import read_text

    file = _made(directory) / "node-id"
    try:
        if not file.exists():
            file.write_text(new_node_id() + "\n")
    except OSError as error:
        raise ConfigError(f"the id cannot be kept in {file} ({error.strerror}): give one with --id") from None
    return read_text(f"the id in {file}", file, _WORD_BYTES_MAX).strip()
