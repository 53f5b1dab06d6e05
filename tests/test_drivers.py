"""Drivers by name, in the manner of `database/sql`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.drivers import registry
from ha_stress.drivers.interface import Driver
from ha_stress.drivers.stress import DRIVER


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_registered", {})
    yield


def offer(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    group = registry.ENTRY_POINT_GROUP
    found = [metadata.EntryPoint(name=name, value=value, group=group) for name, value in points]
    monkeypatch.setattr(metadata, "entry_points", lambda *, group: found)


def never(*_: object) -> object:
    raise AssertionError


OTHER = Driver(master=never, worker=never)  # type: ignore[arg-type]


def test_a_registered_driver_is_found_by_its_name() -> None:
    registry.register_driver("other", OTHER)
    assert registry.driver("other") is OTHER
    assert "other" in registry.drivers()


def test_a_duplicate_name_is_refused_and_the_known_ones_are_listed() -> None:
    registry.register_driver("other", OTHER)
    with pytest.raises(ConfigError, match=r"'other' is registered already \(known: other\)"):
        registry.register_driver("other", DRIVER)


def test_an_unknown_name_is_refused_and_the_known_ones_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("stress", "ha_stress.drivers.stress:DRIVER"))
    registry.register_driver("other", OTHER)
    with pytest.raises(ConfigError, match=r"unknown driver 'cron': known drivers are other, stress"):
        registry.driver("cron")


def test_a_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a valid name"):
        registry.register_driver("no name", OTHER)


def test_an_entry_point_is_loaded_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("theirs", "ha_stress.drivers.stress:DRIVER"))
    assert registry.driver("theirs") is DRIVER


def test_the_package_itself_brings_stress() -> None:
    assert registry.driver("stress") is DRIVER


def test_a_broken_entry_point_gives_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("broken", "no_such_package.anywhere:DRIVER"))
    with pytest.raises(ConfigError, match=r"'broken' \(no_such_package.anywhere:DRIVER\) cannot be loaded: ModuleNot"):
        registry.driver("broken")


def test_an_entry_point_that_is_no_driver_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("wrong", "ha_stress.base.ids:new_task_id"))
    with pytest.raises(ConfigError, match="is of type function, not a Driver"):
        registry.driver("wrong")


def test_two_distributions_that_claim_one_name_are_not_chosen_between(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("twice", "one:DRIVER"), ("twice", "two:DRIVER"))
    with pytest.raises(ConfigError, match="claimed twice"):
        registry.driver("twice")


def test_the_pure_parts_of_the_stress_driver_pull_in_no_sockets() -> None:
    code = (
        "import sys, ha_stress.drivers.stress.core\n"
        "print([m for m in ('redis', 'sqlalchemy', 'ha_stress.engines', 'ha_stress.bus') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
