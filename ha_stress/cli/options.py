"""Options that several commands share, each with its environment variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
Api = Annotated[
    list[str],
    typer.Option(
        "--api",
        metavar="URL",
        help="A node's API; give several, the next one is asked when one does not answer. [env: HA_STRESS_API]",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="HA_STRESS_DATA", help="Directory of the local cluster. [default: .ha-stress]"),
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
        help="Sent with it, for example Authorization=...; repeatable. [env: HA_STRESS_NOTIFY_HEADER, one a line]",
        show_default=False,
    ),
]
NotifyEvents = Annotated[
    str,
    typer.Option(
        "--notify-events",
        metavar="NAMES",
        envvar="HA_STRESS_NOTIFY_EVENTS",
        help="Which ones: +odown,+tilt or -failover-abort-* or *. [default: the alarms]",
        show_default=False,
    ),
]
ReadyFd = Annotated[int, typer.Option("--ready-fd", hidden=True)]
StopWithParent = Annotated[bool, typer.Option("--stop-with-parent", hidden=True)]
