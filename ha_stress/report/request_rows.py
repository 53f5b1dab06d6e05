"""The figures of a task's requests by name as CSV: a row a name. Pure."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Final

from ha_stress.report.run import Run

_COUNTS: Final = ("started", "completed", "failed", "wrong")
_SERVICE: Final = ("count", "mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")


def requests_csv_of(run: Run) -> str:
    """Empty for a task of one request. Columns stay where they are: those that count by name come last."""
    rows = run.task.get("by_request") or ()
    if not rows:
        return ""
    failures = sorted({kind for row in rows for kind in row["failures"]})
    statuses = sorted({status for row in rows for status in row["statuses"]})
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["request", *_COUNTS, *(f"service_{name}" for name in _SERVICE)]
    writer.writerow([*head, *(f"failed_{kind}" for kind in failures), *(f"status_{status}" for status in statuses)])
    for row in rows:
        service = row["service"] or {}
        writer.writerow(
            [
                row["name"],
                *(row[name] for name in _COUNTS),
                *(service.get(name, "") for name in _SERVICE),
                *(row["failures"].get(kind, 0) for kind in failures),
                *(row["statuses"].get(status, 0) for status in statuses),
            ]
        )
    return text.getvalue()
