"""From several looks at the registry to who lives, whose id is used twice, and whose clock is wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ha_stress.cluster.members import NodeInfo, SentinelInfo
from ha_stress.doctor.facts import Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The registry at one moment, on the clock of Redis. `nodes` None: only the sentinels were read."""

    at_s: float
    sentinels: Sequence[SentinelInfo]
    nodes: Sequence[NodeInfo] | None = None


def watched(looks: Sequence[Look]) -> Watched:
    """What the looks, oldest first, say together."""
    if not looks:
        return Watched()
    incarnations: dict[str, list[str]] = {}
    published: dict[str, list[tuple[float, float]]] = {}  # (when it was read, sent_at) of each
    for look in looks:
        for kind, infos in (("node", look.nodes or ()), ("sentinel", look.sentinels)):
            for info in infos:
                known = incarnations.setdefault(f"{kind} {info.id}", [])
                if not known or known[-1] != info.incarnation:
                    known.append(info.incarnation)
                published.setdefault(f"{kind} {info.id}", []).append((look.at_s, info.sent_at))
    skews = {name: _skew(points) for name, points in published.items()}
    last_nodes = next((look.nodes for look in reversed(looks) if look.nodes is not None), ())
    return Watched(
        nodes=tuple(last_nodes),
        sentinels=tuple(looks[-1].sentinels),
        living=frozenset(
            name.partition(" ")[2]
            for name, points in published.items()
            if name.startswith("sentinel ") and len({sent_at for _, sent_at in points}) > 1
        ),
        incarnations={name: tuple(seen) for name, seen in incarnations.items()},
        skew_s={name: skew for name, skew in skews.items() if skew is not None},
    )


def _skew(points: Sequence[tuple[float, float]]) -> float | None:
    """How far the clock is ahead at least; negative: behind. None if nothing was published while we looked.

    What is new at one look was published after the look before it, so its true time lies between the two.
    """
    bounds: list[tuple[float, float]] = []
    for (before_s, old), (after_s, new) in pairwise(points):
        if new != old:
            bounds.append((new - after_s, new - before_s))
    if not bounds:
        return None
    least, most = max(low for low, _ in bounds), min(high for _, high in bounds)
    return least if least > 0 else most if most < 0 else 0.0
