"""Messages of the mesh: what sentinels say to nodes and to each other. Each may arrive twice, late, or never."""

from __future__ import annotations

from dataclasses import dataclass

from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Sentinel to node. `voted_epoch` is the highest epoch in the sentinel's vote file, `sentinels` how many there are:
    a node may take the first lock only when a majority of sentinels has said that there was no epoch before."""

    sender: str
    number: int
    record: Mastership
    voted_epoch: int
    sentinels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """Node to sentinel, on the same connection: the answer to Ping `number`."""

    number: int
    info: NodeInfo
    record: Mastership


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One sentinel's view of one node. `age_s` is how old the view was when it was sent."""

    node: str
    incarnation: str
    down: bool
    cause: str
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Sentinel to sentinels: periodically, on change, and when asked (`ask`: answer with yours at once)."""

    sender: str
    voted_epoch: int
    record: Mastership
    tilt: bool
    leading_epoch: int  # 0: leads no failover
    views: tuple[View, ...]
    ask: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PreVoteRequest:
    """May I campaign at `epoch`, against the master of `record`? Changes nothing on the voter."""

    sender: str
    epoch: int
    record: Mastership
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreVoteReply:
    sender: str
    epoch: int
    granted: bool
    reason: str
    voted_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteRequest:
    """Your one vote of `epoch`, please."""

    sender: str
    epoch: int
    record: Mastership
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteReply:
    """Counts only if `epoch` is exactly the campaign's; a granted vote is on the voter's disk."""

    sender: str
    epoch: int
    granted: bool
    reason: str
    voted_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An operator's tool to a sentinel. `about` is "explain"; the answer comes on the same connection."""

    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`body` is a JSON object; for "explain" that of `sentinel.explain`. An unknown question has {"problem": sentence}."""

    sender: str
    about: str
    body: str


PeerMessage = Views | PreVoteRequest | PreVoteReply | VoteRequest | VoteReply
NodeMessage = Ping | Pong
ToolMessage = Question | Answer
Message = PeerMessage | NodeMessage | ToolMessage
