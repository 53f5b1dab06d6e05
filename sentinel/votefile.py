"""The vote on disk: write a new file, fsync, rename over the old one, fsync the directory. Blocking; call it in a thread.

A file that cannot be read, is incomplete or is another sentinel's is an error and not "no votes yet": a sentinel that
forgets its vote may vote twice. So may two processes that share one file, each without the other's votes.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

from ha_stress import log
from ha_stress.base.errors import ConfigError, ProtocolError
from ha_stress.base.limits import EPOCH_MAX
from ha_stress.wire.codec import from_plain, to_plain
from sentinel.effects import VoteState

#: A predecessor that has ended may keep its lock for a moment: its disk or its host was slow to end as well.
CLAIM_S: Final = 3.0
_PAUSE_S: Final = 0.1

_log = log.get("sentinel")


class VoteFile:
    """`<data_dir>/vote-<sentinel id>.json`."""

    def __init__(self, data_dir: str, sentinel_id: str) -> None:
        self.path = Path(data_dir) / f"vote-{sentinel_id}.json"
        self._sentinel = sentinel_id

    @contextmanager
    def claimed(self, within_s: float = CLAIM_S) -> Iterator[None]:
        """Keep other processes out for the block. ConfigError if one has the file, and keeps it for so long. A disk that
        takes no lock keeps nobody out, and is logged; no vote can be written there either."""
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(open(self.path.with_suffix(".lock"), "w", encoding="utf-8"))
                _lock(lock, time.monotonic() + within_s)
            except BlockingIOError:
                raise ConfigError(
                    f"another process has the vote file {self.path}: stop it, or give this one an id of its own"
                ) from None
            except OSError as error:
                _log.warning("the vote file cannot be locked", problem=str(error))
            yield

    def load(self) -> VoteState:
        """The stored state, or the empty one if there never was any. ConfigError if it exists and cannot be read."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self._state(json.loads(self.path.read_text("utf-8")))
        except FileNotFoundError:
            return VoteState()
        except (OSError, ValueError, ProtocolError) as error:
            raise ConfigError(
                f"the vote file {self.path} cannot be read ({error}): restore it, or give this sentinel a new id"
            ) from None

    def _state(self, plain: object) -> VoteState:
        state = from_plain(VoteState, plain)
        assert isinstance(plain, dict)  # else it would not have been a VoteState
        owner = plain.get("sentinel", self._sentinel)
        if "voted_epoch" not in plain or "voted_for" not in plain:
            raise ProtocolError("it says nothing of a vote")
        if not (0 <= state.voted_epoch <= EPOCH_MAX and 0 <= state.record.epoch <= EPOCH_MAX):
            raise ProtocolError("it names an impossible epoch")
        if owner != self._sentinel:
            raise ProtocolError(f"it is the vote of {owner}")
        return state

    def save(self, state: VoteState) -> None:
        """Return when `state` is durable; OSError if it is not."""
        fresh = self.path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump({"sentinel": self._sentinel, **to_plain(state)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _lock(file: IO[str], deadline_s: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                raise
        time.sleep(_PAUSE_S)
