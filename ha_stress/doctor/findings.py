"""All rules over all facts: `findings(facts)`, worst first, and one sentence for a tired person. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ha_stress.doctor import node_rules, sentinel_rules, server_rules
from ha_stress.doctor.facts import Facts
from ha_stress.doctor.finding import Finding, Severity, counted

#: In the order in which a person would look.
RULES: Final[tuple[Callable[[Facts], Iterable[Finding]], ...]] = (
    server_rules.redis,
    node_rules.mastership,
    sentinel_rules.answers,
    sentinel_rules.clones,
    sentinel_rules.agreement,
)
#: What Redis would have to tell first.
_WITH_REDIS: Final[tuple[Callable[[Facts], Iterable[Finding]], ...]] = (
    sentinel_rules.number,
    sentinel_rules.votes,
    node_rules.successors,
    node_rules.wishes,
    node_rules.nodes,
    node_rules.history,
    server_rules.clocks,
)
_ORDER: Final = (Severity.PROBLEM, Severity.WARNING, Severity.OK)


def findings(facts: Facts) -> list[Finding]:
    """Problems first, then warnings, then what was looked at and is well."""
    found = list(_all(facts))
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))


def _all(facts: Facts) -> Iterator[Finding]:
    for rule in RULES:
        yield from rule(facts)
    if not facts.redis_problem:
        for rule in _WITH_REDIS:
            yield from rule(facts)
    yield from server_rules.database(facts)


def verdict(found: list[Finding]) -> str:
    """The one sentence that comes first."""
    problems = [one for one in found if one.severity is Severity.PROBLEM]
    warnings = [one for one in found if one.severity is Severity.WARNING]
    if problems:
        more = f" ({counted(len(problems), 'problem')}, {counted(len(warnings), 'warning')})"
        return f"Something is wrong: {problems[0].found}{more}."
    if warnings:
        return f"The cluster works, and {counted(len(warnings), 'thing')} should be looked at: {warnings[0].found}."
    return "All is well: everything that was looked at is as it should be."
