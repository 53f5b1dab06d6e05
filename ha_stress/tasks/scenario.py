"""Work that one request cannot say: a Python file, run once for each arrival (or in a loop by each user)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import CO_COROUTINE, CO_OPTIMIZED
from types import CodeType

from ha_stress.base.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeder:
    """Rows of a CSV file, the first line of which names the columns. The row of an arrival follows from its position,
    so that no two processes of the cluster use the same one. `blob` is the digest of the stored file."""

    name: str
    blob: str
    rows: int
    again: bool = True  # begin again after the last row; otherwise arrivals beyond it fail as `no_data`


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`source` is Python that defines `async def scenario(user)`, and perhaps `async def setup()` and `teardown(data)`,
    which run once in the cluster. `data` is what `setup` returned, as JSON; the master fills it in for the holders."""

    name: str
    source: str
    feeders: tuple[Feeder, ...] = ()
    data: str = ""


def check_source(name: str, source: str) -> None:
    """Whether it is Python that defines a scenario; ConfigError says why not. Nothing of it is run."""
    try:
        functions = _functions(source)
    except SyntaxError as error:
        raise ConfigError(f"scenario {name} is not Python: {error.msg} (line {error.lineno})") from None
    except (ValueError, MemoryError, RecursionError):  # a NUL in it, or too deep an expression
        raise ConfigError(f"scenario {name} cannot be compiled: an expression in it is too deep") from None
    if functions.get("scenario") != _Function(arguments=1, coroutine=True):
        raise ConfigError(f"scenario {name} does not define `async def scenario(user)`")
    if "setup" in functions and functions["setup"].arguments > 1:
        raise ConfigError(f"scenario {name}: setup takes nothing, or a guest: `async def setup(guest)`")
    if "teardown" in functions and functions["teardown"].arguments not in (1, 2):
        raise ConfigError(f"scenario {name}: teardown takes what setup returned: `async def teardown(data)`")


def defines(scenario: Scenario | None, name: str) -> bool:
    """Whether the file has a function of that name."""
    return scenario is not None and name in _functions(scenario.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    arguments: int
    coroutine: bool


@lru_cache(maxsize=64)
def _functions(source: str) -> Mapping[str, _Function]:
    """What the file defines. As compiling says: a tree of its syntax takes twice the time, and no other thread can run."""
    code = compile(source, "scenario", "exec", dont_inherit=True)
    inner = [one for one in code.co_consts if isinstance(one, CodeType) and one.co_flags & CO_OPTIMIZED]  # no class is
    return {
        one.co_name: _Function(arguments=one.co_argcount, coroutine=bool(one.co_flags & CO_COROUTINE)) for one in inner
    }
