"""What a sentinel would do now, and why it does nothing: for an operator who asks. Pure; changes nothing.

`explain(seat, now)` gives one JSON object: the master as this sentinel sees it, the views of its peers, the candidate table
as an election would have it at this moment, and the sentences that say why no failover has started.
"""

from __future__ import annotations

from typing import Any

from sentinel.failover import ASKING, LEADING, Phase
from sentinel.health import NodeView
from sentinel.seat import Seat


def explain(seat: Seat, now: float) -> dict[str, Any]:
    """Times are milliseconds before now; None: never."""
    wish = seat.controls.switchover_at(seat.record.epoch)
    table = seat.table(seat.rules(wish.to if wish is not None else ""), now)
    winner = next((row.node for row in table if row.rank == 1), "")
    membership = seat.membership
    return {
        "sentinel": seat.id,
        "epoch": seat.record.epoch,
        "voted_epoch": seat.voter.state.voted_epoch,
        "master": _master(seat, now),
        "tilt": seat.watch.tilt,
        "paused": seat.controls.paused,
        "pause_why": seat.controls.pause_why,
        "switchover": None if wish is None else {"to": wish.to},
        "controls_revision": seat.controls.revision,
        "members": list(membership.members),
        "members_version": membership.version,
        "majority": seat.campaign.majority,
        "quorum": seat.watch.quorum,
        "phase": seat.campaign.phase.name.lower(),
        "live_leader": seat.voter.live_leader(now),
        "bus_up": seat.watch.bus_up_since is not None,
        "vote_file": seat.voter.problem,
        "views": _views(seat, now),
        "nodes": [_node(view, now) for view in sorted(seat.watch.nodes.values(), key=lambda view: view.id)],
        "candidates": [row.as_row() for row in table],
        "would_win": winner,
        "why_no_failover": why_no_failover(seat, now, winner),
    }


def why_no_failover(seat: Seat, now: float, winner: str) -> list[str]:
    """What stands between this moment and a failover, each in one sentence; empty if this sentinel leads one."""
    watch, campaign = seat.watch, seat.campaign
    if campaign.phase in LEADING:
        return []
    reasons = []
    if seat.id not in seat.membership.members:
        reasons.append(f"{seat.id} is not a member: it watches, and has no vote")
    if seat.controls.paused:
        because = f" ({seat.controls.pause_why})" if seat.controls.pause_why else ""
        reasons.append(f"failovers are paused by the operator{because}")
    if watch.tilt:
        reasons.append("this sentinel is in tilt: its own loop was stalled, and it does not trust its eyes")
    if watch.bus_up_since is None:
        reasons.append("Redis does not answer this sentinel: nothing could be awarded")
    if seat.voter.problem:
        reasons.append(f"the vote file cannot be written: {seat.voter.problem}")
    reasons.extend(_about_the_master(seat, now))
    leader = seat.voter.live_leader(now)
    if leader not in ("", seat.id):
        reasons.append(f"{leader} has this sentinel's newest vote and may be about to award")
    if campaign.phase in ASKING:
        reasons.append(f"a campaign is under way: {campaign.phase.name.lower()} at epoch {campaign.epoch}")
    elif campaign.phase is Phase.BACKOFF and campaign.deadline is not None:
        left_ms = max(0.0, campaign.deadline - now) * 1000
        reasons.append(f"the last campaign failed; the next one begins in {left_ms:.0f} ms")
    if not winner and seat.record.epoch:
        reasons.append("nobody could follow the master: every candidate is filtered out")
    return reasons


def _about_the_master(seat: Seat, now: float) -> list[str]:
    watch = seat.watch
    master = watch.master
    if master is None:
        return ["there has been no master yet: the first one takes the lock by itself"]
    if master.down_since is None:
        return [f"{master.id} is not down for this sentinel"]
    if master.objectively_down:
        return []
    fresh = watch.fresh(now)
    agree = sorted(
        sender for sender, views in fresh.items() if any(view.node == master.id and view.down for view in views.views)
    )
    silent = [peer for peer in seat.peers if peer not in fresh]
    sentence = f"{master.id} is down for {1 + len(agree)} of the {watch.quorum} sentinels that make the quorum"
    return [sentence + (f"; nothing was heard from {', '.join(silent)}" if silent else "")]


def _master(seat: Seat, now: float) -> dict[str, Any]:
    record, view = seat.record, seat.watch.master
    return {
        "node": record.node,
        "incarnation": record.incarnation,
        "accepted": seat.watch.accepted,
        "down": view is not None and view.down_since is not None,
        "cause": view.down_cause if view is not None else "",
        "objectively_down": view is not None and view.objectively_down,
        "silent_ms": None if view is None else _ms(view.last_pong, now),
    }


def _node(view: NodeView, now: float) -> dict[str, Any]:
    return {
        "node": view.id,
        "incarnation": view.info.incarnation if view.info else "",
        "connected": view.connected,
        "down": view.down_since is not None,
        "cause": view.down_cause,
        "objectively_down": view.objectively_down,
        "silent_ms": _ms(view.last_pong, now),
    }


def _views(seat: Seat, now: float) -> dict[str, Any]:
    """What each peer said last; None: it was never heard."""
    fresh = seat.watch.fresh(now)
    said: dict[str, Any] = dict.fromkeys(seat.peers)
    for peer, heard in seat.watch.heard.items():
        said[peer] = {
            "age_ms": _ms(heard.at, now),
            "fresh": peer in fresh,
            "tilt": heard.views.tilt,
            "epoch": heard.views.record.epoch,
            "voted_epoch": heard.views.voted_epoch,
            "down": [view.node for view in heard.views.views if view.down],
        }
    return said


def _ms(moment: float | None, now: float) -> float | None:
    return None if moment is None else round((now - moment) * 1000, 1)
