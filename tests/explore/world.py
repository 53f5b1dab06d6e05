"""The parts of one exploration, and what the sentinels, the nodes and Redis do when something reaches them."""

from __future__ import annotations

from ha_stress.node import core as nc
from ha_stress.wire.messages import Views
from sentinel import effects as fx
from tests.explore.budget import Budget
from tests.explore.history import Histories
from tests.explore.node_side import NodePart
from tests.explore.redis import Ran, Stored, run
from tests.explore.sentinel_side import Reaction, SentinelPart
from tests.explore.settings import NODES, NUMBER, PEOPLE, REDIS, SENTINELS, seconds
from tests.explore.shelf import Numbers
from tests.explore.state import NODE_NUMBERS, Draft, State
from tests.explore.things import Answered, Asked, Command, Said, Thing, Writing
from tests.sim.builds import SOUND, Build


class World:
    """Holds everything that states refer to by number. Nothing in it changes but the tables, which only grow."""

    def __init__(self, build: Build = SOUND) -> None:
        self.build = build
        self.things: Numbers[Thing] = Numbers()
        self.stores: Numbers[Stored] = Numbers()
        self.histories = Histories(store_open=build.store_open)
        self.sentinels = SentinelPart(build, self.things, self.histories)
        self.nodes = NodePart(build, self.things, self.histories, self.sentinels.events)
        self._slots: dict[int, int] = {}
        self._arrived: dict[tuple[int, int, int], Reaction] = {}
        self._ran: dict[tuple[int, int, int], tuple[int, int, tuple[int, ...]]] = {}
        self._acting: dict[tuple[int, tuple[int, ...], int], tuple[str, ...]] = {}

    def beginning(self, budget: Budget, *, cuts: int = 0) -> State:
        """Everybody starts at the instant 0, with empty disks and an empty Redis."""
        sides = [self.sentinels.start(NUMBER[name], fx.VoteState(), 1, 0) for name in SENTINELS]
        sides += [self.nodes.start(NUMBER[name], 1, 0) for name in NODES]
        everybody = (1 << len(PEOPLE)) - 1
        return State(0, tuple(sides), self.stores.of(Stored()), (), self.histories.first, everybody, 0, cuts, budget)

    # --- questions ---

    def runs(self, who: int, side: int) -> bool:
        part = self.nodes.sides if who in NODE_NUMBERS else self.sentinels.sides
        return part[side].core is not None

    def knows(self, who: int, side: int, instant: int) -> int:
        """The epoch of the record that a running process has."""
        if who in NODE_NUMBERS:
            return self.nodes.standing(who, side, instant).epoch
        return self.sentinels.looks(who, side).epoch

    def describe(self, who: int, side: int, instant: int) -> list[str]:
        """A process in a few words, for people."""
        if not self.runs(who, side):
            return ["is dead"]
        if who in NODE_NUMBERS:
            standing = self.nodes.standing(who, side, instant)
            return [f"is {standing.info.role} at {standing.epoch}", "acts" if standing.acts else "does not act"]
        return self.sentinels.describe(side)

    def slot(self, number: int) -> int:
        """Two things with the same slot: the newer one replaces the older one; -1: it has none."""
        known = self._slots.get(number)
        if known is None:
            thing = self.things[number]
            views = isinstance(thing, Said) and isinstance(thing.body, Views)
            known = self._slots[number] = thing.sender * REDIS + thing.to if views and isinstance(thing, Said) else -1
        return known

    def is_repetition(self, said: Said, side: int) -> bool:
        """Views that the peer has heard already. Not sending them is a loss like any other, of the only message that is
        sent for ever; no view grows stale within the bound, so they would change nothing."""
        body = said.body
        return isinstance(body, Views) and self.sentinels.looks(said.to, side).heard.get(body.sender) == body

    def broken_now(self, state: State) -> tuple[str, ...]:
        """What the nodes as they are at this instant break: who acts, and may it?"""
        key = (state.instant, state.sides[len(SENTINELS) :], state.asleep)
        known = self._acting.get(key)
        if known is None:
            known = self._acting[key] = tuple(self._who_acts_wrongly(state))
        return known

    def _who_acts_wrongly(self, state: State) -> list[str]:
        broken = []
        acting: dict[int, str] = {}
        for who in NODE_NUMBERS:
            side = state.sides[who]
            if state.asleep >> who & 1 or not self.runs(who, side):
                continue
            standing = self.nodes.standing(who, side, state.instant)
            if not standing.acts:
                continue
            if standing.lease_over:
                broken.append(f"nobody acts after its lease: {PEOPLE[who]} at epoch {standing.epoch}")
            if standing.epoch in acting:
                both = f"{acting[standing.epoch]} and {PEOPLE[who]}"
                broken.append(f"one acting master per epoch: epoch {standing.epoch}: {both}")
            acting[standing.epoch] = PEOPLE[who]
        return broken

    # --- a process's turn: once an instant it looks around by itself ---

    def turn(self, draft: Draft, who: int) -> None:
        draft.due &= ~(1 << who)
        if who in NODE_NUMBERS:
            if draft.joined(who, REDIS):
                self.read(draft, who)
            self._tell_node(draft, who, nc.Ticked())
            return
        reaches_redis = draft.joined(who, REDIS)
        if reaches_redis:
            self._list_nodes(draft, who)
        for node in NODE_NUMBERS:
            if draft.joined(who, node) and not draft.asleep >> node & 1:
                self._probe(draft, who, node)
        if reaches_redis:
            self.read(draft, who)
        self._tell(draft, who, fx.BusChanged(reaches_redis))
        self._tell(draft, who, fx.Ticked())

    def read(self, draft: Draft, who: int) -> None:
        """Read the record in Redis."""
        record = self.stores[draft.redis].record
        if who in NODE_NUMBERS:
            self._tell_node(draft, who, nc.RecordSeen(record, from_bus=True))
        else:
            self._tell(draft, who, fx.RecordRead(record))

    def _list_nodes(self, draft: Draft, who: int) -> None:
        """The registry, for whoever does not know all of it."""
        listed = self.sentinels.looks(who, draft.sides[who]).listed
        if len(listed) < len(NODES):
            standings = [self.nodes.standing(n, draft.sides[n], draft.instant) for n in NODE_NUMBERS if draft.alive(n)]
            self._tell(draft, who, fx.NodesListed(tuple(standing.info for standing in standings)))

    def _probe(self, draft: Draft, who: int, node: int) -> None:
        """A dial if there is no connection, and a ping with its pong; or a refusal, if nothing runs there."""
        looks = self.sentinels.looks(who, draft.sides[who])
        name = PEOPLE[node]
        if not draft.alive(node):
            if name in looks.connected:
                self._tell(draft, who, fx.NodeConnectionLost(name))
            self._tell(draft, who, fx.DialFailed(name, True))
            return
        if name not in looks.connected:
            self._tell(draft, who, fx.NodeConnected(name))
        self._tell_node(draft, node, nc.SentinelPinged(looks.ping))
        pong = self.nodes.standing(node, draft.sides[node], draft.instant).pong
        draft.settle(who, self.sentinels.feed(who, draft.sides[who], draft.instant, pong))

    def _tell(self, draft: Draft, who: int, event: fx.Happening) -> None:
        number = self.sentinels.events.of(event)
        draft.settle(who, self.sentinels.feed(who, draft.sides[who], draft.instant, number))

    def _tell_node(self, draft: Draft, who: int, event: nc.Happening) -> None:
        number = self.nodes.events.of(event)
        draft.settle(who, self.nodes.feed(who, draft.sides[who], draft.instant, number))

    # --- something arrives ---

    def arrive(self, draft: Draft, number: int) -> None:
        """The thing with this number reaches whom it is for. It has been taken from what is under way."""
        thing = self.things[number]
        if isinstance(thing, Asked):
            self._execute(draft, number, thing)
            return
        key = (number, draft.sides[thing.to], draft.instant)
        known = self._arrived.get(key)
        if known is None:
            known = self._arrived[key] = self._reaction(thing, *key[1:])
        draft.settle(thing.to, known)

    def _reaction(self, thing: Said | Writing | Answered | Command, side: int, instant: int) -> Reaction:
        who = thing.to
        match thing:
            case Said(body=body):
                return self.sentinels.feed(who, side, instant, self.sentinels.events.of(fx.PeerSaid(body)))
            case Writing(state=state):
                return self.sentinels.saved(who, side, instant, state)
            case Command():
                return self.nodes.obey(who, side, thing)
            case Answered(asked=asked, result=result):
                if who in NODE_NUMBERS:
                    return self.nodes.answered(who, side, instant, thing)
                event = fx.AwardAnswered(asked.record.epoch, result)
                return self.sentinels.feed(who, side, instant, self.sentinels.events.of(event))

    def _execute(self, draft: Draft, number: int, asked: Asked) -> None:
        key = (number, draft.redis, draft.instant)
        known = self._ran.get(key)
        if known is None:
            stored = self.stores[draft.redis]
            ran: Ran = run(stored, asked.script, asked.record, seconds(draft.instant), self.build.lax_script)
            answer = self.things.of(Answered(asked.sender, asked, ran.result)) if asked.sender >= 0 else -1
            notes = tuple(self.histories.notes.of(note) for note in ran.notes)
            known = self._ran[key] = (self.stores.of(ran.stored), answer, notes)
        draft.redis, answer, notes = known
        for note in notes:
            draft.note(note)
        if answer >= 0:
            draft.send(answer)
