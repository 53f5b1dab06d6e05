"""Tidiness is a test. Each failure is a sentence that names file and line.

What ruff checks already (prints, unused names, complexity, import order) is not repeated here.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("ha_stress", "sentinel", "chaos", "bench")

MODULE_LINES_MAX: Final = 400
#: A test module is a list of sentences; it has to be found, not held in the head.
TEST_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70
FILE_BYTES_MAX: Final = 1 << 20

#: Names that say nothing about what is inside.
EMPTY_NAMES: Final = frozenset({"utils", "util", "helpers", "helper", "manager", "managers", "misc", "common"})
#: Put together from parts, so that this file does not contain what it looks for.
LEFT_OVER: Final = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
#: Paths of one machine and hosts of package registries: neither means anything to whoever clones this.
FOREIGN: Final = re.compile(
    r"(?<![\w.:}/-])/(?:work|root|home/\w+|tmp/w|opt/(?:pypi|wheels))(?![\w-])|--(?:extra-)?index-"
    + "url|"
    + "|".join((r"pypi\." + "org", r"pythonhosted\." + "org", r"npmjs\." + "org", r"deb\.debian\." + "org"))
)


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project: what git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git clone")
    names = listed.stdout.decode().split("\0")
    return tuple(sorted(ROOT / name for name in names if name and (ROOT / name).is_file()))


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def package_files() -> list[Path]:
    return [path for path in python_files() if path.relative_to(ROOT).parts[0] in PACKAGES]


def text_lines(path: Path) -> list[str]:
    """The lines of a text file; none for a binary one."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def small_modules() -> Iterator[str]:
    for path in python_files():
        lines = len(text_lines(path))
        allowed = TEST_LINES_MAX if path.is_relative_to(ROOT / "tests") else MODULE_LINES_MAX
        if lines > allowed:
            yield f"{path.relative_to(ROOT)}:{lines} goes on past line {allowed}: split it by what it knows."


def small_functions() -> Iterator[str]:
    for path in python_files():
        for function in functions(path):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{path.relative_to(ROOT)}:{function.lineno} {function.name} has {lines} lines, over a screen."


def finished_code() -> Iterator[str]:
    for path in package_files():
        for number, line in enumerate(text_lines(path), 1):
            if found := LEFT_OVER.search(line):
                yield f"{path.relative_to(ROOT)}:{number} says {found.group()}: do it, or write it down as an issue."


def docstrings() -> Iterator[str]:
    for path in package_files():
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(ROOT)}:1 does not say what the module is for."


def postponed_annotations() -> Iterator[str]:
    for path in python_files():
        body = ast.parse(path.read_text(encoding="utf-8")).body
        annotated = any(
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.AnnAssign) for node in body
        )
        if annotated and not any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in body):
            yield f"{path.relative_to(ROOT)}:1 lacks 'from __future__ import annotations'."


def telling_names() -> Iterator[str]:
    for path in tracked():
        for part in path.relative_to(ROOT).with_suffix("").parts:
            if part.lower() in EMPTY_NAMES or part.lower().endswith(("_utils", "_helpers", "_manager")):
                yield f"{path.relative_to(ROOT)}:1 is named {part!r}, which does not say what it does."


def nothing_of_one_machine() -> Iterator[str]:
    for path in tracked():
        for number, line in enumerate(text_lines(path), 1):
            if found := FOREIGN.search(line):
                yield f"{path.relative_to(ROOT)}:{number} names {found.group()}, which exists on one machine only."


def small_files() -> Iterator[str]:
    for path in tracked():
        if path.stat().st_size > FILE_BYTES_MAX:
            yield f"{path.relative_to(ROOT)}:1 is larger than {FILE_BYTES_MAX} bytes: generate it instead."


def commented_scripts() -> Iterator[str]:
    for path in tracked():
        lines = text_lines(path) if path.suffix == ".lua" else ["--"]
        if not lines or not lines[0].startswith("--"):
            yield f"{path.relative_to(ROOT)}:1 does not open with a comment that says keys, arguments and answer."


def documented_targets() -> Iterator[str]:
    made = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in tracked():
        if path.suffix != ".md":
            continue
        for number, line in enumerate(text_lines(path), 1):
            for target in re.findall(r"(?:^\s*(?:\$ )?|`)make ([a-z][a-z-]*)", line):
                if target not in made:
                    yield f"{path.relative_to(ROOT)}:{number} speaks of 'make {target}', which the Makefile lacks."


RULES: Final[tuple[Callable[[], Iterator[str]], ...]] = (
    small_modules,
    small_functions,
    small_files,
    finished_code,
    docstrings,
    postponed_annotations,
    telling_names,
    nothing_of_one_machine,
    commented_scripts,
    documented_targets,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_is_tidy(rule: Callable[[], Iterator[str]]) -> None:
    problems = list(rule())
    assert not problems, "\n".join(["", *problems])
