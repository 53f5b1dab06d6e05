"""The driver `stress`: a task is a schedule of requests, shared out over the nodes.

    table    pure: who owns which slot
    plan     pure: how a schedule is cut into revisions, and what each holder is told
    core     pure: what has to change now, given the records
    told     pure: which changes of a dead master nobody has heard of
    master   shell: plans, persists, assigns; `watch` follows members, `intake` commits results
    worker   shell: carries the assignment out on the engines, sends the frames

The shells are imported when a node asks for its side, not before: the pure parts must not pull in sockets.
"""

from __future__ import annotations

from ha_stress.drivers.interface import Driver, MasterDriver, NodeServices, WorkNodeDriver


def _master(node: NodeServices) -> MasterDriver:
    from ha_stress.drivers.stress.master import StressMaster

    return StressMaster(node)


def _worker(node: NodeServices) -> WorkNodeDriver:
    # The other side is loaded too: a promotion is no time to read modules from disk (11 ms of some 100).
    import ha_stress.drivers.stress.master  # noqa: F401
    from ha_stress.drivers.stress.worker import StressWorker

    return StressWorker(node)


DRIVER = Driver(master=_master, worker=_worker)
