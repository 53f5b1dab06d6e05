"""The shapes of what reports are made of."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ha_stress.api.models import Latency


class SeriesBucket(BaseModel):
    """Sums over `width_s` seconds from the Unix second `second` on. Seconds in which nothing happened have none."""

    second: int
    intended: int = Field(description="Accounted for by those who lived: started + dropped")
    started: int
    completed: int
    failed: int
    dropped: int
    late: int
    wrong: int
    retried: int
    connected: int
    closed: int
    bytes_in: int
    bytes_out: int
    cpu_us: int
    failures: dict[str, int]
    statuses: dict[str, int]
    checks: dict[str, int]
    workers: dict[str, int] = Field(description="Requests started, by node")
    response: Latency | None
    service: Latency | None
    response_us: str | None = Field(default=None, description="HdrHistogram V2 (base64), with ?histograms=1")
    service_us: str | None = Field(default=None, description="HdrHistogram V2 (base64), with ?histograms=1")


class Series(BaseModel):
    """The course of a task. Percentiles are those of all responses of a bucket, never means of percentiles."""

    task: str
    width_s: int
    first: int | None = Field(description="Unix second of the first frame; null while there is none")
    last: int | None
    next_after: int | None = Field(
        description="Not null: there is more; ask again with ?after= this, and the same width_s"
    )
    buckets: list[SeriesBucket]
