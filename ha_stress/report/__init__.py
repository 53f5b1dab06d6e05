"""Layer 5 below the command line: what a task became, as files for people and for machines.

run         what a report is made of: the task, its course, what happened meanwhile
gather      a cluster's API --> run
files       run --> JSON, CSV, HdrHistogram percentiles, JUnit XML, HTML
compare     two runs --> what differs, and whether that can be chance
"""

from __future__ import annotations

from ha_stress.report.files import KINDS, write
from ha_stress.report.gather import gather
from ha_stress.report.run import Run

__all__ = ["KINDS", "Run", "gather", "write"]
