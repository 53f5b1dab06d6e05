"""`ha-stress doctor` and `explain`: what is wrong, and what the sentinels would do. Both work when no node is alive."""

from __future__ import annotations

from typing import Annotated

import typer

from ha_stress.cli import options
from ha_stress.cli.exit_codes import EXIT_NOT_WELL

_PANEL = "Operator"

_Redis = Annotated[
    str,
    typer.Option(
        "--redis",
        metavar="URL",
        help="Ask no node: look at this Redis and the mesh from here. \\[default: only if no node answers]",
        show_default=False,
    ),
]
_Cluster = Annotated[
    str, typer.Option("--cluster", envvar="HA_STRESS_CLUSTER", help="Name of the cluster.", show_default=False)
]


def doctor(
    redis: _Redis = "",
    cluster: _Cluster = "",
    secret: options.Secret = "",
    secret_file: options.SecretFile = None,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Look for what is wrong, or would be at the next failure. Exit 1 if there is a problem; warnings alone are 0."""
    from ha_stress.cli.direct import by_a_node, doctor_from_here, place_of
    from ha_stress.cli.operator_views import doctor_view
    from ha_stress.cli.output import console, print_json

    place = place_of(redis, cluster, secret, secret_file, data_dir)
    document = None if redis else by_a_node(api, data_dir, lambda client: client.doctor())
    if document is None:
        document = doctor_from_here(place)
    if as_json:
        print_json(document)
    else:
        console().print(doctor_view(document))
    if not document["ok"]:
        raise typer.Exit(EXIT_NOT_WELL)


def explain(
    redis: _Redis = "",
    cluster: _Cluster = "",
    secret: options.Secret = "",
    secret_file: options.SecretFile = None,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """What the sentinels would do now: who would win, why not the others, why no failover has started."""
    from ha_stress.cli.direct import by_a_node, explain_from_here, place_of
    from ha_stress.cli.operator_views import explain_view
    from ha_stress.cli.output import console, print_json

    place = place_of(redis, cluster, secret, secret_file, data_dir)
    document = None if redis else by_a_node(api, data_dir, lambda client: client.explain())
    if document is None:
        document = explain_from_here(place)
    if as_json:
        print_json(document)
    else:
        console().print(explain_view(document))


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel=_PANEL)(explain)
    app.command(rich_help_panel=_PANEL)(doctor)
