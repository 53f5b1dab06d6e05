"""What the store gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ha_stress.tasks.schedule import Holder, Plan
from ha_stress.tasks.spec import Status, TaskSpec, Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A task as it is stored: the operator's intent and the master's state side by side.

    `spec.rate` is the rate that is wanted now. `intent` begins at 1 and grows by one with each change of intent;
    `seen_intent` is the one that the stored plan answers to. `epoch` is the epoch that wrote the state last, 0 if no
    master has yet. `created_at` and `ended_at` are Unix seconds. `outcome` is what the master found of it: thresholds that
    were broken, the verdicts; empty at first.
    """

    spec: TaskSpec
    wanted: Wanted
    intent: int
    created_at: float
    status: Status
    seen_intent: int
    plan: Plan | None
    epoch: int
    ended_at: float | None
    outcome: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What became of one batch of frames.

    `marks` has, for every holder in the batch, the highest sequence up to which every frame since number 1 is done: in
    the database, or refused for ever. `refused` frames can never be stored (a negative number or one above 2**53, a NUL
    in a name) and are left out; `unreadable` histograms are left out of the merged latencies while the counters of their
    frames are kept.
    """

    accepted: int
    duplicates: int
    marks: Mapping[Holder, int]
    refused: int = 0
    unreadable: int = 0
