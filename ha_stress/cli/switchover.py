"""A switchover from the outside: ask, wait until another master acts, or take the wish back and say why not.

status --> ask --> status, until the epoch is higher and its master acts --> events: how long nobody acted
              \\--> timeout: withdraw, look once more, explain
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from ha_stress.base.errors import Conflict, NotFound, Unavailable
from ha_stress.cli.client import Client

POLL_S: Final = 0.02
#: Events of the new master come through its outbox, shortly after what they tell of.
EVENTS_WITHIN_S: Final = 5.0
_EVENTS_READ: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`duration_ms` from the question to a master that is seen acting; `gap_ms` from the record that named it to its first
    act: as long there was no acting master at the most. None where the events do not tell."""

    ok: bool
    old: str
    new: str
    epoch: int
    duration_ms: float
    gap_ms: float | None = None
    why: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        document = asdict(self) | {"from": self.old, "to": self.new, "notes": list(self.notes)}
        return {key: document[key] for key in document if key not in ("old", "new")}


def hand_over(client: Client, to: str, timeout_s: float) -> Outcome:
    """Ask and wait. Never raises for what cannot be done: that is an outcome with a reason."""
    before = client.status()
    old, epoch = (before["master"] or {}).get("node", ""), before["epoch"]
    began = time.monotonic()
    notes: list[str] = []
    try:
        notes = client.ask_switchover(to, epoch).get("notes", [])
    except (Conflict, NotFound) as error:
        # Asked again at another node because the first answer was lost, the wish may have come true meanwhile.
        if client.status()["epoch"] == epoch:
            return Outcome(ok=False, old=old, new="", epoch=epoch, duration_ms=0.0, why=str(error))
    try:
        status = _wait(client, lambda found: _moved(found, epoch), began + timeout_s)
    except KeyboardInterrupt:
        client.withdraw_switchover()  # who gives up waiting does not want it any more
        raise
    withdrawn = False
    if status is None:
        client.withdraw_switchover()
        withdrawn = True
        found = client.status()  # it may have come true in this very moment
        status = found if _moved(found, epoch) else None
    took_ms = round((time.monotonic() - began) * 1000, 1)
    if status is None:
        why = f"not done within {timeout_s:g} s, so the wish was withdrawn; {_why_not(client)}"
        return Outcome(ok=False, old=old, new="", epoch=epoch, duration_ms=took_ms, why=why, notes=tuple(notes))
    new = status["master"]["node"]
    if to and new != to:
        why = f"{new} is master now, not {to}: something else happened meanwhile, see `ha-stress failovers`"
        return Outcome(ok=False, old=old, new=new, epoch=status["epoch"], duration_ms=took_ms, why=why)
    if withdrawn:
        notes = [*notes, "it came true after the time was up, before the wish was withdrawn"]
    return Outcome(
        ok=True,
        old=old,
        new=new,
        epoch=status["epoch"],
        duration_ms=took_ms,
        gap_ms=_gap_ms(client, status["epoch"]),
        notes=tuple(notes),
    )


def _moved(status: Mapping[str, Any], epoch: int) -> bool:
    return bool(status["epoch"] > epoch and status["master"] and status["master"]["acting"])


def _wait(client: Client, done: Callable[[Mapping[str, Any]], bool], deadline: float) -> dict[str, Any] | None:
    """The first status that is `done`; None at the deadline. Nodes that do not answer are asked again."""
    while time.monotonic() < deadline:
        try:
            status = client.status()
        except Unavailable:
            status = None
        if status is not None and done(status):
            return status
        time.sleep(POLL_S)
    return None


def _gap_ms(client: Client, epoch: int) -> float | None:
    """From the record that names the new master to its first act, on the clock of Redis."""
    deadline = time.monotonic() + EVENTS_WITHIN_S
    while time.monotonic() < deadline:
        events = [event for event in client.events(limit=_EVENTS_READ) if event["epoch"] == epoch]
        named = next((event["at_ms"] for event in events if event["name"] == "+switch-master"), None)
        acted = next((event["at_ms"] for event in events if event["name"] == "+acting"), None)
        if named is not None and acted is not None:
            return float(max(0, acted - named))
        time.sleep(POLL_S)
    return None


def _why_not(client: Client) -> str:
    try:
        document = client.explain()
    except Unavailable as error:
        return f"why is not known: {error}"
    reasons = [
        f"{one['id']}: {reason}"
        for one in document["sentinels"]
        for reason in (one["explanation"].get("why_no_failover", []) if one["ok"] else [one["problem"]])
    ]
    dropped = {
        f"{row['node']} {row['dropped']}"
        for one in document["sentinels"]
        if one["ok"]
        for row in one["explanation"].get("candidates", [])
        if row.get("dropped")
    }
    words = [document["summary"], *reasons[:6], *(["candidates: " + "; ".join(sorted(dropped))] if dropped else [])]
    return " | ".join(words)


def membership_reached(status: Mapping[str, Any], version: int, members: list[str]) -> int:
    """How many of the members have this membership on disk."""
    return sum(one["id"] in members and one.get("members_version", 0) >= version for one in status["sentinels"])


def wait_membership(client: Client, changed: Mapping[str, Any], timeout_s: float) -> tuple[bool, int]:
    """Wait until a majority of the new members has it on disk; how many have."""
    membership = changed["membership"]
    members, version = membership["members"], membership["version"]
    majority = len(members) // 2 + 1
    deadline = time.monotonic() + timeout_s
    reached = _wait(client, lambda status: membership_reached(status, version, members) >= majority, deadline)
    have = membership_reached(reached or client.status(), version, members)
    return reached is not None, have
