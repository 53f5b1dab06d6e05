"""`ha-stress pause`, `resume`, `switchover`, `tag`, `sentinels`: what an operator asks of the sentinels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ha_stress.cli import options
from ha_stress.cli.exit_codes import EXIT_NOT_WELL

if TYPE_CHECKING:
    from ha_stress.cli.client import Client

_PANEL = "Operator"

Wait = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait for it, for example 10s.")]


def pause(
    why: Annotated[str, typer.Option("--why", help="For whoever looks at it at night.", show_default=False)] = "",
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Sentinels observe only: a master that dies is not replaced until `resume`. The load goes on."""
    with options.client_of(api, data_dir) as client:
        changed = client.pause(why)
    tell(
        changed,
        as_json,
        f"Failovers are paused{f' ({why})' if why else ''}; `ha-stress resume` ends it.",
        "bold yellow",
    )


def resume(api: options.Api = [], data_dir: options.DataDir = None, as_json: options.Json = False) -> None:  # noqa: B006
    """End a pause: sentinels elect again."""
    with options.client_of(api, data_dir) as client:
        changed = client.resume()
    tell(changed, as_json, "Failovers are on: a master that dies is replaced.", "bold green")


def switchover(
    to: Annotated[
        str, typer.Option("--to", metavar="NODE", help="Who shall be master. \\[default: the best]", show_default=False)
    ] = "",
    timeout: Wait = "10s",
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Hand the mastership over, in order and under load. Exit 1 if it was not possible, or not in time."""
    from ha_stress.base.quantities import parse_duration
    from ha_stress.cli.output import console, print_json
    from ha_stress.cli.switchover import hand_over

    patience_s = parse_duration(timeout)
    with options.client_of(api, data_dir) as client:
        outcome = hand_over(client, to, patience_s)
    if as_json:
        print_json(outcome.as_json())
    else:
        screen = console()
        if outcome.ok:
            gap = "" if outcome.gap_ms is None else f", {outcome.gap_ms:.0f} ms of them without an acting master"
            words = f"{outcome.old} -> {outcome.new} at epoch {outcome.epoch} in {outcome.duration_ms:.0f} ms{gap}."
            screen.print(words, style="bold green", markup=False)
        else:
            first, *rest = outcome.why.split(" | ")
            screen.print(f"No switchover: {first}", style="bold red", markup=False, soft_wrap=True)
            for line in rest:
                screen.print(f"  {line}", markup=False, soft_wrap=True)
        for note in outcome.notes:
            screen.print(note, style="yellow", markup=False, soft_wrap=True)
    if not outcome.ok:
        raise typer.Exit(EXIT_NOT_WELL)


def tag(
    node: Annotated[str, typer.Argument(help="Its id.", show_default=False)],
    priority: Annotated[
        int | None, typer.Option("--priority", min=0, max=1_000_000, help="Lower wins an election, 0 never does.")
    ] = None,
    no_priority: Annotated[bool, typer.Option("--no-priority", help="As the node was configured.")] = False,
    draining: Annotated[
        bool | None,
        typer.Option("--draining/--no-draining", help="It keeps no share, gets none, and is not chosen as master."),
    ] = None,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Set a node's tags; what is not named stays. Without options: show them."""
    from ha_stress.base.errors import ConfigError, NotFound

    if priority is not None and no_priority:
        raise ConfigError("give --priority or --no-priority, not both")
    with options.client_of(api, data_dir) as client:
        changed: dict[str, Any] = client.controls()
        tags = dict(changed["tags"].get(node) or {"priority": None, "draining": False})
        if priority is not None or no_priority:
            tags["priority"] = priority
        if draining is not None:
            tags["draining"] = draining
        if priority is not None or no_priority or draining is not None:
            changed = client.set_tags(node, tags)
        elif node not in changed["tags"]:
            known = sorted(one["id"] for one in client.status()["nodes"])
            if node not in known:
                raise NotFound(f"no living node is called {node}; there are {', '.join(known)}")
    words = [] if tags["priority"] is None else [f"priority {tags['priority']}"]
    words += ["draining"] if tags["draining"] else []
    tell(changed, as_json, f"{node}: {', '.join(words) or 'no tags'}.", "bold")


sentinels_app = typer.Typer(name="sentinels", help="Who the sentinels are; change it one at a time.")


@sentinels_app.callback(invoke_without_command=True)
def _listing(
    context: typer.Context,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    if context.invoked_subcommand is None:
        list_sentinels(api, data_dir, as_json)


@sentinels_app.command("list")
def list_sentinels(api: options.Api = [], data_dir: options.DataDir = None, as_json: options.Json = False) -> None:  # noqa: B006
    """Who they are, who lives, and what each has on disk."""
    from ha_stress.cli.cluster_views import members_of, membership_view
    from ha_stress.cli.output import console, print_json

    with options.client_of(api, data_dir) as client:
        status = client.status()
    if as_json:
        version, members = members_of(status)
        print_json({"version": version, "members": members, "sentinels": status["sentinels"]})
    else:
        console().print(membership_view(status))


@sentinels_app.command("add")
def add_sentinel(
    sentinel: Annotated[str, typer.Argument(metavar="ID", help="It must run already.", show_default=False)],
    timeout: Wait = "10s",
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Make a running sentinel a member; returns when a majority has it on disk. Exit 1 if that takes too long."""
    with options.client_of(api, data_dir) as client:
        _change_members(client, client.add_sentinel, sentinel, "a member", timeout, as_json)


@sentinels_app.command("remove")
def remove_sentinel(
    sentinel: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    timeout: Wait = "10s",
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Take a member away, dead or alive; returns when a majority has it on disk. Exit 1 if that takes too long."""
    with options.client_of(api, data_dir) as client:
        _change_members(client, client.remove_sentinel, sentinel, "no member any more", timeout, as_json)


def add_to(app: typer.Typer) -> None:
    for command in (switchover, pause, resume, tag):
        app.command(rich_help_panel=_PANEL)(command)
    app.add_typer(sentinels_app, rich_help_panel=_PANEL)


def _change_members(client: Client, ask: Any, sentinel: str, became: str, timeout: str, as_json: bool) -> None:
    from ha_stress.base.quantities import parse_duration
    from ha_stress.cli.switchover import wait_membership

    patience_s = parse_duration(timeout)
    changed = ask(sentinel)
    reached, have = wait_membership(client, changed, patience_s)
    members = changed["membership"]["members"]
    majority = len(members) // 2 + 1
    changed |= {"reached": reached, "have": have}
    if reached:
        words = f"{sentinel} is {became}: {', '.join(members)} (a failover takes {majority} of {len(members)})."
        tell(changed, as_json, words, "bold green")
        return
    words = (
        f"The change is written, but only {have} of {len(members)} sentinels have it on disk after {patience_s:g} s, and it "
        f"takes {majority}; `ha-stress doctor` says what is in the way."
    )
    tell(changed, as_json, words, "bold red")
    raise typer.Exit(EXIT_NOT_WELL)


def tell(changed: dict[str, Any], as_json: bool, words: str, style: str) -> None:
    """The new controls as a document, or one sentence and the notes of the node that took the wish."""
    from ha_stress.cli.output import console, print_json

    if as_json:
        print_json(changed)
        return
    screen = console()
    screen.print(words, style=style, markup=False, soft_wrap=True)
    for note in changed.get("notes", []):
        screen.print(note, style="yellow", markup=False, soft_wrap=True)
