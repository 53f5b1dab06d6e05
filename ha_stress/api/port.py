"""What the API needs of the node that serves it, and nothing more."""

from __future__ import annotations

from typing import Protocol

from ha_stress.base.config import NodeConfig
from ha_stress.bus.client import Bus
from ha_stress.cluster.mastership import Mastership
from ha_stress.cluster.members import NodeInfo
from ha_stress.store.store import Store


class ApiNode(Protocol):
    """A node, as the API sees it."""

    @property
    def config(self) -> NodeConfig: ...

    @property
    def bus(self) -> Bus: ...

    @property
    def store(self) -> Store: ...

    def info(self) -> NodeInfo:
        """This node's present description of itself."""
        ...

    def record(self) -> Mastership:
        """The newest mastership record that this node knows, its own or another's."""
        ...
