"""Rules about the servers that the cluster stands on: Redis, the database, and everybody's clocks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

from ha_stress.doctor.facts import Facts
from ha_stress.doctor.finding import Finding, listed, ok, problem, span, warning

SKEW_MAX_S: Final = 1.0


def redis(facts: Facts) -> Iterator[Finding]:
    if facts.redis_unreadable:
        yield problem(
            "redis data",
            facts.redis_problem,
            fault=f"somebody else writes to Redis at {facts.redis}, or a newer version of ours does",
            cure="delete that key if it is not a newer version's: who knows what belongs there writes it back; "
            "nothing can be elected meanwhile, and the load goes on",
        )
        return
    if facts.redis_problem:
        yield problem(
            "redis",
            facts.redis_problem,
            fault=f"Redis at {facts.redis}, or the network on the way to it",
            cure="start it or mend the way; the load goes on meanwhile, nothing can be elected or changed",
        )
        return
    server = facts.server
    replica = server.get("role", "master") not in ("master", "")
    if facts.write_problem and not replica:
        yield problem(
            "redis writes",
            facts.write_problem,
            fault=f"Redis at {facts.redis}: its memory, its disk, its replicas, or the rights of our user",
            cure="do what it says; the load goes on meanwhile, nothing can be elected or changed",
        )
    yield from _persistence(facts)
    policy = server.get("config:maxmemory-policy", server.get("maxmemory_policy", ""))
    if policy.startswith("allkeys") and server.get("maxmemory", "0") != "0":
        yield problem(
            "redis memory",
            f"Redis may drop any key when its memory is full (maxmemory-policy {policy}), the mastership record too",
            fault=f"the settings of Redis at {facts.redis}",
            cure="CONFIG SET maxmemory-policy noeviction, and in its configuration file",
        )
    if replica:
        yield problem(
            "redis role",
            f"Redis at {facts.redis} is a replica: it takes no writes",
            fault="the URL that the processes were given",
            cure="give every process the URL of the primary",
        )


def _persistence(facts: Facts) -> Iterator[Finding]:
    server = facts.server
    if not server:
        return
    aof = server.get("config:appendonly", "") == "yes" or server.get("aof_enabled", "") == "1"
    refused = "config_problem" in server
    saves = bool(server.get("config:save", ""))
    fault = f"the settings of Redis at {facts.redis}"
    failed = [
        what
        for what, field in (("append-only file", "aof_last_write_status"), ("snapshot", "rdb_last_bgsave_status"))
        if server.get(field, "ok") != "ok"
    ]
    if failed:
        yield problem(
            "redis persistence",
            f"the last write of its {listed(failed)} failed",
            fault=f"the disk of Redis at {facts.redis}",
            cure="free space on it, or mend it; the log of Redis says what it met",
        )
    elif aof:
        yield ok("redis persistence", "Redis keeps an append-only file")
    elif refused:
        last_save = float(server.get("rdb_last_save_time", "0") or 0)
        age = f"; its last snapshot is {span(facts.redis_time_s - last_save)} old" if last_save else ""
        yield warning(
            "redis persistence",
            f"Redis keeps no append-only file, and does not let us read its settings (CONFIG is refused){age}"
            if "aof_enabled" in server
            else "whether Redis keeps an append-only file is not known: our user may not look (INFO and CONFIG are refused)",
            fault="unknown: hosted servers often refuse CONFIG, and so do the rights of a user without +@dangerous",
            cure="look at your provider's page, or let our user look (+info +config|get): turn the append-only file on",
        )
    elif saves:
        yield warning(
            "redis persistence",
            f"Redis only takes snapshots now and then (save {server['config:save']}): after a crash it comes back "
            "with old records, and result frames since the last snapshot are sent again",
            fault=fault,
            cure="CONFIG SET appendonly yes, and in its configuration file",
        )
    else:
        yield warning(
            "redis persistence",
            "Redis keeps nothing on disk: after a restart, nodes and sentinels write back what they know, and events "
            "are gone, with the failovers that the database does not have yet",
            fault=fault,
            cure="CONFIG SET appendonly yes, and in its configuration file",
        )


def database(facts: Facts) -> Iterator[Finding]:
    if facts.database is None:
        return
    if facts.database != "ok":
        yield problem(
            "database",
            facts.database,
            fault=f"the database, or the way to it from {facts.asked_by}",
            cure="mend it; until then the load goes on and frames wait in Redis, but no task can be created or changed",
        )
    else:
        yield ok("database", "the database answers")


def clocks(facts: Facts) -> Iterator[Finding]:
    """Nothing is elected by wall clocks, but a schedule begins by them, and descriptions are aged by them."""
    if facts.our_skew_s is None:
        return
    us = f"{facts.asked_by}, which answers this" if facts.asked_by else "this machine, which asks"
    skews = {us: facts.our_skew_s} | dict(facts.watched.skew_s)
    if facts.asked_by:
        skews.pop(f"node {facts.asked_by}", None)
    off = {name: skew for name, skew in skews.items() if abs(skew) > SKEW_MAX_S}
    if not off:
        yield ok("clocks", f"all clocks agree to about {SKEW_MAX_S:g} s")
        return
    if len(skews) > 2 and len(off) == len(skews) and max(off.values()) - min(off.values()) < 2 * SKEW_MAX_S:
        typical = median(off.values())
        yield warning(
            "clocks",
            f"the clock of Redis is {_apart(-typical)} all others",
            fault=f"the host of Redis at {facts.redis}",
            cure="let it keep time (chrony, ntpd): the times of events are wrong",
        )
        return
    for name, skew in sorted(off.items()):
        yield warning(
            "clocks",
            f"the clock of {name} is {_apart(skew)} that of Redis",
            fault=f"the host of {name}",
            cure="let it keep time (chrony, ntpd): schedules begin by the wall clock, so its part of a load is shifted",
        )


def _apart(skew_s: float) -> str:
    return f"at least {span(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'}"
