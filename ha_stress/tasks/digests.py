"""Which stored files a task or a share of it names: large request bodies and the rows of feeders. Pure."""

from __future__ import annotations

from ha_stress.tasks.protocols import requests_of
from ha_stress.tasks.schedule import TaskShare
from ha_stress.tasks.spec import TaskSpec


def digests_of(share: TaskShare | TaskSpec) -> frozenset[str]:
    """The digests of all that a holder has to read before it can run the share."""
    bodies = {request.body_blob for request in requests_of(share)}
    feeders = share.scenario.feeders if share.scenario is not None else ()
    return frozenset((bodies | {feeder.blob for feeder in feeders}) - {""})
