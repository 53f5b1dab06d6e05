"""What a doctor asks of Redis itself: its clock, how it keeps its data, who has registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis.exceptions as foreign

from ha_stress.base.errors import BusUnavailable
from ha_stress.bus.link import milliseconds
from ha_stress.bus.part import Part
from ha_stress.bus.records import text

_SECTIONS = ("server", "persistence", "replication", "memory")
_SETTINGS = ("appendonly", "save", "maxmemory-policy")
#: What is written to see whether it can be; gone by itself.
_TRIED_S = 1.0


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
            try:
                for section in _SECTIONS:
                    found |= {text(name): text(value) for name, value in client.info(section).items()}
                for setting in _SETTINGS:
                    found |= {f"config:{text(name)}": text(value) for name, value in client.config_get(setting).items()}
            except foreign.ResponseError as error:
                found["config_problem"] = str(error)
            return found

        return dict(await self._link.call(ask))

    async def write_problem(self) -> str:
        """Why Redis takes no writes although it may be read: memory, disk, replicas, rights; "" if it takes them."""
        key, ttl_ms = self.keys.doctor, milliseconds(_TRIED_S, "a trial")
        try:
            await self._link.call(lambda client: client.set(key, "1", px=ttl_ms))
        except BusUnavailable as error:
            return str(error)
        return ""

    async def registered(self) -> Mapping[str, str]:
        """Node id -> incarnation of the process that registered last, also of those that have died since."""
        found = await self._link.call(lambda client: client.hgetall(self.keys.nodes), self.keys.nodes)
        return {text(node): text(incarnation) for node, incarnation in found.items()}
