"""The shape of a verdict."""

from __future__ import annotations

from pydantic import BaseModel, Field


class WindowView(BaseModel):
    """Seconds from the start of the task."""

    from_s: float
    to_s: float


class ThresholdView(BaseModel):
    text: str
    metric: str
    unit: str = Field(description="ms, share (a part of 1), count or per_s")
    observed: float | None = Field(description="Of the whole run, or of the worst window; null if nothing was measured")
    limit: float
    ok: bool | None = Field(description="Null while it cannot be said")
    window: WindowView | None = Field(description="The worst one of a sliding threshold; while it runs, of the newest")
    abort: bool


class FindingView(BaseModel):
    """One reason to believe the run or not."""

    name: str = Field(description="cpu, late, loop_lag, clock_skew, dropped or uncovered")
    about: str = Field(description="generator, or load")
    ok: bool
    observed: float | None
    limit: float
    sentence: str


class AbortView(BaseModel):
    threshold: str
    observed: float | None
    after_s: float = Field(description="From the start of the task")


class VerdictView(BaseModel):
    """`passed` is what the thresholds say, null without any; `valid` whether the generator can be believed at all."""

    passed: bool | None
    valid: bool
    saturated: bool = Field(
        description="It is the generator that cannot be believed, not only the load that is missing"
    )
    thresholds: list[ThresholdView]
    remark: str = Field("", description="What has to be known of the windows of sliding thresholds; mostly empty")
    validity: list[FindingView]
    aborted: AbortView | None
