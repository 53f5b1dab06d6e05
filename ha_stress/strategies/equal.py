"""Everybody alike, in the order of their sequence numbers.

Example: members c(3), a(1), b(2) give a 1.0, b 1.0, c 1.0.
"""

from __future__ import annotations

from collections.abc import Sequence

from ha_stress.cluster.members import NodeInfo


def equal(members: Sequence[NodeInfo]) -> list[tuple[NodeInfo, float]]:
    return [(member, 1.0) for member in sorted(members, key=lambda member: (member.sequence, member.id))]
