"""What a doctor asks of Redis itself: its clock, how it keeps its data, who has registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis.exceptions as foreign

from ha_stress.bus.part import Part
from ha_stress.bus.records import text

_SECTIONS = ("server", "persistence", "replication", "memory")
_SETTINGS = ("appendonly", "save", "maxmemory-policy")


class DiagnosisPart(Part):
    async def server_time(self) -> float:
        """Unix seconds on the clock of Redis."""
        seconds, microseconds = await self._link.call(lambda client: client.time())
        return float(seconds) + float(microseconds) / 1e6

    async def server_facts(self) -> Mapping[str, str]:
        """Fields of INFO under their own names, settings as `config:<name>`. Hosted servers refuse CONFIG: then
        `config_problem` says how."""

        def ask(client: Any) -> dict[str, str]:
            found: dict[str, str] = {}
            for section in _SECTIONS:
                found |= {text(name): text(value) for name, value in client.info(section).items()}
            try:
                for setting in _SETTINGS:
                    found |= {f"config:{text(name)}": text(value) for name, value in client.config_get(setting).items()}
            except foreign.ResponseError as error:
                found["config_problem"] = str(error)
            return found

        return dict(await self._link.call(ask))

    async def registered(self) -> Mapping[str, str]:
        """Node id -> incarnation of the process that registered last, also of those that have died since."""
        found = await self._link.call(lambda client: client.hgetall(self.keys.nodes))
        return {text(node): text(incarnation) for node, incarnation in found.items()}
