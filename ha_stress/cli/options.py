"""Options that several commands share, each with its environment variable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ha_stress.cli.client import Client

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
Api = Annotated[
    list[str],
    typer.Option(
        "--api",
        metavar="URL",
        help="A node's API; give several, the next one is asked when one does not answer. \\[env: HA_STRESS_API]",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="HA_STRESS_DATA", help="Directory of the local cluster. \\[default: .ha-stress]"),
]
Allow = Annotated[
    list[str],
    typer.Option(
        "--allow",
        metavar="NETWORK",
        envvar="HA_STRESS_ALLOW",
        help="What may be loaded, and nothing else: addresses, networks, loopback, private, any; repeatable. "
        "\\[default: loopback and private]",
        show_default=False,
    ),
]
Scenarios = Annotated[
    bool | None,
    typer.Option(
        "--scenarios/--no-scenarios",
        envvar="HA_STRESS_SCENARIOS",
        help="Whether the API takes scenarios, which are programs. \\[default: only on a loopback --host]",
        show_default=False,
    ),
]
RateMaxTask = Annotated[
    str,
    typer.Option(
        "--rate-max-task",
        metavar="RATE",
        envvar="HA_STRESS_RATE_MAX_TASK",
        help="No task with a higher rate is admitted. \\[default: no cap]",
        show_default=False,
    ),
]
RateMaxCluster = Annotated[
    str,
    typer.Option(
        "--rate-max-cluster",
        metavar="RATE",
        envvar="HA_STRESS_RATE_MAX_CLUSTER",
        help="Nor one with which all open tasks together would have a higher one. \\[default: no cap]",
        show_default=False,
    ),
]
Timing = Annotated[
    list[str],
    typer.Option(
        "--timing",
        metavar="KEY=VALUE",
        envvar="HA_STRESS_TIMING",
        help="Override one timing, for example down_after_s=1; repeatable.",
        show_default=False,
    ),
]
LogLevel = Annotated[
    str, typer.Option("--log-level", envvar="HA_STRESS_LOG_LEVEL", help="debug, info, warning or error.")
]
LogJson = Annotated[bool, typer.Option("--log-json", envvar="HA_STRESS_LOG_JSON", help="Log JSON lines.")]
Cluster = Annotated[str, typer.Option("--cluster", envvar="HA_STRESS_CLUSTER", help="Name of the cluster.")]
Redis = Annotated[str, typer.Option("--redis", metavar="URL", envvar="HA_STRESS_REDIS", help="Redis or Valkey.")]
Database = Annotated[
    str,
    typer.Option("--database", metavar="URL", envvar="HA_STRESS_DATABASE", help="\\[default: SQLite in the directory]"),
]
NodeId = Annotated[
    str, typer.Option("--id", envvar="HA_STRESS_ID", help="Stable name. \\[default: kept in the directory]")
]
Sentinels = Annotated[
    int, typer.Option("--sentinels", envvar="HA_STRESS_SENTINELS", help="How many are configured in the cluster.")
]
Secret = Annotated[
    str, typer.Option("--secret", envvar="HA_STRESS_SECRET", help="Shared secret of the mesh.", show_default=False)
]
SecretFile = Annotated[
    Path | None, typer.Option("--secret-file", envvar="HA_STRESS_SECRET_FILE", help="Read the secret from a file.")
]
Host = Annotated[str, typer.Option("--host", envvar="HA_STRESS_HOST", help="Address to listen on.")]
AdvertiseHost = Annotated[
    str,
    typer.Option(
        "--advertise-host",
        envvar="HA_STRESS_ADVERTISE_HOST",
        help="What other hosts reach it by; the listening address if left out.",
        show_default=False,
    ),
]
MeshPort = Annotated[int, typer.Option("--mesh-port", envvar="HA_STRESS_MESH_PORT", help="0 takes a free port.")]
HttpPort = Annotated[
    int,
    typer.Option(
        "--http-port",
        envvar="HA_STRESS_HTTP_PORT",
        min=-1,
        help="Health and metrics; 0 takes a free port, -1 serves none.",
    ),
]
NotifyCommand = Annotated[
    str,
    typer.Option(
        "--notify-command",
        metavar="COMMAND",
        envvar="HA_STRESS_NOTIFY_COMMAND",
        help="Run for each event, which it gets as JSON on standard input.",
        show_default=False,
    ),
]
NotifyUrl = Annotated[
    str,
    typer.Option(
        "--notify-url",
        metavar="URL",
        envvar="HA_STRESS_NOTIFY_URL",
        help="Each event is posted to it as JSON.",
        show_default=False,
    ),
]
NotifyHeader = Annotated[
    list[str],
    typer.Option(
        "--notify-header",
        metavar="NAME=VALUE",
        help="Sent with it, for example Authorization=...; repeatable. \\[env: HA_STRESS_NOTIFY_HEADER, one a line]",
        show_default=False,
    ),
]
NotifyEvents = Annotated[
    str,
    typer.Option(
        "--notify-events",
        metavar="NAMES",
        envvar="HA_STRESS_NOTIFY_EVENTS",
        help="Which ones: +odown,+tilt or -failover-abort-* or *. \\[default: the alarms]",
        show_default=False,
    ),
]
ReadyFd = Annotated[int, typer.Option("--ready-fd", hidden=True)]
StopWithParent = Annotated[bool, typer.Option("--stop-with-parent", hidden=True)]


def client_of(api: Sequence[str], data_dir: Path | None) -> Client:
    """Of the cluster that --api and --data-dir mean."""
    from ha_stress.cli.client import Client, find_urls

    return Client(find_urls(api, data_dir))


def allowed_of(items: Sequence[str]) -> tuple[str, ...]:
    """What --allow means, checked here rather than in the log of a child; in a variable commas separate as well."""
    from ha_stress.base.targets import DEFAULT, AllowedTargets

    named = [part for item in items for part in item.split(",") if part.strip()]
    return tuple(AllowedTargets.parse(named or DEFAULT).to_json())
