"""What was said and done, for people: who heard what from whom, and what it did. The digest covers every line, shown or not.

12.3456  s1      hears s2: may I campaign at epoch 4?
         s1      +sdown n2 (crash)
         s1      to s2: granted, at epoch 4
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import fields

from ha_stress.cluster.controls import Controls
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo
from ha_stress.node import core
from ha_stress.wire.messages import Ping, Pong, PreVoteReply, PreVoteRequest, Views, VoteReply, VoteRequest
from sentinel import effects as fx

#: Steps that say nothing new when they have no effect but the usual views and renewals.
USUAL = (
    fx.PongReceived
    | fx.Ticked
    | fx.PeerSaid
    | fx.RecordRead
    | fx.NodesListed
    | fx.BusChanged
    | fx.ControlsRead
    | core.LeaseAnswered
    | core.SentinelPinged
    | core.RecordSeen
    | core.Ticked
)


class Conversation:
    """Kept in memory only if wanted; the digest is always the same for the same seed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._ended = False
        self._digest = hashlib.sha256()

    def note(self, now: float, actor: str, what: str) -> None:
        """Something that happened to the world."""
        self._keep([f"{now:9.4f}  {actor:<7} {what}"], shown=True)

    def heard(self, now: float, actor: str, event: object, effects: Iterable[object]) -> None:
        """One step of a core."""
        done = _grouped(effects)
        lines = [f"{now:9.4f}  {actor:<7} {brief(event)}", *(f"{'':9}  {actor:<7}   {text}" for text in done)]
        telling = [text for text in done if not text.startswith(("to s", "renews the lease"))]
        self._keep(lines, shown=bool(telling) or not isinstance(event, USUAL) or _is_a_vote(event))

    def _keep(self, lines: list[str], *, shown: bool) -> None:
        self._digest.update("\n".join(lines).encode() + b"\n")
        if shown and not self._ended:
            self.lines.extend(lines)

    def end(self) -> None:
        """Show nothing of what follows."""
        self._ended = True

    def digest(self) -> str:
        return self._digest.hexdigest()


def _is_a_vote(event: object) -> bool:
    return isinstance(event, fx.PeerSaid) and not isinstance(event.message, Views)


def _grouped(effects: Iterable[object]) -> list[str]:
    """One line each, and what is said to several in one."""
    listeners: dict[str, list[str]] = {}
    done = []
    for effect in effects:
        if isinstance(effect, fx.SendPeer):
            message = brief(effect.message)
            listeners.setdefault(message, []).append(effect.to)
            if len(listeners[message]) > 1:
                continue
            done.append(message)
        else:
            done.append(brief(effect))
    return [f"to {', '.join(listeners[text])}: {text}" if text in listeners else text for text in done]


def brief(thing: object) -> str:
    """One event, effect, message or record in few words."""
    match thing:
        case Mastership(epoch=0):
            return "nobody"
        case Mastership(epoch=epoch, incarnation=incarnation):
            return f"{incarnation} at epoch {epoch}"
        case NodeInfo(incarnation=incarnation, role=role, epoch=epoch, acting=acting):
            return f"I am {incarnation}, {role} of epoch {epoch}{', acting' if acting else ''}"
        case Ping() | Pong() | Views() | PreVoteRequest() | VoteRequest() | PreVoteReply() | VoteReply():
            return _message(thing)
        case fx.PeerSaid(message):
            return f"hears {message.sender}: {brief(message)}"
        case fx.PongReceived(node, pong):
            return f"hears {node}: {brief(pong)}"
        case core.SentinelPinged(ping):
            return f"hears {ping.sender}: {brief(ping)}"
        case fx.VoteState(voted_epoch=epoch, voted_for=candidate, record=record):
            vote = f"the vote of epoch {epoch} for {candidate}" if epoch else "no vote"
            return f"{vote}; master {brief(record)}"
        case _:
            return _effect(thing)


def _message(thing: Ping | Pong | Views | PreVoteRequest | VoteRequest | PreVoteReply | VoteReply) -> str:
    match thing:
        case Ping(record=record):
            return f"ping, the master is {brief(record)}"
        case Pong(info=info):
            return brief(info)
        case Views(views=views, ask=ask, record=record, tilt=tilt):
            down = ", ".join(f"{view.node} ({view.cause})" for view in views) or "nobody"
            flags = f"{', in tilt' if tilt else ''}{'; and you?' if ask else ''}"
            return f"down is {down}, the master is {brief(record)}{flags}"
        case PreVoteRequest(epoch=epoch, record=record):
            return f"may I campaign at epoch {epoch} against {brief(record)}?"
        case VoteRequest(epoch=epoch):
            return f"your vote of epoch {epoch}, please"
        case PreVoteReply(epoch=epoch, granted=granted, reason=reason):
            return f"campaign at epoch {epoch}: {'yes' if granted else f'no, {reason}'}"
        case VoteReply(epoch=epoch, granted=granted, reason=reason):
            return f"my vote of epoch {epoch}: {'yours' if granted else f'no, {reason}'}"


def _effect(thing: object) -> str:
    match thing:
        case fx.Emit(name=name, epoch=epoch, subject=subject, cause=cause):
            return f"{name} {subject} (epoch {epoch}{', ' + cause if cause else ''})"
        case fx.SaveVote(vote):
            return f"writes {brief(vote)}"
        case fx.VoteSaved(vote):
            return f"has on disk {brief(vote)}"
        case fx.Award(record=record):
            return f"awards mastership to {brief(record)}"
        case fx.Repair(record) | core.Repair(record):
            return f"repairs the record: {brief(record)}"
        case fx.SaveFailover(epoch=epoch, data=data):
            rows = ", ".join(f"{row['node']}: {row['dropped'] or row['rank']}" for row in data["candidates"])
            return f"keeps the failover of epoch {epoch}: {data['outcome']}; candidates: {rows}"
        case fx.ControlsRead(controls):
            return f"reads the controls: {_controls(controls)}"
        case fx.RepairControls(controls):
            return f"repairs the controls: {_controls(controls)}"
        case _:
            return _probed(thing)


def _controls(controls: Controls) -> str:
    wish = controls.switchover
    words = [f"revision {controls.revision}", "paused" if controls.paused else ""]
    words += [f"a switchover from epoch {wish.epoch} to {wish.to or 'the best'}" if wish is not None else ""]
    words += [f"members {', '.join(controls.membership.members)}" if controls.membership.version else ""]
    words += [f"tags of {', '.join(controls.tags)}" if controls.tags else ""]
    return "; ".join(word for word in words if word)


def _probed(thing: object) -> str:
    match thing:
        case fx.DialFailed(node, refused):
            return f"dials {node}: {'refused' if refused else 'no answer'}"
        case fx.NodeConnected(node):
            return f"is connected to {node}"
        case fx.NodeConnectionLost(node):
            return f"loses its connection to {node}"
        case core.ClaimFirst():
            return "races for the first mastership"
        case core.HoldLease(record):
            return f"renews the lease of {brief(record)}"
        case core.LeaseAnswered(held=held, newest=newest):
            answer = (
                "no answer" if newest is None else f"{'held' if held else 'refused'}, the record is {brief(newest)}"
            )
            return f"hears redis about its lease: {answer}"
        case core.Emit(name=name, subject=subject, cause=cause):
            return f"{name} {subject}{f' ({cause})' if cause else ''}"
        case _:
            return _plain(thing)


def _plain(thing: object) -> str:
    if isinstance(thing, tuple):
        return "[" + ", ".join(brief(item) for item in thing) + "]"
    if not hasattr(type(thing), "__dataclass_fields__"):
        return f"{thing:.4f}" if isinstance(thing, float) else str(thing)
    shown = [brief(getattr(thing, field.name)) for field in fields(thing)]  # type: ignore[arg-type]
    return " ".join([type(thing).__name__, *(text for text in shown if text and len(text) < 200)])
