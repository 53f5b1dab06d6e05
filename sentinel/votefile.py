"""The vote on disk: write a new file, fsync, rename over the old one, fsync the directory. Blocking; call it in a thread.

A file that cannot be read is an error and not "no votes yet": a sentinel that forgets its vote may vote twice.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from ha_stress.base.errors import ConfigError, ProtocolError
from ha_stress.wire.codec import from_plain, to_plain
from sentinel.effects import VoteState


class VoteFile:
    """`<data_dir>/vote-<sentinel id>.json`."""

    def __init__(self, data_dir: str, sentinel_id: str) -> None:
        self.path = Path(data_dir) / f"vote-{sentinel_id}.json"

    def load(self) -> VoteState:
        """The stored state, or the empty one if there never was any. ConfigError if it exists and cannot be read."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return from_plain(VoteState, json.loads(self.path.read_text("utf-8")))
        except FileNotFoundError:
            return VoteState()
        except (OSError, ValueError, ProtocolError) as error:
            raise ConfigError(
                f"the vote file {self.path} cannot be read ({error}): restore it, or give this sentinel a new id"
            ) from None

    def save(self, state: VoteState) -> None:
        """Return when `state` is durable; OSError if it is not."""
        fresh = self.path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(to_plain(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
