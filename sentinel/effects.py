"""What the sentinel's core hears (events, past tense) and what it wants done (effects, imperative)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ha_stress.cluster.controls import Controls
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo
from ha_stress.wire.messages import PeerMessage, Pong


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteState:
    """What must survive a crash of this sentinel: its vote, the newest record, and what the operator asked for last."""

    voted_epoch: int = 0
    voted_for: str = ""
    record: Mastership = field(default_factory=Mastership)
    controls: Controls = field(default_factory=Controls)


# --- events ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed: a deadline of the core is due."""


@dataclass(frozen=True, slots=True)
class NodesListed:
    """The registry was read: these nodes are registered and alive by their expiring key."""

    nodes: tuple[NodeInfo, ...]


@dataclass(frozen=True, slots=True)
class NodeConnected:
    node: str


@dataclass(frozen=True, slots=True)
class NodeConnectionLost:
    node: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A fresh dial failed. `refused`: a live host answered that nothing listens there."""

    node: str
    refused: bool


@dataclass(frozen=True, slots=True)
class PongReceived:
    node: str
    pong: Pong


@dataclass(frozen=True, slots=True)
class PeerSaid:
    message: PeerMessage


@dataclass(frozen=True, slots=True)
class RecordRead:
    """The mastership record as Redis has it now."""

    record: Mastership


@dataclass(frozen=True, slots=True)
class ControlsRead:
    """The operator's controls as Redis has them now."""

    controls: Controls


@dataclass(frozen=True, slots=True)
class BusChanged:
    up: bool


@dataclass(frozen=True, slots=True)
class VoteSaved:
    state: VoteState


@dataclass(frozen=True, slots=True)
class VoteNotSaved:
    state: VoteState
    problem: str


@dataclass(frozen=True, slots=True)
class AwardAnswered:
    """`newest` is the record that stands after the attempt; None if Redis did not answer (the outcome is unknown)."""

    epoch: int
    newest: Mastership | None


Happening = (
    Ticked
    | NodesListed
    | NodeConnected
    | NodeConnectionLost
    | DialFailed
    | PongReceived
    | PeerSaid
    | RecordRead
    | ControlsRead
    | BusChanged
    | VoteSaved
    | VoteNotSaved
    | AwardAnswered
)


# --- effects --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendPeer:
    to: str
    message: PeerMessage


@dataclass(frozen=True, slots=True)
class SaveVote:
    """Write, fsync, rename; then feed VoteSaved or VoteNotSaved. Nothing that depends on it was sent yet."""

    state: VoteState


@dataclass(frozen=True, slots=True)
class Award:
    """Run the award script; then feed AwardAnswered."""

    record: Mastership
    failover: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish the record on the election channel again."""

    record: Mastership


@dataclass(frozen=True, slots=True)
class Repair:
    """Redis has a lower record than this one: write it back (the script compares epochs)."""

    record: Mastership


@dataclass(frozen=True, slots=True)
class RepairControls:
    """Redis has lower controls than these: write them back (the script compares revisions)."""

    controls: Controls


@dataclass(frozen=True, slots=True)
class SaveFailover:
    epoch: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Say an event of `cluster.events.MEANING`."""

    name: str
    epoch: int
    subject: str = ""
    cause: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


Effect = SendPeer | SaveVote | Award | Announce | Repair | RepairControls | SaveFailover | Emit
