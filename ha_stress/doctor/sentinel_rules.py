"""Rules about the sentinels: are they enough, are they one, can they vote. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from ha_stress.doctor.facts import Facts
from ha_stress.doctor.finding import Finding, counted, listed, ok, problem, span, warning

#: A vote that could not be written is told for this long.
RECENT_S: Final = 3600.0


def number(facts: Facts) -> Iterator[Finding]:
    """Enough of them, and enough of them alive."""
    members, living = facts.members, facts.living_sentinels
    if not facts.watched.sentinels or not living:
        known = listed(info.id for info in facts.watched.sentinels)
        yield problem(
            "sentinels",
            f"no sentinel lives (known from before: {known})" if facts.watched.sentinels else "there are no sentinels",
            fault="nobody watches the master: when it dies, nobody elects another",
            cure="start three: ha-stress sentinel --id s1 --members s1,s2,s3 ...",
        )
        return
    alive = [info.id for info in living if info.id in members]
    dead = [member for member in members if member not in alive]
    if len(alive) < facts.majority:
        yield problem(
            "quorum",
            f"{len(alive)} of {counted(len(members), 'sentinel')} live, and a failover takes {facts.majority}: "
            "none is possible",
            fault=f"{listed(dead)} {'is' if len(dead) == 1 else 'are'} down",
            cure=f"start {listed(dead)} again, each with its own data directory",
        )
    elif dead:
        spare = len(alive) - facts.majority
        left = "one more loss and no failover is possible" if not spare else f"{spare} more may be lost"
        yield warning(
            "quorum",
            f"{listed(dead)} {'is' if len(dead) == 1 else 'are'} down; {left}",
            fault=listed(dead),
            cure=f"start {listed(dead)} again; if it is gone for good: ha-stress sentinels remove {dead[0]}",
        )
    else:
        yield ok(
            "quorum", f"{len(alive)} of {counted(len(members), 'sentinel')} live, a failover takes {facts.majority}"
        )
    yield from _quorum(facts, len(alive))
    yield from _size(facts)
    strangers = [info.id for info in living if info.id not in members]
    if strangers and members:
        yield warning(
            "membership",
            f"{listed(strangers)} {'runs' if len(strangers) == 1 else 'run'} without being a member: no vote",
            fault="it was not added, or was removed and not stopped",
            cure=f"ha-stress sentinels add {strangers[0]}, or stop it",
        )


def _quorum(facts: Facts, alive: int) -> Iterator[Finding]:
    asked = max((one.quorum for one in facts.seen), default=0)
    if alive >= facts.majority and asked > alive:
        yield problem(
            "quorum",
            f"{asked} sentinels must agree that the master is down, and only {alive} live",
            fault="--quorum is above what is left",
            cure="start the others again, or start the sentinels with a lower --quorum",
        )


def _size(facts: Facts) -> Iterator[Finding]:
    count = len(facts.members)
    if 0 < count < 3:
        yield problem(
            "sentinels",
            f"{counted(count, 'sentinel')} cannot lose one: then nobody can elect a master",
            fault="how the cluster was set up",
            cure="run three, on three hosts",
        )
    elif count and count % 2 == 0:
        yield warning(
            "sentinels",
            f"{count} sentinels survive the loss of {(count - 1) // 2}, as {count - 1} do",
            fault="how the cluster was set up",
            cure=f"add one or remove one: ha-stress sentinels remove {facts.members[-1]}",
        )


def agreement(facts: Facts) -> Iterator[Finding]:
    """On the master and on who they are."""
    masters = {one.sentinel: (one.epoch, one.master.node if one.master else "") for one in facts.seen}
    newest = max([*masters.values(), (facts.record.epoch, facts.record.node)], default=(0, ""))
    behind = sorted(name for name, seen in masters.items() if seen != newest)
    if behind:
        said = "; ".join(f"{name} says {masters[name][1] or 'nobody'} of epoch {masters[name][0]}" for name in behind)
        yield problem(
            "master",
            f"sentinels disagree on the master: it is {newest[1]} of epoch {newest[0]}, but {said}",
            fault=f"{listed(behind)} cannot read Redis, or watches another one",
            cure="compare --redis and --cluster of the sentinels, and look at the log of the one that is behind",
        )
    elif masters and newest[0]:
        agreed = "agrees" if len(masters) == 1 else "agree"
        yield ok("master", f"{counted(len(masters), 'sentinel')} {agreed} on {newest[1]} of epoch {newest[0]}")
    claims = {info.id: (info.members_version, tuple(sorted(info.members))) for info in facts.living_sentinels}
    claims = {name: claim for name, claim in claims.items() if claim[1] and name in facts.members}
    if len(set(claims.values())) > 1:
        usual = Counter(claims.values()).most_common(1)[0][0]
        odd = sorted(name for name, claim in claims.items() if claim != usual)
        said = "; ".join(f"{name} has {', '.join(claims[name][1])} (version {claims[name][0]})" for name in odd)
        yield problem(
            "membership",
            f"sentinels disagree on who they are: most have {', '.join(usual[1])} (version {usual[0]}), but {said}",
            fault=f"{listed(odd)} was started with other --members, or has not heard of the last change",
            cure=f"if it stays so for more than a few seconds: restart {listed(odd)} with the right --members",
        )


def clones(facts: Facts) -> Iterator[Finding]:
    """One id, two processes. Their votes are kept apart, so one of them may vote against the other."""
    for name, seen in sorted(facts.watched.incarnations.items()):
        if len(seen) > 2:
            yield problem(
                "cloned id",
                f"two processes run as {name}: {seen[0]} and {seen[1]} take turns in describing themselves",
                fault="it was started twice with the same --id, or its data directory was copied with it",
                cure="stop one of them, and give it an --id and a --data-dir of its own",
            )
        elif len(seen) == 2:
            yield warning(
                "cloned id",
                f"{name} was another process two seconds ago: it was restarted, or runs twice",
                fault="unknown as yet",
                cure="run ha-stress doctor again: if it says the same, two processes run under one id",
            )
    mine = facts.registered.get(facts.asked_by) if facts.asked_by else None
    if mine is not None and facts.asked_by_incarnation and mine != facts.asked_by_incarnation:
        yield problem(
            "cloned id",
            f"{facts.asked_by}, which answers this, has lost its id to a later process ({mine})",
            fault="a second node was started with the same --id",
            cure="stop one of them, and give it an --id and a --data-dir of its own",
        )
    for one in facts.asked:
        if "answers at its address" in one.problem:
            yield problem(
                "cloned id",
                f"where {one.id} said it listens, another one is found: {one.problem}",
                fault="an --id or a --mesh-port is used twice",
                cure="look at which process listens there, and start it with an id and a port of its own",
            )


def votes(facts: Facts) -> Iterator[Finding]:
    """Can each write its vote, and does it trust itself."""
    for one in facts.seen:
        if one.vote_file:
            yield problem(
                "vote file",
                f"{one.sentinel} cannot write its vote file, so it cannot vote: {one.vote_file}",
                fault=f"the disk of {one.sentinel}",
                cure="free space, or mend the rights of its --data-dir; it tries again by itself",
            )
        if one.tilt:
            yield warning(
                "tilt",
                f"{one.sentinel} is in tilt: its own loop was stalled, so it neither votes nor campaigns",
                fault=f"the host of {one.sentinel} is overloaded, or was suspended",
                cure="it recovers by itself; if it comes back, give the host more room",
            )
        if not one.bus_up and not facts.write_problem:  # then nobody is served, and it is said already
            yield problem(
                "redis",
                f"Redis does not answer {one.sentinel}: it could award nothing",
                fault=f"the way from {one.sentinel} to Redis",
                cure="look at the log of that sentinel, and at its --redis",
            )
    bad = {one.sentinel for one in facts.seen if one.vote_file}
    failed = [event for event in facts.events if event.name == "+vote-file-error" and event.source not in bad]
    recent = [event for event in failed if facts.redis_time_s - event.at_ms / 1000 < RECENT_S]
    if recent:
        last = recent[-1]
        age = span(facts.redis_time_s - last.at_ms / 1000)
        yield warning(
            "vote file",
            f"{last.source} could not write its vote {age} ago: {last.cause}",
            fault=f"the disk of {last.source}",
            cure="it can write now; find out what filled the disk before it does so again",
        )


def answers(facts: Facts) -> Iterator[Finding]:
    """Those that live and cannot be asked, or refuse us. Only a wrong secret is told from a dead process for certain."""
    refused = [f"sentinel {one.id}" for one in facts.asked if one.refused_secret]
    refused += [f"node {one.id}" for one in facts.dialled if one.refused_secret]
    tried = len([one for one in facts.asked if one.ok or one.refused_secret])
    tried += len([one for one in facts.dialled if not one.problem or one.refused_secret])
    if refused and len(refused) == tried:
        yield problem(
            "secret",
            f"every process refuses our secret ({listed(refused)})",
            fault=f"the secret of {facts.asked_by}" if facts.asked_by else "the secret that this command was given",
            cure="give the secret of the cluster: --secret-file FILE, or HA_STRESS_SECRET",
        )
    elif refused:
        yield problem(
            "secret",
            f"{listed(refused)} {'refuses' if len(refused) == 1 else 'refuse'} the secret that {tried - len(refused)} "
            f"other {'process accepts' if tried - len(refused) == 1 else 'processes accept'}",
            fault=f"the --secret of {listed(refused)}: the others cannot talk with it, and it counts as down",
            cure=f"restart {listed(refused)} with the secret of the cluster",
        )
    for one in facts.asked:
        if one.ok or one.refused_secret or one.id not in facts.watched.living:
            continue
        yield problem(
            "mesh",
            f"sentinel {one.id} describes itself in Redis, but does not answer: {one.problem}",
            fault=f"the network to {one.id}, or its --advertise-host",
            cure="open its mesh port, and let it advertise an address that the others reach",
        )
