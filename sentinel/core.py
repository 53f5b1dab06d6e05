"""The sentinel's core: `step(event, now) -> effects`. Pure: no clock, no dice of its own, no I/O.

One step takes one event and then reassesses: who is subjectively down (`watch`), who objectively, does a campaign begin, go
on or end (`failover`). Because every step reassesses from the state, an event may arrive twice, late or never; the next
one, or the next deadline, finds the same truth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from ha_stress.cluster.controls import Controls, newer_controls
from ha_stress.cluster.mastership import Mastership
from ha_stress.wire.messages import PeerMessage, PreVoteReply, PreVoteRequest, Views, VoteReply, VoteRequest
from sentinel import effects as fx
from sentinel.failover import ASKING, KNOWN, Marks, Phase
from sentinel.seat import EPSILON_S, Seat
from sentinel.selection import Rules
from sentinel.watch import Heard


class Sentinel(Seat):
    """See the module, and `seat` for what a sentinel holds."""

    def step(self, event: fx.Happening, now: float) -> list[fx.Effect]:
        """Take one event; return what must be done, in order."""
        self._out = []
        # How late this step is against the last deadline is this sentinel's own health; it must be known before
        # anybody else is judged.
        self.watch.note_lag(max(0.0, now - self.deadline()), now)
        self._now = now
        self._take(event, now)
        self._reassess(now)
        self._deadline = min(self._views_due, self.campaign.next_deadline(), self.watch.next_change(now)) + EPSILON_S
        return self._out

    def deadline(self) -> float:
        """When `Ticked` is due at the latest, if nothing else happens before. Only a step changes it."""
        return self._deadline

    # --- events ---

    def _take(self, event: fx.Happening, now: float) -> None:
        match event:  # the most frequent first
            case fx.PongReceived() | fx.NodeConnected() | fx.NodeConnectionLost() | fx.DialFailed():
                self._take_probe(event, now)
            case fx.PeerSaid(message):
                if message.sender in self.peers:
                    self._hear(message, now)
            case fx.Ticked():
                pass
            case fx.NodesListed(nodes):
                self.watch.list_nodes(nodes, now)
            case fx.BusChanged(up):
                self.watch.note_bus(up, now)
            case fx.RecordRead(record):
                self._read_record(record, now)
            case fx.ControlsRead(controls):
                self._read_controls(controls)
            case fx.VoteSaved(state):
                self._vote_saved(state, now)
            case fx.VoteNotSaved(state, problem):
                self._vote_not_saved(state, problem, now)
            case fx.AwardAnswered(epoch, newest):
                self._award_answered(epoch, newest, now)
            case _:
                assert_never(event)

    def _take_probe(
        self, event: fx.NodeConnected | fx.NodeConnectionLost | fx.DialFailed | fx.PongReceived, now: float
    ) -> None:
        if isinstance(event, fx.PongReceived):
            self._learn(event.pong.record, now)
        view = self.watch.nodes.get(event.node)
        if view is None:
            return
        match event:
            case fx.NodeConnected():
                view.note_connected()
            case fx.NodeConnectionLost():
                view.note_lost(now)
            case fx.DialFailed(_, refused):
                if refused:
                    view.note_refused(now)
            case fx.PongReceived(_, pong):
                view.note_pong(pong.info, now)
            case _:
                assert_never(event)
        view.tried = True
        self.watch.touch(view)

    def _read_record(self, record: Mastership, now: float) -> None:
        """What Redis has: learn from it if it is newer, mend it if it is older."""
        if record.epoch < self.record.epoch:
            self._out.append(fx.Repair(self.record))
        else:
            self._learn(record, now)

    def _read_controls(self, controls: Controls) -> None:
        """What Redis has of the operator's wishes: learn it if it is newer, mend it if it is older."""
        newest = newer_controls(self.controls, controls)
        if controls.revision < newest.revision:
            self._out.append(fx.RepairControls(newest))
        self._out.extend(self.voter.learn_controls(controls))

    def _learn(self, record: Mastership, now: float) -> None:
        if not self.watch.learn(record, now):
            return
        self._out.extend(self.voter.learn(record))
        self._say("+new-epoch", subject=record.node)
        campaign = self.campaign
        if campaign.phase is not Phase.IDLE and record != campaign.winner:
            if campaign.phase in KNOWN:
                self._say("-failover-abort-superseded", subject=record.node, epoch=campaign.epoch)
            campaign.end()

    def _hear(self, message: PeerMessage, now: float) -> None:
        if isinstance(message, Views | PreVoteRequest | VoteRequest):
            self._learn(message.record, now)
        campaign = self.campaign
        # In tilt no answer counts: `_drive` ends the campaign in this same step.
        asking = None if self.watch.tilt else campaign.phase
        match message:
            case Views():
                self.watch.heard[message.sender] = Heard(now, message)
                if message.record.epoch < self.record.epoch or message.ask:
                    self._send_views((message.sender,))
            case PreVoteRequest():
                self._answer_pre_vote(message, now)
            case VoteRequest():
                self._out.extend(self.voter.answer_vote(message, self._standing(now)))
            case PreVoteReply(sender=sender, epoch=epoch, granted=granted, reason=reason):
                if asking is Phase.PRE_VOTE and campaign.count(sender, epoch, granted, reason):
                    self._vote_for_self(now)
            case VoteReply(sender=sender, epoch=epoch, granted=granted, reason=reason):
                if asking is Phase.VOTING and campaign.count(sender, epoch, granted, reason):
                    self._lead(now)
            case _:
                assert_never(message)

    # --- views ---

    def _reassess(self, now: float) -> None:
        watch = self.watch
        watch.handover = self.controls.switchover is not None and self.handover.is_open(self, now)
        if watch.tilt_until is not None and now >= watch.tilt_until:
            watch.leave_tilt(now)
        changed = watch.reassess(now)
        self._views_due = min(self._views_due, watch.changes.due(now))
        if now >= self._views_due:
            self._views_due = now + self.config.timing.ping_period_s
            self._send_views(self.peers, ask=watch.changes.told(now))
        if changed:
            self._answer_wish(now)
        self._drive(now)

    # --- votes ---

    def _answer_pre_vote(self, request: PreVoteRequest, now: float) -> None:
        """Grant or refuse; and of two that ask at once the one with the lower id goes on, so that votes do not split."""
        reply = self.voter.answer_pre_vote(request, self._standing(now))
        self._wish = None if reply.granted else (request, now)
        campaign = self.campaign
        if reply.granted and campaign.phase is Phase.PRE_VOTE and self.id < request.sender:
            reply = replace(reply, granted=False, reason="I ask at the same time, and my id is lower")
        elif reply.granted and campaign.phase in (Phase.DESYNC, Phase.PRE_VOTE):
            campaign.back_off(now)
        self._out.append(fx.SendPeer(request.sender, reply))

    def _answer_wish(self, now: float) -> None:
        """A peer noticed before this sentinel did; now that both see it, the answer is worth giving again."""
        if self._wish is None:
            return
        request, asked_at = self._wish
        if now - asked_at < self.config.timing.vote_timeout_s and self.watch.master_is_down():
            self._answer_pre_vote(request, now)

    def _vote_saved(self, state: fx.VoteState, now: float) -> None:
        voted, out = self.voter.saved(state, now)
        self._out.extend(out)
        self._count_members()
        if voted is None:
            return
        self._say("+vote-for-leader", subject=voted.voted_for, epoch=voted.voted_epoch)
        campaign = self.campaign
        if campaign.phase is Phase.SAVING and voted.voted_for == self.id and voted.voted_epoch == campaign.epoch:
            campaign.vote(self.id, now)
            self._ask_peers(VoteRequest)
            if campaign.count(self.id, campaign.epoch, True, ""):
                self._lead(now)

    def _vote_not_saved(self, state: fx.VoteState, problem: str, now: float) -> None:
        if problem != self.voter.problem:  # once, and not at every try
            self._say("+vote-file-error", cause=problem)
        self._out.extend(self.voter.not_saved(state, problem))
        if self.campaign.phase is Phase.SAVING:
            self.campaign.back_off(now)

    # --- the campaign ---

    def _drive(self, now: float) -> None:
        """Let the campaign begin, go on, or end, as the views and the time are now."""
        campaign = self.campaign
        master = self.watch.master
        down = master is not None and master.objectively_down
        if campaign.phase is Phase.IDLE and not down:
            return  # calm, as nearly always
        if campaign.phase in ASKING and (not down or self.watch.tilt or self.paused):
            campaign.end()
        if campaign.phase is Phase.CONFIRMING:
            self._confirm(down, now)
        if campaign.phase is Phase.IDLE and master is not None and down and self._may_campaign(now):
            marks = Marks(last_pong=master.last_pong, sdown=master.down_since, odown=master.odown_since)
            campaign.start(self.record, master.down_cause, marks, now)
        if campaign.phase is not Phase.CONFIRMING and (
            campaign.is_over(now) or campaign.is_hopeless(len(self.membership.members))
        ):
            self._phase_over(down, now)

    def _phase_over(self, down: bool, now: float) -> None:
        campaign = self.campaign
        if campaign.phase in (Phase.DESYNC, Phase.BACKOFF) and self.watch.master is not None:
            campaign.cause = self.watch.master.down_cause or campaign.cause  # perhaps another one by now than at first
        match campaign.phase:
            case Phase.DESYNC | Phase.BACKOFF if down and self._nobody_could_follow(now):
                campaign.look_again(now)
            case Phase.DESYNC:
                self._ask_pre_votes(now)
            case Phase.BACKOFF if down and self._may_campaign(now):
                self._ask_pre_votes(now)
            case Phase.BACKOFF:
                campaign.end()
            case Phase.AWARDING:
                self._award_failed(now)
            case _:
                phase = campaign.phase.name.lower()
                detail = {"phase": phase, "answers": dict(campaign.answers)}
                self._say("-failover-abort-not-elected", subject=self.record.node, detail=detail, epoch=campaign.epoch)
                campaign.back_off(now)

    def _nobody_could_follow(self, now: float) -> bool:
        """Nobody could follow this master when that was last voted on, and nobody could now: another vote would only take
        an epoch, push older events out of the stream, and alarm people again."""
        return self._left_to_nobody == self.record and not any(
            row.rank for row in self.table(self._wanted_rules(), now)
        )

    def _wanted_rules(self) -> Rules:
        wish = self.controls.switchover_at(self.record.epoch)
        return self.rules(wish.to if wish is not None and self.campaign.cause == "switchover" else "")

    def _ask_pre_votes(self, now: float) -> None:
        known = [self.record.epoch, self.voter.state.voted_epoch, self.membership.floor]
        known += [heard.views.voted_epoch for heard in self.watch.heard.values()]
        campaign = self.campaign
        campaign.ask(max(known) + 1, self.id, now)
        self._say("+try-failover", subject=self.record.node, cause=campaign.cause, epoch=campaign.epoch)
        self._ask_peers(PreVoteRequest)
        if campaign.count(self.id, campaign.epoch, True, ""):
            self._vote_for_self(now)

    def _vote_for_self(self, now: float) -> None:
        writes = self.voter.vote_for_self(self.campaign.epoch)
        if writes is None:  # this epoch's vote went to a peer in the meantime
            self.campaign.back_off(now)
            return
        self.campaign.save(now)
        self._out.extend(writes)

    def _lead(self, now: float) -> None:
        """Elected. Choose, and write the choice where everybody reads it."""
        campaign = self.campaign
        campaign.elected(now)
        detail = {"votes": sorted(campaign.grants)}
        self._say("+elected-leader", subject=self.id, detail=detail, epoch=campaign.epoch)
        campaign.table = self.table(self._wanted_rules(), now)
        best = campaign.table[0] if campaign.table and campaign.table[0].rank else None
        if best is None:
            rows = [row.as_row() for row in campaign.table]
            table = {"candidates": rows}
            self._say("-failover-abort-no-good-node", subject=self.record.node, detail=table, epoch=campaign.epoch)
            self._out.append(fx.SaveFailover(campaign.epoch, campaign.report(self.id, "no-good-node", self._wall())))
            # With nobody else left, those who did not act in time are the only hope: they may try again next time.
            self.watch.passed_over.clear()
            self._left_to_nobody = self.record
            campaign.back_off(now)
            return
        campaign.winner = Mastership(
            epoch=campaign.epoch, node=best.node, incarnation=best.incarnation, why=campaign.why
        )
        self._say("+selected-node", subject=best.node, epoch=campaign.epoch)
        self._out.append(fx.Award(campaign.winner, campaign.report(self.id, "awarded", self._wall())))

    def _award_answered(self, epoch: int, newest: Mastership | None, now: float) -> None:
        campaign = self.campaign
        if campaign.phase is Phase.AWARDING and epoch == campaign.epoch:
            if newest is None:
                self._award_failed(now)
            elif newest == campaign.winner:  # won now, or by an attempt whose answer was lost
                campaign.awarded(newest, now)
            else:
                self._say("-failover-abort-superseded", subject=newest.node, epoch=epoch)
                campaign.end()
        if newest is not None:
            self._read_record(newest, now)

    def _award_failed(self, now: float) -> None:
        """Whether it was written is unknown; the record will say. Until then this is a failure like any other."""
        self._say("-failover-abort-bus", cause="no answer from Redis", epoch=self.campaign.epoch)
        self.campaign.back_off(now)

    def _confirm(self, down: bool, now: float) -> None:
        """Announce until the winner is seen acting, or its time is up, or it died as well."""
        campaign = self.campaign
        winner = campaign.winner
        if self.record == winner and self.watch.accepted:
            campaign.marks.accepted = now
            self._say("+failover-end", subject=winner.node, cause=campaign.cause)
            self._out.append(fx.SaveFailover(campaign.epoch, campaign.report(self.id, "accepted", self._wall())))
            campaign.end()
        elif campaign.is_over(now) or down:
            self._say("-accept-timeout", subject=winner.node, epoch=campaign.epoch)
            self._out.append(fx.SaveFailover(campaign.epoch, campaign.report(self.id, "accept-timeout", self._wall())))
            self.watch.passed_over[winner.node] = winner.incarnation
            campaign.end()
        elif now >= campaign.announce_at:
            campaign.announce_at = now + self.config.timing.announce_period_s
            self._out.append(fx.Announce(winner))
