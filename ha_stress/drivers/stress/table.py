"""Who owns which slot of a revision's table: pure arithmetic on lists of owners.

apportion   a whole number over weights, by the largest remainder; the sum is exact
first       a new table, in which everybody's slots are evenly spaced
hand_over   only the leavers' slots move
level       everybody gets the target of their weight, with the fewest moves
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from ha_stress.base.limits import SLOTS_MIN, SLOTS_PER_NODE
from ha_stress.tasks.schedule import Holder
from ha_stress.tasks.turns import spread

Owners = tuple[Holder, ...]  # Owners[slot] is the owner of that slot


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Split `total` in proportion to `weights`, exactly; the largest remainders get the rest, the earlier on a tie.

    Example: 10 over 1, 1, 1 is 4, 3, 3. (The original's integer division made it 3, 3, 3 and lost rate.)
    """
    assert total >= 0
    assert weights, "nobody to share with"
    assert all(weight >= 0 for weight in weights)
    exact = [Fraction(weight) for weight in weights]
    whole = sum(exact)
    assert whole > 0, "somebody needs a weight above 0"
    quotas = [total * weight / whole for weight in exact]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(counts)), key=lambda i: (counts[i] - quotas[i], i))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def first(weights: Sequence[tuple[Holder, float]], slots: int | None = None) -> Owners:
    """The table of a new task; in the closed model it has as many slots as users."""
    holders = [holder for holder, _ in weights]
    assert len(set(holders)) == len(holders)
    counts = apportion(slots or slots_wanted(len(holders)), [weight for _, weight in weights])
    return tuple(holders[index] for index in spread(counts))


def slots_wanted(holders: int) -> int:
    return max(SLOTS_MIN, SLOTS_PER_NODE * holders)


def hand_over(owners: Owners, leavers: Collection[Holder], heirs: Sequence[Holder]) -> Owners:
    """Give the slots of `leavers` to `heirs`, in proportion to what these own already; nothing else moves."""
    assert heirs
    assert not set(heirs) & set(leavers)
    free = [slot for slot, owner in enumerate(owners) if owner in leavers]
    owned = Counter(owners)
    have = [float(owned[heir]) for heir in heirs]
    counts = apportion(len(free), have if any(have) else [1.0] * len(heirs))
    return _give(owners, free, heirs, counts)


def level(owners: Owners, weights: Sequence[tuple[Holder, float]], *, grow: bool = True) -> Owners:
    """Give each of `weights` its proportion, and nobody else anything, with the fewest moves.

    A table too small for so many holders is repeated first, which moves nothing; unless its slots are users (`grow`).
    """
    if grow:
        owners = owners * -(-slots_wanted(len(weights)) // len(owners))
    holders = [holder for holder, _ in weights]
    counts = apportion(len(owners), [weight for _, weight in weights])
    targets: Mapping[Holder, int] = dict(zip(holders, counts, strict=True))
    owned = _slots_by_owner(owners)
    free = sorted(
        slot for owner, slots in owned.items() for slot in _surplus(slots, len(slots) - targets.get(owner, 0))
    )
    short = [max(0, targets[holder] - len(owned.get(holder, ()))) for holder in holders]
    return _give(owners, free, holders, short)


def _give(owners: Owners, slots: Sequence[int], heirs: Sequence[Holder], counts: Sequence[int]) -> Owners:
    assert len(slots) == sum(counts)
    changed = list(owners)
    for slot, index in zip(slots, spread(counts), strict=True):
        changed[slot] = heirs[index]
    return tuple(changed)


def _surplus(slots: Sequence[int], count: int) -> list[int]:
    """`count` of `slots`, evenly spaced, so that what remains stays evenly spaced too."""
    if count <= 0:
        return []
    return [slots[(2 * k + 1) * len(slots) // (2 * count)] for k in range(count)]


def _slots_by_owner(owners: Owners) -> dict[Holder, list[int]]:
    slots: dict[Holder, list[int]] = {}
    for slot, owner in enumerate(owners):
        slots.setdefault(owner, []).append(slot)
    return slots
