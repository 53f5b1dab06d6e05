"""The original's default: rank by cpu used (%), then memory used (%), then memory capacity, then seniority.

The rank decides who is chosen when not all are needed; those chosen share alike. An unknown figure ranks after every
known one: a newcomer that has not measured itself yet is not an idle machine (in the original it reported 0 % cpu and
therefore always won).

Example: a 90 % cpu, b unknown, c 10 % give c, a, b.
"""

from __future__ import annotations

from collections.abc import Sequence

from ha_stress.cluster.members import NodeInfo


def resource_priority(members: Sequence[NodeInfo]) -> list[tuple[NodeInfo, float]]:
    return [(member, 1.0) for member in sorted(members, key=_rank)]


def _rank(member: NodeInfo) -> tuple[bool, float, bool, float, int, int, str]:
    return (
        member.cpu_percent is None,
        member.cpu_percent or 0.0,
        member.memory_percent is None,
        member.memory_percent or 0.0,
        -member.memory_total_bytes,
        member.sequence,
        member.id,
    )
