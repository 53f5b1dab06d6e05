"""One notification: a command that is run, settings that are checked, an outage that is told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from ha_stress.base.config import SentinelConfig, load
from ha_stress.base.errors import ConfigError
from ha_stress.base.limits import NOTIFICATION_OUTPUT_BYTES_MAX
from sentinel.notify import Command, NotDelivered, Notice
from sentinel.outage import Outage
from tests.test_sentinel_hooks import event, holds, script

# --- one command ----------------------------------------------------------------------------------------------

NOTICE = Notice(event=event(detail={"table": ["x" * 100] * 5_000}), cluster="c", sentinel="s1")


async def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
time.sleep(60)
"""
    began = time.monotonic()
    with pytest.raises(NotDelivered, match=r"killed after 1\.5 s"):
        await Command(script(code), timeout_s=1.5).deliver(NOTICE)
    assert time.monotonic() - began < 10
    for pid in map(int, pids.read_text().split()):
        await holds(lambda pid=pid: not _runs(pid), f"process {pid} is gone")  # type: ignore[misc]


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # whoever reaps orphans here may be slow
    except psutil.NoSuchProcess:
        return False


async def test_a_command_need_not_read_its_input() -> None:
    await Command(script("pass"), timeout_s=10).deliver(NOTICE)


async def test_a_child_that_a_command_leaves_behind_does_not_hold_it_up() -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(12)'])"
    began = time.monotonic()
    await Command(script(code), timeout_s=30).deliver(NOTICE)
    assert time.monotonic() - began < 8


async def test_a_command_may_print_much_of_which_little_is_kept() -> None:
    code = "import sys; sys.stdout.write('x' * 3_000_000); sys.exit(3)"
    with pytest.raises(NotDelivered) as caught:
        await Command(script(code), timeout_s=30).deliver(NOTICE)
    assert str(caught.value).startswith("exit status 3: xxx")
    assert len(str(caught.value)) < NOTIFICATION_OUTPUT_BYTES_MAX


@pytest.mark.parametrize("words", ["no-such-program-anywhere -x", "/", "/dev/null"])
async def test_a_command_that_cannot_be_run_is_not_delivered(words: str) -> None:
    with pytest.raises(NotDelivered, match="it cannot be run"):
        await Command(words, timeout_s=10).deliver(NOTICE)


# --- the outage -----------------------------------------------------------------------------------------------


def test_an_outage_of_redis_is_said_once_when_it_matters_and_once_when_it_is_over() -> None:
    outage = Outage(3.0)
    assert outage.note(True, 0.0) == ("", 0.0)
    assert outage.note(False, 1.0) == ("", 0.0)
    assert outage.note(False, 3.5) == ("", 2.5)
    assert outage.note(False, 4.0) == ("+bus-down", 3.0)
    assert outage.note(False, 9.0) == ("", 8.0)
    assert outage.note(True, 11.0) == ("-bus-down", 10.0)
    assert outage.note(True, 12.0) == ("", 0.0)


def test_a_short_outage_of_redis_is_not_said() -> None:
    outage = Outage(3.0)
    outage.note(False, 1.0)
    assert outage.note(True, 2.0) == ("", 1.0)
    assert outage.note(False, 20.0) == ("", 0.0), "another one"


# --- settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"notify_command": "say 'hello"}, "cannot be split into words"),
        ({"notify_command": "  "}, "names no program"),
        ({"notify_command": "'' x"}, "names no program"),
        ({"notify_url": "hooks.example/x"}, "notify_url: write for example https://host/path"),
        ({"notify_url": "ftp://hooks.example/secret"}, "notify_url: write for example https://host/path"),
        ({"notify_url": "http://[::1"}, "notify_url: write for example https://host/path"),
        ({"notify_url": "http://h/", "notify_headers": {"a b": "c"}}, "notify_headers.a b: not an HTTP header"),
        ({"notify_url": "http://h/", "notify_headers": {"a": "b\r\nc: d"}}, "notify_headers.a: not an HTTP header"),
        ({"notify_headers": {"a": "b"}}, "notify_headers is of no use without notify_url"),
        ({"http_port": -1}, "http_port: "),
    ],
)
def test_hooks_that_could_not_work_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(SentinelConfig, {"id": "s1", "members": ["s1"], "data_dir": "d"} | change)
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)
