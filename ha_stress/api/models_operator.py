"""The shapes of what an operator asks for, and of what the doctor and the sentinels answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from ha_stress.api.fields import Asked, Truth, Whole

#: Words of the operator travel in one record with everything else that was asked for.
WORDS_MAX = 200
NAME_MAX = 64


class NewPause(Asked):
    """Why, for whoever looks at it at night."""

    why: str = Field(default="", max_length=WORDS_MAX)


class NewSwitchover(Asked):
    """`to`: empty for the best candidate. `epoch`: what the caller saw; refused if another master was named since."""

    to: str = Field(default="", max_length=NAME_MAX)
    epoch: Whole | None = Field(default=None, ge=0)


class NewTags(Asked):
    """All tags of the node: what is left out is taken away."""

    priority: Whole | None = Field(default=None, ge=0, le=1_000_000, description="Null: as configured. 0: never master")
    draining: Truth = Field(default=False, description="Keeps no share of a load, and is not chosen as master")


class NewMember(Asked):
    id: str = Field(max_length=NAME_MAX)


class TagsView(BaseModel):
    priority: int | None
    draining: bool


class SwitchoverView(BaseModel):
    epoch: int = Field(description="Void as soon as the cluster's epoch is another one")
    to: str
    open: bool


class MembershipView(BaseModel):
    """Version 0 and no members: the sentinels are as each was configured."""

    version: int
    members: list[str]
    floor: int = Field(description="No vote at or below this epoch counts for this membership")


class ControlsView(BaseModel):
    """What the operator has asked for. Revision 0: nothing yet."""

    revision: int
    paused: bool
    pause_why: str
    switchover: SwitchoverView | None
    membership: MembershipView
    tags: dict[str, TagsView]


class ChangedControls(ControlsView):
    """The controls after the change, and what its author should know."""

    notes: list[str]


class SentinelExplanation(BaseModel):
    """`explanation` is what the sentinel says; empty, with a `problem`, if it did not answer."""

    id: str
    ok: bool
    problem: str
    explanation: dict[str, Any]


class ExplanationList(BaseModel):
    summary: str
    sentinels: list[SentinelExplanation]


class FindingView(BaseModel):
    severity: str = Field(description="problem, warning or ok")
    about: str
    found: str
    fault: str
    cure: str


class Diagnosis(BaseModel):
    """`ok`: there is no problem; there may be warnings."""

    summary: str
    ok: bool
    asked_by: str
    findings: list[FindingView]
