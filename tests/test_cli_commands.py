"""Commands from the outside: exit codes, one sentence for a mistake, one JSON document, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ha_stress.cli import main as cli
from tests.engine_support import unused_port


def call(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run one command in this process: exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(words))
    out, err = capsys.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No environment and no local cluster of the machine shows through."""
    for name in list(os.environ):
        if name.startswith("HA_STRESS"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def nobody() -> str:
    return f"http://127.0.0.1:{unused_port()}"


URL = "http://127.0.0.1:1/"
SENTINEL = ("sentinel", "--id", "s9", "--members", "s1,s2", "--data-dir", "x")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nonsense",), "nonsense"),
        (("task", "create", URL), "--rate"),
        (("task", "create", URL, "--rate", "fast"), "not a rate"),
        (("task", "create", "ftp://x/", "--rate", "5"), "http://"),
        (("task", "create", URL, "--rate", "5", "--duration", "soon"), "not a duration"),
        (("task", "create", URL, "--rate", "5", "-H", "nothing"), "header"),
        (("task", "create", URL, "--rate", "5", "--body", "@nowhere"), "nowhere"),
        (("task", "create", URL, "--rate", "5", "--id", "a b"), "task id"),
        (("task", "rate", "t-1", "x"), "not a rate"),
        (("task", "show", "a/b", "--api", URL), "a/b"),
        (("status", "--api", "ftp://x"), "--api"),
        (("run", URL, "--rate", "5", "--duration", "0s"), "duration"),
        (("run", URL, "--timing", "nonsense=1"), "nonsense"),
        (("up", "--nodes", "0"), "--nodes"),
        (("up", "--timing", "down_after_s=0.1"), "ping_period_s must be below down_after_s"),
        (("demo", "--kill-at", "9s", "--restart-at", "8s"), "in order"),
        (("demo", "--target", "nowhere"), "http://"),
        (("node", "--id", "a b"), "id"),
        (("node", "--id", "n", "--redis", "http://x"), "redis_url"),
        (("node", "--id", "n", "--timing", "lease_ttl_s=0.1"), "lease_renew_s"),
        (("node", "--id", "n", "--secret-file", "nowhere"), "nowhere"),
        (("node", "--id", "n", "--log-level", "loud"), "--log-level"),
        (SENTINEL, "does not name this sentinel"),
        (("sentinel", "--id", "s1", "--members", "s1", "--quorum", "2", "--data-dir", "x"), "quorum"),
        (("run", URL, "--duration", ""), "--duration"),
        (("up", "--data-dir", "a-file"), "not a directory"),
        (("up", "--data-dir", "a-file/x"), "Not a directory"),
        (("up", "--log-level", "loud"), "--log-level"),
        (("demo", "--keep", "a-file"), "not a directory"),
        (("node", "--data-dir", "a-file"), "not a directory"),
        (("node", "--id", "n", "--secret-file", "a-file"), "empty"),
        (("node", "--id", "n", "--advertise-host", "a b"), "advertise_host: not a host name"),
        (("sentinel", "--id", "s1", "--members", "s1,s2", "--peer", "s2=here", "--data-dir", "x"), "host:port"),
        (("status", "--api", "no url"), "--api"),
        (("status", "--api", "http://127.0.0.1:99999"), "--api"),
        (("failovers", "show", "last"), "epoch"),
        (("events", "--limit", "0"), "--limit"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    words: tuple[str, ...], says: str, somewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (somewhere / "a-file").touch()
    code, out, err = call(*words, "--json", capsys=capsys)
    assert code == 2
    assert err == f"error: {json.loads(out)['error']}\n"
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert says in err


@pytest.mark.parametrize(
    "words", [("status",), ("events",), ("failovers",), ("task", "list"), ("task", "create", URL, "--rate", "5")]
)
def test_an_unreachable_cluster_is_one_sentence_and_exit_3(
    words: tuple[str, ...], nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(*words, "--api", nobody, capsys=capsys)
    assert (code, out) == (3, "")
    assert err.startswith("error: no node of the cluster answers") and err.count("\n") == 1


def test_with_json_an_error_is_a_document_too(nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call("status", "--json", "--api", nobody, capsys=capsys)
    assert code == 3
    assert err == f"error: {json.loads(out)['error']}\n"


def test_a_defect_is_one_sentence_that_names_the_file_with_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise BaseExceptionGroup("outer", [ZeroDivisionError("a planted defect")])

    monkeypatch.setattr(cli, "app", broken)
    code, _, err = call("status", capsys=capsys)
    assert code == 1
    assert err.startswith("error: unexpected ZeroDivisionError: a planted defect") and err.count("\n") == 1
    log = Path(err.rsplit(" ", 1)[1].rstrip(")\n"))
    assert "Traceback" in log.read_text()
    log.unlink()


def test_ctrl_c_is_exit_130_without_a_word(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    assert call("status", capsys=capsys) == (130, "", "")


def test_version_and_help_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version", capsys=capsys)[:2] == (0, "ha-stress 0.1.0\n")
    code, out, _ = call("--help", capsys=capsys)
    assert code == 0
    for command in ("up", "node", "sentinel", "run", "demo", "task", "status", "events", "failovers"):
        assert command in out


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom ha_stress.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'trio', 'fastapi', 'sqlalchemy', 'redis', 'httpx', 'pydantic', 'hypercorn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_hears_no_complaint() -> None:
    command = f"{sys.executable} -m ha_stress --help | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("redirection", "code", "says"),
    [
        ("nonsense 2>&-", 2, ""),
        ("nonsense --json >&- 2>&- <&-", 2, ""),
        ("nonsense 2>/dev/full", 2, ""),
        ("--help >&-", 0, ""),
        ("--help >/dev/full", 1, "error: writing failed: No space left on device\n"),
    ],
)
def test_a_standard_file_that_is_closed_or_full_is_no_defect(redirection: str, code: int, says: str) -> None:
    command = f"{sys.executable} -m ha_stress {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", says)


@pytest.mark.parametrize(("before", "ends"), [("SIG_DFL", True), ("SIG_IGN", False)])
def test_the_end_of_a_session_is_a_graceful_end_unless_nohup_says_otherwise(before: str, ends: bool) -> None:
    script = (
        "import os, signal, time; from ha_stress.cli.up_command import stop_on_term\n"
        f"signal.signal(signal.SIGHUP, signal.{before}); stop_on_term()\n"
        "try: os.kill(os.getpid(), signal.SIGHUP); time.sleep(0.05); print('goes on')\n"
        "except KeyboardInterrupt: print('stops')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ("stops\n" if ends else "goes on\n")
