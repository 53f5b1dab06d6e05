"""Random sequences of events: the core never raises, and what must always be true is true after every step."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ha_stress.cluster.mastership import NOBODY, Mastership
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.wire.messages import Pong, PreVoteReply, PreVoteRequest, View, Views, VoteReply, VoteRequest
from sentinel import effects as fx
from tests.playbook import Play, node, only, said, sent

MEMBERS = ("s1", "s2", "s3")
NODES = ("n1", "n2", "n3")
EPOCHS = st.integers(0, 6)

peers = st.sampled_from(("s1", "s2", "s3", "stranger"))
node_ids = st.sampled_from(NODES)
records = st.builds(
    lambda epoch, id, incarnation: Mastership(epoch=epoch, node=id, incarnation=incarnation) if epoch else NOBODY,
    EPOCHS,
    node_ids,
    st.sampled_from(("n1-a", "n2-a", "n3-a", "n1-b")),
)
infos: st.SearchStrategy[NodeInfo] = st.builds(
    lambda id, changes: node(id, **changes),
    node_ids,
    st.fixed_dictionaries(
        {},
        optional={
            "incarnation": st.sampled_from(("n1-a", "n2-a", "n1-b")),
            "role": st.sampled_from(Role),
            "acting": st.booleans(),
            "epoch": EPOCHS,
            "leaving": st.booleans(),
            "cpu_percent": st.none() | st.floats(0, 100),
        },
    ),
)
views = st.lists(
    st.builds(
        View,
        node=node_ids,
        incarnation=st.sampled_from(("n1-a", "n2-a", "n3-a")),
        down=st.booleans(),
        cause=st.just("silence"),
        age_s=st.just(0.0),
    ),
    max_size=3,
).map(tuple)
members = st.sampled_from((MEMBERS, ("s1", "s2")))
requests: dict[str, Any] = {"sender": peers, "epoch": EPOCHS, "record": records, "members": members}
replies: dict[str, Any] = {
    "sender": peers,
    "epoch": EPOCHS,
    "granted": st.booleans(),
    "reason": st.just("because"),
    "voted_epoch": EPOCHS,
}
messages = st.one_of(
    st.builds(
        Views,
        sender=peers,
        voted_epoch=EPOCHS,
        record=records,
        tilt=st.booleans(),
        leading_epoch=EPOCHS,
        views=views,
        ask=st.booleans(),
    ),
    st.builds(PreVoteRequest, **requests),
    st.builds(VoteRequest, **requests),
    st.builds(PreVoteReply, **replies),
    st.builds(VoteReply, **replies),
)
#: Events that the world makes by itself, and words for the effects that it may let succeed or fail.
happenings = st.one_of(
    st.builds(fx.PeerSaid, messages),
    st.builds(lambda info, known: fx.PongReceived(info.id, Pong(number=1, info=info, record=known)), infos, records),
    st.builds(fx.NodesListed, st.lists(infos, max_size=3, unique_by=lambda info: info.id).map(tuple)),
    st.builds(fx.NodeConnected, node_ids),
    st.builds(fx.NodeConnectionLost, node_ids),
    st.builds(fx.DialFailed, node_ids, st.booleans()),
    st.builds(fx.RecordRead, records),
    st.builds(fx.BusChanged, st.booleans()),
    st.sampled_from(("save", "fail", "award", "lose", "crash", "crash after write", "fall", "support")),
    st.floats(0.0, 0.3),
    st.floats(0.0, 8.0),
)


class World:
    """One sentinel with a disk that keeps, and a notebook of what it promised."""

    def __init__(self) -> None:
        self.play = Play.watching()
        self.disk = self.play.core.voter.state
        self.saves: deque[fx.VoteState] = deque()
        self.awards: deque[Mastership] = deque()
        self.grants: dict[int, str] = {}
        self.newest_epoch = 0
        self.voted_epoch = 0

    def take(self, happening: Any) -> None:
        if happening in ("crash", "crash after write", "crash after write"):
            if self.saves and happening == "crash after write":
                self.disk = self.saves[0]
            self.saves.clear()
            self.awards.clear()
            self.play = Play(state=self.disk, now=self.play.now)
            self.look([])
        elif happening == "save":
            if self.saves:
                self.disk = self.saves.popleft()
                self.look(self.play.tell(fx.VoteSaved(self.disk)))
        elif happening == "fail":
            if self.saves:
                self.look(self.play.tell(fx.VoteNotSaved(self.saves.popleft(), "disk")))
        elif happening in ("award", "lose"):
            if self.awards:
                record = self.awards.popleft()
                self.look(self.play.tell(fx.AwardAnswered(record.epoch, record if happening == "award" else None)))
        elif happening == "fall":
            self.fall()
        elif happening == "support":
            self.support()
        elif isinstance(happening, float):
            self.look(self.play.let(happening))
        else:
            self.look(self.play.tell(happening))

    def fall(self) -> None:
        """Whoever is master falls, and a peer agrees: the way to a campaign."""
        record = self.play.core.record
        if not record.epoch:
            return
        self.look(self.play.tell(fx.BusChanged(True)))
        self.look(self.play.tell(fx.NodeConnected(record.node)))
        self.look(self.play.crash(record.node))
        self.look(self.play.peer_views("s2", down=(record.node,), incarnation=record.incarnation))
        self.look(self.play.let(self.play.timing.desync_s + 0.001))

    def support(self) -> None:
        """A peer grants whatever is asked for now, and the disk works."""
        epoch = self.play.core.campaign.epoch
        self.look(self.play.pre_vote("s2", epoch))
        while self.saves:
            self.take("save")
        self.look(self.play.vote("s2", epoch))

    def look(self, effects: list[fx.Effect]) -> None:
        core = self.play.core
        saves = only(effects, fx.SaveVote)
        self.saves.extend(save.state for save in saves)
        assert len(self.saves) <= 1, "one write at a time"
        for save in saves:
            assert save.state.voted_epoch >= self.disk.voted_epoch, "a voted epoch never falls on disk"
            assert save.state.record.epoch >= self.disk.record.epoch, "nor does the record"
        assert core.voter.state.voted_epoch >= self.voted_epoch, "nor in memory"
        assert core.voter.state.voted_epoch <= self.disk.voted_epoch, "what counts as voted is on disk"
        self.voted_epoch = core.voter.state.voted_epoch
        for effect in effects:
            if isinstance(effect, fx.SendPeer) and isinstance(effect.message, VoteReply) and effect.message.granted:
                self.promised(effect.message.epoch, effect.to)
        for request in sent(effects, VoteRequest):
            self.promised(request.epoch, core.id)
        for award in only(effects, fx.Award):
            assert award.record.epoch == core.campaign.epoch
            assert self.grants.get(award.record.epoch) == core.id, "it leads only an epoch that it voted for itself"
            self.awards.append(award.record)
        for repair in only(effects, fx.Repair):
            assert repair.record.epoch <= core.record.epoch
        self.known()
        if core.watch.tilt:
            assert not sent(effects, PreVoteRequest) or "+tilt" in said(effects) or "-tilt" in said(effects)
        assert core.deadline() > self.play.now, "it is never busy"

    def promised(self, epoch: int, to: str) -> None:
        assert self.grants.setdefault(epoch, to) == to, f"two grants at epoch {epoch}"
        assert epoch <= self.disk.voted_epoch, "a promise is on disk before anybody hears of it"

    def known(self) -> None:
        core = self.play.core
        if core.record.epoch < self.newest_epoch:  # only a crash may forget what was not yet written
            assert core.record == self.disk.record
        self.newest_epoch = core.record.epoch


@settings(max_examples=400)
@given(st.lists(happenings, max_size=60))
def test_random_events_never_raise_and_keep_every_promise(story: list[Any]) -> None:
    world = World()
    for happening in story:
        world.take(happening)


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            ("fall", "support", "award", "lose", "save", "fail", "crash", "crash after write", 0.05, 0.5, 4.0)
        ),
        max_size=40,
    )
)
def test_random_failovers_never_raise_and_keep_every_promise(story: list[Any]) -> None:
    world = World()
    for happening in story:
        world.take(happening)


def test_the_words_of_the_random_stories_reach_an_accepted_award() -> None:
    world = World()
    for word in ("fall", "support", "award", "save"):
        world.take(word)
    assert world.play.core.record.epoch == 2
