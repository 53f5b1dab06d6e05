"""Files that somebody names: whatever they are, a command neither hangs nor dies of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ha_stress.base.errors import ConfigError
from ha_stress.cli import files
from ha_stress.cli.client import Client
from ha_stress.cli.files import read_bounded, read_standard_input, read_text
from ha_stress.cli.main import main
from ha_stress.cli.output import Lasting
from ha_stress.cli.run_outputs import check_outputs, write_outputs
from ha_stress.report import write_all
from tests.test_report_story import run_with_a_death

URL = "http://127.0.0.1:1/"
RUN = ("run", URL, "--dry-run")
#: Command and what stands before what is wrong; FILE is the file.
COMMANDS = [
    (("run", "FILE.toml"), "FILE.toml: "),
    ((*RUN, "--body", "@FILE"), "--body FILE: "),
    ((*RUN, "--requests", "FILE"), "--requests FILE: "),
    ((*RUN, "--scenario", "FILE"), "--scenario FILE: "),
    ((*RUN, "--scenario", "good.py", "--data", "a=FILE"), "--data FILE: "),
    ((*RUN, "--scenario", "good.py", "--data-once", "a=FILE"), "--data FILE: "),
    (("run", "--curl", f"curl -d @FILE {URL}", "--dry-run"), "FILE: "),
    (("import", "curl", f"curl -H @FILE {URL}"), "FILE: "),
    (("import", "har", "FILE"), "FILE: "),
    (("import", "openapi", "FILE"), "FILE: "),
    (("compare", "./FILE", "./FILE"), "FILE: "),
    (("report", "./FILE"), "FILE: "),
    (("node", "--id", "n", "--secret-file", "FILE"), "--secret-file FILE: "),
]


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.py").write_text("async def scenario(user): ...")
    Path("folder").mkdir()
    Path("folder.toml").mkdir()
    for name in ("pipe", "pipe.toml"):
        os.mkfifo(name)
    for name in ("binary", "binary.toml"):
        Path(name).write_bytes(b"\xff\xfe\x00{" * 9)
    monkeypatch.setattr(files, "SILENCE_S", 0.02)


def refusal(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(("words", "begins"), COMMANDS)
def test_a_file_that_cannot_be_read_is_one_sentence(
    words: tuple[str, ...], begins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, why in (
        ("none", "No such file or directory"),
        ("folder", "Is a directory"),
        ("pipe", "nothing came out of it for 0.02 s"),
    ):
        said = refusal(tuple(word.replace("FILE", file) for word in words), capsys)
        assert f"{begins.replace('FILE', file)}{why}" in said


@pytest.mark.parametrize(("words", "begins"), [one for one in COMMANDS if "@" not in "".join(one[0])])
def test_a_file_that_is_no_text_is_one_sentence(
    words: tuple[str, ...], begins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(tuple(word.replace("FILE", "binary") for word in words), capsys)
    assert "it is not UTF-8 text" in said or "not a HAR file" in said


def test_what_has_no_end_is_read_up_to_the_bound() -> None:
    for bound, words in ((100, "100 bytes"), (2 << 20, "2 MiB")):
        with pytest.raises(ConfigError, match=f"--body x: it is larger than {words}"):
            read_bounded("--body x", Path("/dev/zero"), bound)
    Path("exact").write_bytes(b"x" * 100)
    assert read_bounded("x", Path("exact"), 100) == b"x" * 100
    with pytest.raises(ConfigError, match=r"x: .*null"):
        read_bounded("x", Path("a\0b"), 100)


def test_a_pipe_into_which_somebody_writes_is_a_file() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"\xef\xbb\xbfhello")
    os.close(write_end)
    try:
        assert read_text("x", Path(f"/dev/fd/{read_end}"), 100) == "hello"
    finally:
        os.close(read_end)


def test_words_that_nobody_reads_any_more_are_lost_without_an_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    for file in (os.fdopen(write_end, "w"), open("/dev/full", "w")):  # noqa: SIM115  it is closed below
        lasting = Lasting(file)
        for _ in range(2):
            assert lasting.write("x" * 100_000) == 100_000
            lasting.flush()
        assert (lasting.problem is None) == (file.name != "/dev/full")
        file.close()


def test_outputs_that_cannot_work_are_refused_before_there_is_anything_to_lose() -> None:
    for outputs, says in (
        ({"html": "folder"}, "the html report cannot be written to folder: it is a directory"),
        ({"html": ""}, "the html report cannot be written to .: it is a directory"),
        ({"html": "good.py/x.html"}, "reports cannot be written to good.py: File exists"),
        ({"html": "same", "json": "same"}, "the html report and the json report cannot both be written to same"),
        ({"hgrm": "a.hgrm", "csv": "a.service.hgrm"}, "the hgrm report and the csv report cannot both"),
        ({"csv": "a.csv", "json": "a.requests.csv"}, "the csv report and the json report cannot both"),
    ):
        with pytest.raises(ConfigError, match=f"^{says}"):
            check_outputs({kind: Path(name) for kind, name in outputs.items()})
    check_outputs({"html": Path("new/a.html"), "json": Path("/dev/null"), "csv": Path("/dev/null")})
    assert Path("new").is_dir()


def test_a_report_that_cannot_be_written_does_not_keep_the_others_from_it() -> None:
    run = run_with_a_death()
    written, problems = write_all(run, {"html": Path("/dev/full"), "csv": Path("a.csv"), "hgrm": Path("a.hgrm")})
    assert [path.name for path in written] == ["a.csv", "a.hgrm", "a.service.hgrm"]
    assert problems == ["the report /dev/full cannot be written: No space left on device"]


def test_a_report_that_nobody_answers_for_takes_nothing_from_the_verdict_and_from_the_next_one() -> None:
    tasks = [{"id": "t-1", "name": "one"}, {"id": "t-2", "name": "two"}]
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with Client([f"http://127.0.0.1:{nobody.getsockname()[1]}"]) as client:
            written, problems = write_outputs(client, tasks, {"csv": Path("a.csv")}, several=True)
    assert written == []
    assert [problem.split(": ")[0] for problem in problems] == [
        f"the report of {name} cannot be made" for name in ("one", "two")
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_is_not_utf_8_gets_plain_signs(encoding: str) -> None:
    script = "from ha_stress.cli.main import _replace_what_has_no_form as r; r(); print('\u2713 M\u00fc \U0001f600')"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, timeout=60, check=True)
    assert done.stdout.decode(encoding) == ("+ M? ?\n" if encoding == "ascii" else "+ M\u00fc ?\n")


def test_standard_input_is_read_with_the_same_bound() -> None:
    saved = os.dup(0)
    try:
        with open("good.py", "rb") as opened:
            os.dup2(opened.fileno(), 0)
        assert read_standard_input(100).startswith(b"async def")
        os.lseek(0, 0, os.SEEK_SET)
        with pytest.raises(ConfigError, match="standard input: it is larger than 10 bytes"):
            read_standard_input(10)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
