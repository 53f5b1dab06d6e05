"""Identifiers: stable node ids, incarnations, task ids.

A node *id* is stable over restarts (an operator names it, or it is kept in the data directory); an
*incarnation* is new with every process start. Work is owned by the pair, so what a dead process owned never
silently passes to its successor. (The original drew node ids from a small range and they collided.)
"""

from __future__ import annotations

import re
import secrets

from ha_stress.base.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def check_name(kind: str, value: str) -> str:
    """Return `value` if it can serve as a name in keys and URLs; raise ConfigError otherwise."""
    if not _NAME.match(value):
        raise ConfigError(
            f"{kind} {value!r} is not a valid name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return value


def new_incarnation() -> str:
    """64 random bits in hex; new with every process start."""
    return secrets.token_hex(8)


def new_node_id() -> str:
    """A node id for an operator who did not name the node: 40 random bits, not a small counter."""
    return f"node-{secrets.token_hex(5)}"


def new_task_id() -> str:
    """A task id, short enough to type."""
    return f"t-{secrets.token_hex(4)}"
