"""The vote on disk: durable, atomic, and never mistaken for "no votes yet"."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_stress.base.errors import ConfigError
from ha_stress.wire.messages import VoteReply
from sentinel import effects as fx
from sentinel.effects import VoteState
from sentinel.votefile import VoteFile
from tests.playbook import FIRST, Play, only, record, sent

VOTED = VoteState(voted_epoch=7, voted_for="s2", record=record(6, "n3"))


def test_what_was_saved_is_loaded_by_another_process_of_the_same_sentinel(tmp_path: Path) -> None:
    VoteFile(str(tmp_path), "s1").save(VOTED)
    assert VoteFile(str(tmp_path), "s1").load() == VOTED


def test_a_sentinel_that_never_voted_starts_with_no_vote_and_makes_its_directory(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path / "new" / "deep"), "s1")
    assert file.load() == VoteState()
    file.save(VOTED)
    assert file.load() == VOTED


def test_sentinels_that_share_a_directory_have_a_file_each(tmp_path: Path) -> None:
    VoteFile(str(tmp_path), "s1").save(VOTED)
    assert VoteFile(str(tmp_path), "s2").load() == VoteState()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"{}",
        b"null",
        b"[]",
        b"\xff\xfe\x00",
        b'{"voted_epoch": "many", "voted_for": "s2"}',
        b'{"voted_epoch": -1, "voted_for": "s2"}',
        b'{"voted_epoch": 9007199254740992, "voted_for": "s2"}',
        b'{"voted_epoch": 3}',
        b'{"voted_epoch": 3, "voted_for": "s2", "sentinel": "s2"}',
        b'{"record": 5}',
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_and_not_no_votes(tmp_path: Path, damage: bytes) -> None:
    file = VoteFile(str(tmp_path), "s1")
    file.save(VOTED)
    file.path.write_bytes(damage)
    with pytest.raises(ConfigError, match="restore it, or give this sentinel a new id"):
        file.load()


def test_the_file_of_another_sentinel_is_named_as_what_it_is(tmp_path: Path) -> None:
    VoteFile(str(tmp_path), "s2").save(VOTED)
    copied = VoteFile(str(tmp_path), "s1")
    shutil.copy(VoteFile(str(tmp_path), "s2").path, copied.path)
    with pytest.raises(ConfigError, match="it is the vote of s2"):
        copied.load()


def test_a_file_that_does_not_say_whose_it_is_yet_is_taken(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path), "s1")
    file.path.write_text('{"voted_epoch": 7, "voted_for": "s2"}')
    assert file.load().voted_epoch == 7


def test_a_second_process_with_the_same_file_is_refused_and_its_end_makes_room(tmp_path: Path) -> None:
    ours = VoteFile(str(tmp_path), "s1")
    other = "import sys; from sentinel.votefile import VoteFile\nwith VoteFile(sys.argv[1], 's1').claimed(0): pass"
    with ours.claimed(), VoteFile(str(tmp_path), "s2").claimed():
        done = subprocess.run([sys.executable, "-c", other, str(tmp_path)], capture_output=True, text=True, check=False)
        assert done.returncode != 0 and "another process has the vote file" in done.stderr
    with ours.claimed():
        assert ours.load() == VoteState()


def test_a_lock_that_outlives_its_process_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    with ExitStack() as predecessor:
        predecessor.enter_context(VoteFile(str(tmp_path), "s1").claimed())
        end = threading.Timer(0.3, predecessor.close)
        end.start()
        with VoteFile(str(tmp_path), "s1").claimed(10):
            end.join()


def test_a_disk_that_takes_no_lock_keeps_nobody_from_watching(tmp_path: Path) -> None:
    (tmp_path / "vote-s1.lock").mkdir()
    with VoteFile(str(tmp_path), "s1").claimed():
        assert VoteFile(str(tmp_path), "s1").load() == VoteState()


def test_a_truncated_file_is_an_error_at_every_length(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path), "s1")
    file.save(VOTED)
    whole = file.path.read_bytes()
    for length in range(len(whole)):
        file.path.write_bytes(whole[:length])
        with pytest.raises(ConfigError):
            file.load()


def test_a_path_that_is_a_directory_is_an_error_and_not_no_votes(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path), "s1")
    file.path.mkdir()
    with pytest.raises(ConfigError):
        file.load()


def test_a_write_that_dies_half_way_leaves_the_old_vote(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path), "s1")
    file.save(VOTED)
    file.path.with_suffix(".new").write_text('{"voted_epoch": 8, "vo')
    assert file.load() == VOTED
    file.save(VoteState(voted_epoch=9, voted_for="s3"))
    assert file.load().voted_epoch == 9


def test_a_vote_is_on_disk_before_its_name_is_changed_and_the_directory_is_on_disk_before_save_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(number: int) -> None:
        calls.append("directory" if os.path.isdir(f"/proc/self/fd/{number}") else "file")
        fsync(number)

    def noted_replace(old: str, new: str) -> None:
        assert json.loads(Path(old).read_text())["voted_epoch"] == 7
        calls.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    VoteFile(str(tmp_path), "s1").save(VOTED)
    assert calls == ["file", "rename", "directory"]


def test_a_directory_that_was_removed_is_an_os_error(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path / "data"), "s1")
    file.load()
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(OSError):
        file.save(VOTED)


def test_a_directory_that_was_replaced_by_a_file_is_an_os_error(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path / "data"), "s1")
    file.load()
    (tmp_path / "data").rmdir()
    (tmp_path / "data").write_text("")
    with pytest.raises(OSError):
        file.save(VOTED)


#: A file size limit is a full disk for one process: the write fails with an error and, by a Python program, no signal.
FULL_DISK = """
import resource, signal, sys
from sentinel.effects import VoteState
from sentinel.votefile import VoteFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = VoteFile(sys.argv[1], "s1")
file.save(VoteState(voted_epoch=3, voted_for="s2"))
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    file.save(VoteState(voted_epoch=4, voted_for="s3"))
except OSError as error:
    print(type(error).__name__, file.load().voted_epoch)
"""


def test_a_full_disk_is_an_os_error_and_the_old_vote_stands(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=20, check=True
    )
    assert child.stdout.split() == ["OSError", "3"]


def test_a_sentinel_whose_directory_is_gone_refuses_its_vote(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path / "data"), "s1")
    play = Play.watching(state=file.load())
    shutil.rmtree(tmp_path / "data")
    play.crash("n1")
    (write,) = only(play.ask_vote("s2", 2), fx.SaveVote)
    with pytest.raises(OSError) as caught:
        file.save(write.state)
    (reply,) = sent(play.tell(fx.VoteNotSaved(write.state, str(caught.value))), VoteReply)
    assert not reply.granted


def test_a_vote_is_kept_across_a_restart_so_that_nobody_else_gets_it(tmp_path: Path) -> None:
    file = VoteFile(str(tmp_path), "s1")
    before = Play.watching(state=file.load())
    before.crash("n1")
    (write,) = only(before.ask_vote("s2", 2), fx.SaveVote)
    file.save(write.state)  # and here the process dies, before it could answer
    after = Play.watching(state=file.load())
    after.crash("n1")
    (to_another,) = sent(after.ask_vote("s3", 2), VoteReply)
    (to_the_same,) = sent(after.ask_vote("s2", 2), VoteReply)
    assert (to_another.granted, to_the_same.granted) == (False, True)
    assert after.core.record == FIRST


@given(st.integers(0, 2**53), st.text(max_size=64), st.integers(0, 2**53), st.text(max_size=20))
def test_any_state_survives_the_file(
    tmp_path_factory: pytest.TempPathFactory, epoch: int, voted_for: str, record_epoch: int, why: str
) -> None:
    known = record(record_epoch, "n1") if record_epoch else VoteState().record
    state = VoteState(voted_epoch=epoch, voted_for=voted_for, record=known)
    file = VoteFile(str(tmp_path_factory.mktemp("votes")), "s1")
    file.save(state)
    assert file.load() == state
