"""What a run must keep to be passed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """`metric` `operator` `value`, over the whole run, or over every sliding window of `window_s` seconds.

    `text` is how the operator wrote it. With `abort` a breach stops the task; that may only happen once `after_s` of the
    task have passed.
    """

    text: str
    metric: str
    operator: str
    value: float
    window_s: float | None = None
    abort: bool = False
    after_s: float = 0.0
