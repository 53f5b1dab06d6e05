"""Drivers by name, registered explicitly, in the manner of Go's `database/sql`.

A name that nobody registered is looked for once among the installed distributions' entry points of the group
`ha_stress.drivers` (name = driver, value = "package.module:DRIVER"). Nothing is found by scanning files.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import Final

from ha_stress.base.errors import ConfigError
from ha_stress.base.ids import check_name
from ha_stress.drivers.interface import Driver

ENTRY_POINT_GROUP: Final = "ha_stress.drivers"

_registered: Final[dict[str, Driver]] = {}


def register_driver(name: str, driver: Driver) -> None:
    """Make `driver` known as `name`. ConfigError if the name is taken or is not a name."""
    check_name("driver", name)
    if name in _registered:
        raise ConfigError(f"a driver named {name!r} is registered already (known: {_listed(_registered)})")
    _registered[name] = driver


def driver(name: str) -> Driver:
    """The driver registered as `name`, or brought by an entry point of that name.

    ConfigError, with the known names, if there is none, and with the reason if its entry point is broken.
    """
    if name not in _registered:
        offered = _offered()
        if name not in offered:
            raise ConfigError(f"unknown driver {name!r}: known drivers are {_listed(drivers())}")
        _registered[name] = _load(offered[name])
    return _registered[name]


def drivers() -> tuple[str, ...]:
    """The names of all drivers, registered or installed, sorted; loads none of them."""
    return tuple(sorted({*_registered, *_offered()}))


def _offered() -> dict[str, metadata.EntryPoint]:
    """Installed entry points by name. Two distributions that claim one name are refused rather than chosen between."""
    offered: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        claimed = offered.get(point.name)
        if claimed is not None and claimed.value != point.value:
            raise ConfigError(
                f"driver {point.name!r} is claimed twice, by {claimed.value!r} and by {point.value!r}: uninstall one"
            )
        offered[point.name] = point
    return offered


def _load(point: metadata.EntryPoint) -> Driver:
    try:
        loaded = point.load()
    except Exception as error:  # a foreign module may raise anything while it is imported
        raise ConfigError(
            f"the driver {point.name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(loaded, Driver):
        raise ConfigError(
            f"the entry point of driver {point.name!r} ({point.value}) is of type {type(loaded).__name__}, not a Driver"
        )
    return loaded


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
