"""Layer 5 below the command line: what a task became, as files for people and for machines.

run         what a report is made of: the task, its course, what happened meanwhile
gather      a cluster's API --> run
files       run --> JSON, CSV, HdrHistogram percentiles, JUnit XML, HTML
document    run <-> the JSON of it
result      what became of it: one order of questions, for reports and for exit codes
compare     two runs --> what differs, and whether that can be chance

It knows the vocabulary (`tasks`, `base`) and the JSON of the API, never the API itself, the store, Redis or the command
line: a report can be made from a file, long after its cluster is gone. Only `gather` asks, and only `files` writes.
"""

from __future__ import annotations

from ha_stress.report.document import parsed
from ha_stress.report.files import KINDS, write, write_all
from ha_stress.report.gather import gather
from ha_stress.report.run import Run

__all__ = ["KINDS", "Run", "gather", "parsed", "write", "write_all"]
