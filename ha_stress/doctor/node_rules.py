"""Rules about the nodes: is there a master that acts, could another follow it, what did the operator leave behind. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from ha_stress.cluster.controls import Tags
from ha_stress.cluster.members import NodeInfo, Role
from ha_stress.doctor.facts import Facts
from ha_stress.doctor.finding import Finding, counted, listed, ok, problem, span, warning

PAUSED_LONG_S: Final = 3600.0
#: A switchover that can be done is done in well under a second, and sentinels give up after ten.
WISH_OPEN_S: Final = 15.0
LAG_S: Final = 0.25
_UNTAGGED: Final = Tags()


def mastership(facts: Facts) -> Iterator[Finding]:
    record = facts.record
    if facts.redis_problem:
        return
    if not record.epoch:
        waits = "" if facts.watched.nodes else " and no node lives"
        yield problem(
            "master",
            f"there has been no master yet{waits}",
            fault="a first master needs a node, and a majority of the sentinels that tells it that there was none before",
            cure=f"start nodes and sentinels, and look at their logs; if they run: is {facts.cluster} their --cluster?",
        )
        return
    info = next((one for one in facts.watched.nodes if one.id == record.node), None)
    named = info is not None and record.held_by(info.id, info.incarnation)
    if info is not None and named and info.acting and info.epoch == record.epoch:
        yield ok("master", f"{record.node} is the master of epoch {record.epoch} and acts")
        return
    why = (
        f"{record.node} does not describe itself any more"
        if info is None
        else f"{record.node} was restarted since it was named"
        if not named
        else f"{record.node} lives, but cannot renew its lease"
    )
    reasons = Counter(reason for one in facts.seen for reason in one.why_no_failover)
    because = f"; the sentinels say: {reasons.most_common(1)[0][0]}" if reasons else ""
    yield problem(
        "master",
        f"no master acts: {why}{because}",
        fault="see what else is found here: a failover takes a majority of sentinels, Redis, and a node that may win",
        cure="ha-stress resume" if facts.controls.paused else "ha-stress explain says what each sentinel waits for",
    )


def successors(facts: Facts) -> Iterator[Finding]:
    """Whether anybody could follow the master; by what the sentinels say, or else by what the nodes say."""
    if facts.redis_problem or not facts.watched.nodes:
        return
    others = [info for info in facts.watched.nodes if info.id != facts.record.node]
    if not others:
        yield problem(
            "successor",
            f"{facts.record.node or 'there'} is the only node: nobody could follow it",
            fault="how the cluster was set up",
            cure="start a second node",
        )
        return
    dropped = {info.id: why_unfit(info, facts) for info in others}
    if all(dropped.values()):
        yield problem(
            "successor",
            "nobody may follow the master: " + "; ".join(f"{node} is {why}" for node, why in dropped.items()),
            fault="the tags and settings of the nodes",
            cure=f"ha-stress tag {others[0].id} --no-priority --no-draining",
        )
        return
    winners = sorted({one.would_win for one in facts.seen if one.would_win})
    if facts.seen and not winners and facts.record.epoch:
        rows = next((one.candidates for one in facts.seen if one.candidates), ())
        yield problem(
            "successor",
            "the sentinels would choose nobody: " + "; ".join(f"{row.node}: {row.dropped}" for row in rows),
            fault="see each candidate's reason",
            cure="ha-stress explain shows the table; make one of them fit",
        )
    elif winners:
        yield ok("successor", f"{listed(winners)} would follow the master")


def why_unfit(info: NodeInfo, facts: Facts) -> str:
    """Why the operator's words, or the node's own, keep it from being master; "" if they do not."""
    tags = facts.controls.tags.get(info.id, _UNTAGGED)
    if (info.priority if tags.priority is None else tags.priority) == 0:
        return "of priority 0"
    if tags.draining or info.draining:
        return "draining"
    if info.leaving or info.role is Role.LEAVING:
        return "leaving"
    return "" if info.healthy else "unhealthy by its own words"


def wishes(facts: Facts) -> Iterator[Finding]:
    """What the operator asked for and may have forgotten."""
    controls = facts.controls
    if facts.controls_problem:
        yield problem(
            "controls",
            f"what the operator asked for cannot be read: {facts.controls_problem}",
            fault="another version wrote it, or somebody by hand",
            cure=f"delete the key hs:{{{facts.cluster}}}:controls: a sentinel writes the last good one back",
        )
    if controls.paused:
        age = _since(facts, "+paused")
        yield warning(
            "paused",
            f"failovers are paused{f' for {span(age)}' if age is not None else ''}"
            + (f" ({controls.pause_why})" if controls.pause_why else "")
            + (": longer than most work takes" if age is not None and age > PAUSED_LONG_S else ""),
            fault="the operator asked for it; a master that dies now is not replaced",
            cure="ha-stress resume",
        )
    wish = controls.switchover_at(facts.record.epoch)
    age = _since(facts, "+switchover")
    if wish is not None and (age is None or age > WISH_OPEN_S):
        yield warning(
            "switchover",
            f"a switchover{f' to {wish.to}' if wish.to else ''} was asked for and not done"
            + (f" for {span(age)}" if age is not None else ""),
            fault="nobody withdrew the wish; sentinels follow it no more",
            cure="ha-stress switchover asks again; ha-stress explain says what is in its way",
        )
    gone = [node for node in controls.tags if node not in {info.id for info in facts.watched.nodes}]
    if gone and not facts.redis_problem:
        yield warning(
            "tags",
            f"{listed(gone)} {'has' if len(gone) == 1 else 'have'} tags and {'is' if len(gone) == 1 else 'are'} not there",
            fault="a node that is down, or left for good",
            cure=f"if it is gone for good: ha-stress tag {gone[0]} --no-priority --no-draining",
        )


def _since(facts: Facts, name: str) -> float | None:
    last = next((event for event in reversed(facts.events) if event.name == name), None)
    return None if last is None else max(0.0, facts.redis_time_s - last.at_ms / 1000)


def nodes(facts: Facts) -> Iterator[Finding]:
    if facts.write_problem:  # nobody can describe itself: that proves nothing about anybody
        return
    living = {info.id for info in facts.watched.nodes}
    silent = sorted(set(facts.registered) - living)
    if silent and not living:
        yield problem(
            "nodes",
            f"no node lives: {listed(silent)} {'was' if len(silent) == 1 else 'were'} killed, or cannot reach Redis",
            fault="see their logs",
            cure="start them again: the sentinels choose a master among them, and tasks go on from their books",
        )
    elif silent:
        yield warning(
            "nodes",
            f"{listed(silent)} {'is' if len(silent) == 1 else 'are'} registered and no longer there",
            fault="killed, or cut off from Redis, without saying goodbye",
            cure="start it again, or let it be: the acting master gives its share to others",
        )
    taken = Counter(info.sequence for info in facts.watched.nodes)
    for sequence in sorted(number for number, count in taken.items() if count > 1):
        pair = [info.id for info in facts.watched.nodes if info.sequence == sequence]
        yield problem(
            "sequence",
            f"{listed(pair)} have the same sequence number {sequence}",
            fault="Redis lost the sequence numbers, or they were changed by hand",
            cure=f"restart {pair[-1]}: it is given another one",
        )
    for one in facts.dialled:
        if one.problem and not one.refused_secret and one.id in living:
            yield problem(
                "mesh",
                f"node {one.id} describes itself in Redis, but its mesh endpoint does not answer: {one.problem}",
                fault=f"the network to {one.id}, or its --advertise-host; sentinels may hold it to be down",
                cure="open its mesh port, and let it advertise an address that the others reach",
            )
    yield from _state(facts)


def _state(facts: Facts) -> Iterator[Finding]:
    infos = facts.watched.nodes
    lost = [f"{info.id} {info.frames_lost}" for info in infos if info.frames_lost]
    if lost:
        yield problem(
            "results",
            f"result frames were lost: {listed(lost)}",
            fault="Redis or the database was away for longer than a worker keeps its frames",
            cure="the books of the tasks of that time name the missing arrivals as uncovered",
        )
    slow = [f"{info.id} {info.loop_lag_s * 1000:.0f} ms" for info in infos if info.loop_lag_s > LAG_S]
    slow += [f"{info.id} {info.loop_lag_s * 1000:.0f} ms" for info in facts.living_sentinels if info.loop_lag_s > LAG_S]
    if slow:
        yield warning(
            "load",
            f"loops come late: {listed(slow)}",
            fault="their hosts have no processor time to give",
            cure="lower the rate or the number of --engines there, or move it to a larger host",
        )
    versions = sorted({info.version for info in infos} | {info.version for info in facts.living_sentinels})
    versions = [version for version in versions if version]
    if len(versions) > 1:
        yield warning(
            "versions",
            f"{len(versions)} versions run: {listed(versions)}",
            fault="an upgrade that is under way, or was not finished",
            cure="finish it; a node of another minor version is not chosen as master",
        )
    if infos:
        yield ok("nodes", f"{counted(len(infos), 'node')} live")


def history(facts: Facts) -> Iterator[Finding]:
    missing = sum(after.sequence - before.sequence - 1 for before, after in pairwise(facts.events))
    if missing > 0:
        yield warning(
            "events",
            f"{counted(missing, 'event')} of the history cannot be read, or are missing from it",
            fault="somebody changed the stream by hand, or a newer version wrote to it",
            cure="the database keeps all failovers: ha-stress failovers",
        )
    lost = [event for event in facts.events if event.name == "+events-lost"]
    if lost:
        yield warning(
            "events",
            f"{lost[-1].source} had to drop events while Redis was away",
            fault="an outage of Redis",
            cure="the logs of that process have them",
        )
