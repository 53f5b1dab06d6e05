"""What a sentinel holds, what can be read off it, and what it can say. Pure; what it does with it is `core`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ha_stress.base.config import SentinelConfig
from ha_stress.cluster.controls import Controls, Membership
from ha_stress.cluster.mastership import Mastership
from ha_stress.wire.messages import PreVoteRequest, Views, VoteRequest
from sentinel import effects as fx
from sentinel.failover import ASKING, Campaign
from sentinel.handover import Handover
from sentinel.selection import Candidate, Rules, candidates
from sentinel.votes import Standing, Voter
from sentinel.watch import Watch

#: A deadline is met a little after it, so that rounding never makes a step come too early and change nothing.
EPSILON_S = 1e-6


class Seat:
    """See the module. `random` gives floats in [0, 1); `wall` is for the failover record that people read."""

    def __init__(
        self,
        config: SentinelConfig,
        state: fx.VoteState,
        *,
        version: str,
        random: Callable[[], float],
        wall: Callable[[], float],
        now: float,
    ) -> None:
        self.config = config
        self.id = config.id
        self.peers: tuple[str, ...] = ()
        self.watch = Watch(config, state.record, self._say, now)
        self.voter = Voter(config.id, state, leader_patience_s=2 * config.timing.vote_timeout_s)
        self.campaign = Campaign(config.timing, config.majority, random)
        self.handover = Handover(state.controls.revision)
        self._version = version
        self._wall = wall
        self._wish: tuple[PreVoteRequest, float] | None = None  # refused, perhaps only because the master looked up
        self._left_to_nobody: Mastership | None = None  # nobody could follow this one when a leader of ours looked
        self._views_due = now
        self._now = now
        self._deadline = now + EPSILON_S  # a first step is due at once
        self._configured = Membership(members=config.members)
        self._out: list[fx.Effect] = []
        self._count_members()

    @property
    def record(self) -> Mastership:
        return self.watch.record

    @property
    def controls(self) -> Controls:
        """The newest that this sentinel knows; its membership counts only as far as it is on disk."""
        return self.voter.controls

    @property
    def membership(self) -> Membership:
        """Who the sentinels are: as the operator changed it last and this sentinel has on disk, or as configured."""
        kept = self.voter.state.controls.membership
        return kept if kept.version else self._configured

    @property
    def paused(self) -> bool:
        """Whether this sentinel only observes: the operator has paused failovers and asks for no switchover."""
        master = self.watch.master
        asked_for = master is not None and master.down_cause == "switchover"
        return self.controls.paused and not asked_for

    def rules(self, only: str = "") -> Rules:
        """What candidates are held against now; `only` is the target of a switchover."""
        return Rules(
            ping_period_s=self.config.timing.ping_period_s,
            cpu_ceiling_percent=self.config.cpu_ceiling_percent,
            memory_ceiling_percent=self.config.memory_ceiling_percent,
            version=self._version,
            only=only,
            tags=self.controls.tags,
        )

    def table(self, rules: Rules, now: float) -> list[Candidate]:
        """Every node as a candidate, as this sentinel sees it now."""
        return candidates(
            self.watch.nodes.values(),
            record=self.record,
            down=self.watch.down_pairs(now),
            passed_over=self.watch.passed_over,
            rules=rules,
            now=now,
        )

    # --- standing ---

    def _standing(self, now: float) -> Standing:
        return Standing(
            members=self.membership.members,
            floor=self.membership.floor,
            record=self.record,
            tilt=self.watch.tilt,
            paused=self.paused,
            master_down=self.watch.master_is_down(),
            live_leader=self.voter.live_leader(now),
        )

    def _may_campaign(self, now: float) -> bool:
        if self.watch.tilt or self.watch.bus_up_since is None or self.paused or self.voter.problem:
            return False
        if self.id not in self.membership.members:
            return False
        if self.voter.live_leader(now) not in ("", self.id):
            return False
        return all(views.leading_epoch <= self.record.epoch for views in self.watch.fresh(now).values())

    def _count_members(self) -> None:
        """Follow the membership that is on disk: whom to ask, and how many make a quorum and a majority."""
        members = self.membership.members
        peers = tuple(member for member in members if member != self.id)
        if peers == self.peers and self.campaign.majority == len(members) // 2 + 1:
            return
        self.peers = peers
        self.campaign.majority = len(members) // 2 + 1
        self.watch.quorum = min(self.config.quorum or self.campaign.majority, len(members))
        for sender in [sender for sender in self.watch.heard if sender not in peers]:
            del self.watch.heard[sender]
        if self.campaign.phase in ASKING:  # asked under another membership: begin anew
            self.campaign.end()

    # --- saying ---

    def _send_views(self, to: tuple[str, ...], *, ask: bool = False) -> None:
        message = Views(
            sender=self.id,
            voted_epoch=self.voter.state.voted_epoch,
            record=self.record,
            tilt=self.watch.tilt,
            leading_epoch=self.campaign.leading_epoch,
            views=self.watch.down_views(),
            ask=ask,
        )
        self._out.extend(fx.SendPeer(peer, message) for peer in to)

    def _ask_peers(self, kind: type[PreVoteRequest] | type[VoteRequest]) -> None:
        request = kind(sender=self.id, epoch=self.campaign.epoch, record=self.record, members=self.membership.members)
        self._out.extend(fx.SendPeer(peer, request) for peer in self.peers)

    def _say(
        self,
        name: str,
        *,
        subject: str = "",
        cause: str = "",
        detail: dict[str, Any] | None = None,
        epoch: int | None = None,
    ) -> None:
        """An event of this moment's epoch, or of the epoch that a campaign asks for."""
        self._out.append(fx.Emit(name, self.record.epoch if epoch is None else epoch, subject, cause, detail or {}))
