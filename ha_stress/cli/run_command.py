"""`ha-stress run`: load something and judge it; from this machine alone, or with a cluster that runs already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ha_stress.cli import options
from ha_stress.cli.exit_codes import EXIT_DONE, EXIT_INPUT
from ha_stress.cli.report_command import CsvFile, HgrmFile, HtmlFile, JsonOut, JunitFile, OutDir
from ha_stress.cli.task_options import TaskOptions, takes_task

if TYPE_CHECKING:
    from ha_stress.cli.plan_file import RunPlan
    from ha_stress.cli.run_place import Place
    from ha_stress.cli.run_session import Found

_WHERE = "Where"


@takes_task
def run(
    task: TaskOptions,
    context: typer.Context,
    nodes: Annotated[
        int, typer.Option("--nodes", min=1, max=64, rich_help_panel=_WHERE, help="Nodes to start here.")
    ] = 1,
    engines: Annotated[
        int, typer.Option("--engines", min=1, max=64, rich_help_panel=_WHERE, help="Load processes of each.")
    ] = 1,
    existing: Annotated[
        bool,
        typer.Option(
            "--existing", rich_help_panel=_WHERE, help="Start nothing: use the cluster that other commands find."
        ),
    ] = False,
    api: options.Api = [],  # noqa: B006
    data_dir: options.DataDir = None,
    allow: options.Allow = [],  # noqa: B006
    timing: options.Timing = [],  # noqa: B006
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say who would get what, and send nothing.", show_default=False)
    ] = False,
    out: OutDir = None,
    html: HtmlFile = None,
    json_file: JsonOut = None,
    csv: CsvFile = None,
    hgrm: HgrmFile = None,
    junit: JunitFile = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing but the summary.")] = False,
    as_json: options.Json = False,
) -> None:
    """Load URL, or run the plan in a .toml file, from this machine or (--api, --existing) with a running cluster.

    Exit code:

    0 passed.
    1 a defect of this program.
    2 bad input, or a report that cannot be written.
    3 a server does not answer.
    4 a scenario's setup failed; or, without thresholds: requests failed, were wrong, dropped or uncovered.
    5 the books do not balance.
    6 results did not arrive in time.
    7 a threshold is broken.
    8 the run is not valid: the generator was saturated, or load is missing.
    9 the target may not be loaded.
    130 interrupted; what was done until then is reported.
    """
    from ha_stress.cli.up_command import stop_on_term

    plan = _plan(task, context)
    place = _place(
        plan, context, nodes=nodes, engines=engines, existing=existing, api=api, data_dir=data_dir, allow=allow,
        timing=timing,
    )  # fmt: skip
    if dry_run:
        from ha_stress.cli.dry_run import show_plan

        show_plan(plan, place, as_json=as_json)
        return
    from ha_stress.cli.run_outputs import outputs_of

    files = {"html": html, "json": json_file, "csv": csv, "hgrm": hgrm, "junit": junit}
    outputs = outputs_of(plan, out, {kind: path for kind, path in files.items() if path is not None})
    stop_on_term()
    code = _conduct(plan, place, outputs, quiet=quiet, as_json=as_json)
    raise typer.Exit(code)


def add_to(app: typer.Typer) -> None:
    app.command(rich_help_panel="Start here")(run)


def _plan(task: TaskOptions, context: typer.Context) -> RunPlan:
    """Of the file that is named, or of the options."""
    from ha_stress.base.errors import ConfigError
    from ha_stress.cli.plan_file import RunPlan, read_plan
    from ha_stress.cli.task_document import described

    if task.url.endswith(".toml") and "://" not in task.url:
        typed = [name for name in task.__dataclass_fields__ if name != "url" and _typed(context, name)]
        if typed:
            raise ConfigError(
                f"--{typed[0].replace('_', '-')} goes into the plan {task.url}, in [[tasks]] or [defaults]"
            )
        return read_plan(Path(task.url))
    return RunPlan(tasks=(described(task, rate="10", duration="10s"),))


def _typed(context: typer.Context, name: str, only: str = "") -> bool:
    """Whether an option was given: on the command line or in its variable, or `only` in one of them."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ((only,) if only else ("COMMANDLINE", "ENVIRONMENT"))


def _place(
    plan: RunPlan,
    context: typer.Context,
    *,
    nodes: int,
    engines: int,
    existing: bool,
    api: list[str],
    data_dir: Path | None,
    allow: list[str],
    timing: list[str],
) -> Place:
    """What is typed goes before what the plan says."""
    from ha_stress.base.errors import ConfigError
    from ha_stress.cli.parse import parse_pairs
    from ha_stress.cli.run_place import Place
    from ha_stress.cli.up_command import checked_timing

    said = plan.cluster
    existing = existing or bool(api) or _typed(context, "data_dir", only="COMMANDLINE")
    own = [name for name in ("nodes", "engines", "allow", "timing") if _typed(context, name, only="COMMANDLINE")]
    if existing and own:
        raise ConfigError(f"--{own[0]} is for a cluster that is started here, not for one that runs already")
    urls = api or ([] if own else said.api)
    pairs = {key: str(value) for key, value in said.timing.items()} | parse_pairs("--timing", timing)
    return Place(
        existing=existing or bool(urls),
        api=urls,
        data_dir=data_dir,
        nodes=nodes if _typed(context, "nodes") else said.nodes,
        engines=engines if _typed(context, "engines") else said.engines,
        allow=options.allowed_of(allow or said.allow),
        timing=checked_timing(pairs),
    )


def _conduct(plan: RunPlan, place: Place, outputs: dict[str, Path], *, quiet: bool, as_json: bool) -> int:
    from ha_stress.cli.output import console, say_error
    from ha_stress.cli.run_exit import exit_code_of
    from ha_stress.cli.run_outputs import write_outputs
    from ha_stress.cli.run_place import opened
    from ha_stress.cli.run_screen import screen_of
    from ha_stress.cli.run_session import Session

    out, aside = console(lasting=True), console(stderr=True, lasting=True)
    screen, several = aside if as_json else out, len(plan.tasks) > 1
    if not quiet:
        _announce(aside, plan, place)
    with opened(place) as there:
        session = Session(there.client, plan.tasks, screen_of(screen, aside, quiet=quiet), there.gone)
        try:
            found = session.run()
            code = exit_code_of(found.tasks, interrupted=found.interrupted)
            _summarise(out, found, code, several=several, as_json=as_json)
            written, problems = write_outputs(there.client, found.tasks, outputs, several=several)
        finally:
            if place.existing and (left := session.left()):  # what was started here ends with us
                say_error(_goes_on(left, there.client.urls))
    for path in written:
        aside.print(f"wrote {path}", markup=False, soft_wrap=True)
    if lost := getattr(out.file, "problem", None):
        problems.append(f"writing failed: {lost.strerror}")
    for problem in problems:
        say_error(problem)
    return code or (EXIT_INPUT if problems else EXIT_DONE)


def _announce(screen: Any, plan: RunPlan, place: Place) -> None:
    """Before anything is seen of the load, a cluster has to come up."""
    if not place.existing:
        several = "a node" if place.nodes == 1 else f"{place.nodes} nodes and 3 sentinels"
        screen.print(f"Starting {several} for {plan.name or 'this run'} ...", style="dim", markup=False, soft_wrap=True)


def _goes_on(tasks: list[str], urls: list[str]) -> str:
    """What to do about a load that nobody could be told to stop."""
    which = tasks[0] if len(tasks) == 1 else "ID"
    return (
        f"no node has taken the word to stop {', '.join(tasks)}: the load may go on until its duration is over; once a node "
        f"answers, `ha-stress stop {which} --api {','.join(urls)}` ends it"
    )


def _summarise(out: Any, found: Found, code: int, *, several: bool, as_json: bool) -> None:
    """`several`: of a plan with more than one task, also where fewer were found."""
    from ha_stress.cli.output import print_json
    from ha_stress.cli.run_summary import summary_of

    if as_json:
        said: dict[str, Any] = {"ok": code == 0, "exit_code": code, "interrupted": found.interrupted}
        single = len(found.tasks) == 1 and not several
        print_json((found.tasks[0] if single else {"tasks": list(found.tasks)}) | said, to=out.file)
    else:
        out.print(summary_of(found.tasks, code, out.width))
