"""One sentinel: its core (a number on the shelf), its disk, its life. A step of a core is computed once and remembered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from ha_stress.wire.messages import Ping, Views, VoteReply
from sentinel import effects as fx
from sentinel.core import Sentinel
from sentinel.health import NodeView
from tests.explore.history import Histories
from tests.explore.redis import Note
from tests.explore.settings import NUMBER, SENTINEL_CONFIGS, SENTINELS, VERSION, no_clock, no_dice, seconds
from tests.explore.shelf import Numbers, Shelf
from tests.explore.things import Asked, Said, Thing, Writing
from tests.sim.builds import Build


class Reaction(NamedTuple):
    """What a step of one process leads to: its next side, what it sends, what there is to check. All are numbers."""

    side: int
    things: tuple[int, ...] = ()
    notes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelSide:
    """`core` None: it does not run. `disk` is what survives."""

    core: int | None
    disk: fx.VoteState
    life: int


class Looks(NamedTuple):
    """What its shell reads from a core between two steps."""

    epoch: int
    ping: Ping
    connected: tuple[str, ...]
    listed: tuple[str, ...]
    heard: dict[str, Views]


class SentinelPart:
    """All that the three sentinels can do, as functions of numbers."""

    def __init__(self, build: Build, things: Numbers[Thing], histories: Histories) -> None:
        self.sides: Numbers[SentinelSide] = Numbers()
        self.events: Numbers[fx.Happening] = Numbers()
        self.shelf = Shelf()
        self._build = build
        self._things = things
        self._histories = histories
        self._fed: dict[tuple[int, int, int, int], Reaction] = {}
        self._looks: dict[int, Looks] = {}

    def start(self, who: int, disk: fx.VoteState, life: int, instant: int) -> int:
        """A process begins with what is on its disk."""
        config = SENTINEL_CONFIGS[SENTINELS[who]]
        state = fx.VoteState() if self._build.forgets_votes else disk
        core = Sentinel(config, state, version=VERSION, random=no_dice, wall=no_clock, now=seconds(instant))
        self._build.prepare_sentinel(core)
        return self.sides.of(SentinelSide(core=self.shelf.put(core), disk=disk, life=life))

    def die(self, who: int, side: int, written: fx.VoteState | None) -> Reaction:
        """`written`: the write that was under way and has reached the disk, if it has."""
        was = self.sides[side]
        notes: list[Note] = [] if written is None else [("disk_written", (SENTINELS[who], was.disk, written))]
        gone = SentinelSide(core=None, disk=was.disk if written is None else written, life=was.life + 1)
        return Reaction(self.sides.of(gone), (), self._noted(notes))

    def feed(self, who: int, side: int, instant: int, event: int) -> Reaction:
        key = (who, side, instant, event)
        known = self._fed.get(key)
        if known is None:
            known = self._fed[key] = self._step(who, self.sides[side], instant, self.events[event], [])
        return known

    def saved(self, who: int, side: int, instant: int, state: fx.VoteState) -> Reaction:
        """Written and acknowledged. Both at once: between the two only this sentinel's own disk is different, which nobody
        can see unless it crashes, and that is a move of its own (`die`)."""
        was = self.sides[side]
        notes: list[Note] = [
            ("disk_written", (SENTINELS[who], was.disk, state)),
            ("vote_acked", (SENTINELS[who], state)),
        ]
        return self._step(who, replace(was, disk=state), instant, fx.VoteSaved(state), notes)

    def not_saved(self, who: int, side: int, instant: int, state: fx.VoteState, *, renamed: bool) -> Reaction:
        """The write failed. `renamed`: the new file has its name already, and the directory could not be synced."""
        was = self.sides[side]
        notes: list[Note] = [("disk_written", (SENTINELS[who], was.disk, state))] if renamed else []
        now_has = replace(was, disk=state) if renamed else was
        return self._step(who, now_has, instant, fx.VoteNotSaved(state, "disk full"), notes)

    def looks(self, who: int, side: int) -> Looks:
        known = self._looks.get(side)
        if known is None:
            core: Sentinel = self.shelf.take(self._running(side))
            ping = Ping(
                sender=SENTINELS[who],
                number=0,
                record=core.record,
                voted_epoch=core.voter.state.voted_epoch,
                sentinels=len(SENTINELS),
            )
            connected = tuple(view.id for view in core.watch.nodes.values() if view.connected)
            heard = {peer: replace(heard.views, ask=False) for peer, heard in core.watch.heard.items()}
            known = Looks(core.record.epoch, ping, connected, tuple(core.watch.nodes), heard)
            self._looks[side] = known
        return known

    def describe(self, side: int) -> list[str]:
        """For people: what it sees and at what stage its campaign is."""
        core: Sentinel = self.shelf.take(self._running(side))
        down = [
            f"sees {view.id} {_how_down(view)}" for view in core.watch.nodes.values() if view.down_since is not None
        ]
        stage = f"is at {core.campaign.phase.name} {core.campaign.epoch}"
        tilt = ["is in tilt"] if core.watch.tilt else []
        return [stage, f"knows epoch {core.record.epoch}", *down, *tilt]

    def _running(self, side: int) -> int:
        core = self.sides[side].core
        assert core is not None
        return core

    # --- one step ---

    def _step(self, who: int, side: SentinelSide, instant: int, event: fx.Happening, notes: list[Note]) -> Reaction:
        assert side.core is not None
        core: Sentinel = self.shelf.take(side.core)
        name, now = SENTINELS[who], seconds(instant)
        record, choice = core.record, core.voter.choice
        try:
            effects = core.step(event, now)
            if isinstance(event, fx.Ticked) and core.deadline() <= now:
                notes.append(("violate", ("a deadline that was met is over", f"{name} would spin")))
        except Exception as error:
            notes.append(("violate", ("the core raises nothing", f"{name} at {event}: {error!r}")))
            return Reaction(self.sides.of(side), (), self._noted(notes))
        if core.voter.choice is not choice:
            notes += self._chose(core, effects, name)
        if core.record != record:
            notes.append(("learned", (name, record, core.record)))
        things: list[Thing] = []
        for effect in effects:
            self._perform(effect, who, core, side.disk, instant, things, notes)
        after = self.sides.of(replace(side, core=self.shelf.put(core)))
        return Reaction(after, tuple(self._things.of(thing) for thing in things), self._noted(notes))

    def _noted(self, notes: list[Note]) -> tuple[int, ...]:
        return tuple(self._histories.notes.of(note) for note in notes)

    @staticmethod
    def _chose(core: Sentinel, effects: list[fx.Effect], name: str) -> list[Note]:
        """This step may have decided a vote. Whoever was down at that moment and is up after the step rose within it."""
        choice = core.voter.choice
        if choice is None or choice.voted_for == name:
            return []
        rose = any(isinstance(e, fx.Emit) and e.name == "-sdown" and e.subject == core.record.node for e in effects)
        up = not (core.watch.master_is_down() or rose)
        return [("vote_decided", (name, choice.voted_epoch, core.watch.tilt, up))]

    @staticmethod
    def _perform(
        effect: fx.Effect,
        who: int,
        core: Sentinel,
        disk: fx.VoteState,
        instant: int,
        things: list[Thing],
        notes: list[Note],
    ) -> None:
        match effect:
            case fx.SendPeer(to, message):
                if isinstance(message, VoteReply) and message.granted:
                    notes.append(("vote_told", (SENTINELS[who], message.epoch, to, disk)))
                things.append(Said(who, NUMBER[to], message))
            case fx.SaveVote(state):
                things.append(Writing(who, state))
            case fx.Award(record):
                things.append(Asked(who, "award", record, instant))
            case fx.Repair(record):
                things.append(Asked(-1, "repair", record, 0))
            case fx.Emit(name="+elected-leader", epoch=epoch):
                notes.append(("elected", (epoch, SENTINELS[who], core.membership.members)))
            case _:
                pass  # announcements and reports: whoever reads the record may do so at any time anyway


def _how_down(view: NodeView) -> str:
    return f"{'objectively' if view.objectively_down else 'subjectively'} down ({view.down_cause})"
