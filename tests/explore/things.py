"""What is under way: sent and not yet arrived, asked and not yet done. Each lies there until the search lets it happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ha_stress.cluster.mastership import Mastership
from ha_stress.tasks.schedule import NodeAssignment
from ha_stress.wire.messages import PeerMessage, Views
from sentinel.effects import VoteState
from tests.explore.settings import REDIS


@dataclass(frozen=True, slots=True)
class Said:
    """A message from one sentinel to another."""

    sender: int
    to: int
    body: PeerMessage


@dataclass(frozen=True, slots=True)
class Writing:
    """A vote file that is being written."""

    to: int
    state: VoteState


@dataclass(frozen=True, slots=True)
class Asked:
    """A command on its way to Redis. `sender` is -1 if nobody waits for the answer."""

    sender: int
    script: str
    record: Mastership
    instant: int
    to: int = REDIS


@dataclass(frozen=True, slots=True)
class Answered:
    """What Redis said to a command; `result` None: it said nothing, and the client gave up."""

    to: int
    asked: Asked
    result: Any


@dataclass(frozen=True, slots=True)
class Command:
    """A master's assignment for a worker. `master` is who sends it."""

    sender: int
    to: int
    assignment: NodeAssignment


Thing = Said | Writing | Asked | Answered | Command


def replaces(new: Thing, old: Thing) -> bool:
    """Views are a state and not a story: of two under way from one sentinel to another only the later ones arrive, unless
    the earlier ones are stragglers (then both do, in any order)."""
    return (
        isinstance(new, Said)
        and isinstance(old, Said)
        and isinstance(new.body, Views)
        and isinstance(old.body, Views)
        and (new.sender, new.to) == (old.sender, old.to)
    )
