"""Logs: structlog to stderr, as key=value lines for people or as JSON lines for machines.

    log = get(__name__)
    log.info("took the lease", epoch=7)

Nothing is imported from structlog until the first logger is asked for.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Protocol

from ha_stress.base.errors import ConfigError

_LEVELS = ("debug", "info", "warning", "error")
_configured = False


class Log(Protocol):
    """What is used of a structlog logger: a sentence, and named values."""

    def debug(self, event: str, **values: Any) -> Any: ...
    def info(self, event: str, **values: Any) -> Any: ...
    def warning(self, event: str, **values: Any) -> Any: ...
    def error(self, event: str, **values: Any) -> Any: ...
    def exception(self, event: str, **values: Any) -> Any: ...
    def bind(self, **values: Any) -> Log: ...


def configure(level: str = "info", json: bool = False) -> None:
    """Set the level ("debug", "info", "warning" or "error") and the form of all loggers, those that exist included."""
    global _configured
    if level not in _LEVELS:
        raise ConfigError(f"log level {level!r} is unknown: use one of {', '.join(_LEVELS)}")
    import structlog

    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if json:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        processors.append(console)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_StderrFactory(),
        cache_logger_on_first_use=False,
    )
    _configured = True


def get(name: str) -> Log:
    """A logger whose lines carry `logger=name`; with the defaults if nobody called `configure` yet."""
    return _Lazy(name, {})


class _Lazy:
    """A logger that asks structlog at each line, so that a later `configure` counts for it too."""

    __slots__ = ("_name", "_values")

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self._name = name
        self._values = values

    def _logger(self) -> Any:
        if not _configured:
            configure()
        import structlog

        return structlog.get_logger().bind(logger=self._name, **self._values)

    def debug(self, event: str, **values: Any) -> Any:
        return self._logger().debug(event, **values)

    def info(self, event: str, **values: Any) -> Any:
        return self._logger().info(event, **values)

    def warning(self, event: str, **values: Any) -> Any:
        return self._logger().warning(event, **values)

    def error(self, event: str, **values: Any) -> Any:
        return self._logger().error(event, **values)

    def exception(self, event: str, **values: Any) -> Any:
        return self._logger().exception(event, **values)

    def bind(self, **values: Any) -> Log:
        return _Lazy(self._name, {**self._values, **values})


class _StderrFactory:
    """Writes to what `sys.stderr` is at the time of the line (a test or a daemon may have replaced it)."""

    def __call__(self, *_: Any) -> Any:
        import structlog

        return structlog.PrintLogger(sys.stderr)
