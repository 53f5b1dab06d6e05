"""What a driver is, and what a node offers to it.

The node has only the basic functions (identity, registration, mesh, lease); what a role *does* is in its driver,
registered by name in the manner of Go's `database/sql`. A user's driver subclasses these two and is named in the entry
point group `ha_stress.drivers`:

    NodeDriver        run, send_node_info, try_be_master            (for every role; the defaults are good)
      MasterDriver    keep_alive, manage_node, listen_task, distribute_task
      WorkNodeDriver  work

A node runs its WorkNodeDriver for its whole life, in both roles (a master can work too, alone it must), and its
MasterDriver from `become_master` to `become_worker`. The two live in separate cancel scopes: a promotion cancels nothing
that works.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from ha_stress.base.clock import Clock
    from ha_stress.base.config import NodeConfig
    from ha_stress.bus.client import Bus
    from ha_stress.cluster.mastership import Mastership
    from ha_stress.cluster.members import NodeInfo
    from ha_stress.store.store import Store
    from ha_stress.tasks.schedule import Holder


class NodeServices(Protocol):
    """What a driver may use of the node that it runs on."""

    config: NodeConfig
    holder: Holder
    clock: Clock
    bus: Bus
    store: Store

    def info(self) -> NodeInfo:
        """This node's present description of itself."""
        ...

    def record(self) -> Mastership:
        """The newest mastership record that this node knows, its own or another's."""
        ...

    def may_act(self) -> bool:
        """Whether this node may act as master at this instant: it is named, and its lease has not lapsed."""
        ...

    async def wait_may_act(self) -> None:
        """Return once `may_act()`; a master that is suspended waits here."""
        ...

    def learn(self, record: Mastership) -> None:
        """Tell the node about a record; a higher epoch than its own makes it a worker."""
        ...

    def emit(self, name: str, *, subject: str = "", cause: str = "", detail: dict[str, object] | None = None) -> None:
        """Say an event (a key of `cluster.events.MEANING`). Never blocks; bounded, and what is dropped is counted."""
        ...

    def report_work(self, *, applied: tuple[int, int], frames_waiting: int, frames_lost: int, idle: bool) -> None:
        """What the worker side wants the node to say about it in its NodeInfo. `idle`: nothing runs or waits, so the
        node may leave."""
        ...

    async def publish_info(self) -> None:
        """Publish NodeInfo once, now (it is also published periodically)."""
        ...

    async def send_node_info(self) -> None:
        """Publish NodeInfo every `info_period_s`, for ever."""
        ...

    async def try_be_master(self) -> None:
        """Listen on the election channel and on the mastership record; become master when named, for ever."""
        ...

    async def keep_alive(self) -> None:
        """Renew the lease every `lease_renew_s`, for ever."""
        ...


class NodeDriver(ABC):
    """Base of both roles."""

    def __init__(self, node: NodeServices) -> None:
        self.node = node

    @abstractmethod
    async def run(self) -> None:
        """Run all loops of this role until cancelled."""

    async def send_node_info(self) -> None:
        await self.node.send_node_info()

    async def try_be_master(self) -> None:
        await self.node.try_be_master()


class MasterDriver(NodeDriver):
    """The master's side. All loops run until the node is a worker again, or leaves."""

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for loop in (self.keep_alive, self.manage_node, self.listen_task, self.distribute_task):
                nursery.start_soon(loop, name=f"master.{loop.__name__}")

    async def keep_alive(self) -> None:
        """Renew the lease. A driver that overrides this must call it."""
        await self.node.keep_alive()

    @abstractmethod
    async def manage_node(self) -> None:
        """Follow who is a member: added, changed, gone."""

    @abstractmethod
    async def listen_task(self) -> None:
        """Read what the operator wants from the task store."""

    @abstractmethod
    async def distribute_task(self) -> None:
        """Plan, persist the plan, then send each node its part."""


class WorkNodeDriver(NodeDriver):
    """The worker's side."""

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.send_node_info, name="node.send_node_info")
            nursery.start_soon(self.try_be_master, name="node.try_be_master")
            nursery.start_soon(self.work, name="worker.work")

    @abstractmethod
    async def work(self) -> None:
        """Receive assignments and carry them out."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The two sides of a kind of work, as they are registered."""

    master: Callable[[NodeServices], MasterDriver]
    worker: Callable[[NodeServices], WorkNodeDriver]
