"""What an engine's report says of the requests by name, as its node reads it: here the histograms are encoded. Pure.

An engine must not stand still for the tenth of a millisecond that each histogram takes, so it hands over counts by index.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ha_stress.engines.histogram import blob_of
from ha_stress.tasks.figures import RequestFigures

Report = Mapping[str, Any]


def figures_of(report: Report) -> dict[str, RequestFigures]:
    return {
        name: RequestFigures(
            started=plain["started"],
            completed=plain["completed"],
            wrong=plain["wrong"],
            failed=plain["failed"],
            statuses=plain["statuses"],
            service_us=blob_of(plain["service"]),
        )
        for name, plain in report["requests"].items()
    }


def histograms_of(report: Report) -> tuple[bytes, bytes]:
    """(response, service) of all requests; the service times of a mix are the sum of those by name."""
    response_us, service_us = report["response_us"], report["service_us"]
    if service_us is None:
        total: dict[int, int] = {}
        for plain in report["requests"].values():
            for index, count in plain["service"].items():
                total[index] = total.get(index, 0) + count
        service_us = blob_of(total)
    return service_us if response_us is None else response_us, service_us
