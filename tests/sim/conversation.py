"""What was said and done, one line per step: time, actor, event -> effects. The digest covers every line, shown or not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import fields

from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo
from ha_stress.wire.messages import Ping, Pong, PreVoteReply, PreVoteRequest, Views, VoteReply, VoteRequest
from sentinel import effects as fx

#: Steps that say nothing new when they have no effect but the usual views.
USUAL = (
    "PongReceived",
    "Ticked",
    "PeerSaid",
    "SentinelPinged",
    "RecordRead",
    "RecordSeen",
    "NodesListed",
    "BusChanged",
)


class Conversation:
    """Kept in memory only if wanted; the digest is always the same for the same seed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._digest = hashlib.sha256()

    def note(self, now: float, actor: str, what: str, effects: Iterable[object] = ()) -> None:
        done = [brief(effect) for effect in effects]
        line = f"{now:9.4f} {actor:<6} {what}" + (" -> " + "; ".join(done) if done else "")
        self._digest.update(line.encode() + b"\n")
        if what.startswith(USUAL) and all(text.startswith(("SendPeer", "HoldLease")) for text in done):
            return
        self.lines.append(line)

    def heard(self, now: float, actor: str, event: object, effects: Iterable[object]) -> None:
        """One step of a core."""
        self.note(now, actor, brief(event), effects)

    def digest(self) -> str:
        return self._digest.hexdigest()


def brief(thing: object) -> str:
    """One event, effect or message in few words."""
    match thing:
        case Mastership(epoch=0):
            return "nobody"
        case Mastership(epoch=epoch, incarnation=incarnation):
            return f"{epoch}/{incarnation}"
        case NodeInfo(incarnation=incarnation, role=role, epoch=epoch, acting=acting):
            return f"{incarnation} {role} {epoch}{' acting' if acting else ''}"
        case Views(views=views, ask=ask, record=record):
            down = ",".join(f"{view.node}:{view.cause}" for view in views)
            return f"Views({brief(record)} down=[{down}]{' ask' if ask else ''})"
        case PreVoteRequest(sender=sender, epoch=epoch) | VoteRequest(sender=sender, epoch=epoch):
            return f"{type(thing).__name__}({sender} {epoch})"
        case (
            PreVoteReply(sender=sender, epoch=epoch, granted=granted, reason=reason)
            | VoteReply(sender=sender, epoch=epoch, granted=granted, reason=reason)
        ):
            return f"{type(thing).__name__}({sender} {epoch} {'granted' if granted else reason})"
        case Ping(sender=sender, record=record):
            return f"{sender} {brief(record)}"
        case Pong(info=info):
            return brief(info)
        case _:
            return _brief_effect(thing)


def _brief_effect(thing: object) -> str:
    match thing:
        case fx.SendPeer(to=to, message=message):
            return f"SendPeer {to} {brief(message)}"
        case fx.VoteState(voted_epoch=epoch, voted_for=candidate, record=record):
            return f"vote {epoch}:{candidate} {brief(record)}"
        case fx.Emit(name=name, epoch=epoch, subject=subject, cause=cause):
            return f"{name}({epoch} {subject}{' ' + cause if cause else ''})"
        case fx.Award(record=record):
            return f"Award {brief(record)}"
        case fx.SaveFailover(epoch=epoch, data=data):
            rows = ", ".join(f"{row['node']}: {row['dropped'] or row['rank']}" for row in data["candidates"])
            return f"SaveFailover {epoch} {data['outcome']} ({rows})"
        case _:
            return _plain(thing)


def _plain(thing: object) -> str:
    if isinstance(thing, tuple):
        return "[" + ",".join(brief(item) for item in thing) + "]"
    if not hasattr(type(thing), "__dataclass_fields__"):
        return f"{thing:.4f}" if isinstance(thing, float) else str(thing)
    shown = [brief(getattr(thing, field.name)) for field in fields(thing)]  # type: ignore[arg-type]
    return " ".join([type(thing).__name__, *(text for text in shown if len(text) < 200)])
