"""A thread that looks at record, lease, fence and vote files many times a second, with plain clients."""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import Any, Final

import redis

from chaos.rounds.cluster import SENTINELS, Cluster
from chaos.rounds.history import History, Identity

#: Fine enough to see most of what a failover of some 100 ms writes, and some percent of a core.
PERIOD_S: Final = 0.025


class Sampler:
    """Use as a context manager. `history` belongs to the thread while `running`; `look` is one look by hand."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self._cluster = cluster
        self._client = redis.Redis.from_url(cluster.redis.url, socket_timeout=1, socket_connect_timeout=1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.lock = threading.Lock()
        self.history = history

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)
        self._client.close()

    def _run(self) -> None:
        while not self._over.wait(PERIOD_S):
            self.look()

    def look(self) -> None:
        fence = self._fence()
        record = self._record()
        votes = {name: self._vote(name) for name in SENTINELS}
        with self.lock:
            if record is not None:
                self.history.see_record(*record)
            if fence is not None:
                self.history.see_fence(fence)
                if record is not None:
                    self.history.fence_is_covered()
            for name, vote in votes.items():
                if isinstance(vote, str):
                    self.history.vote_lost(name, vote)
                else:
                    self.history.see_vote(name, *vote)

    def _record(self) -> tuple[Identity, str] | None:
        """Record and lease of one instant; None while Redis does not answer."""
        keys = self._cluster.outside.keys
        try:
            with self._client.pipeline(transaction=True) as transaction:
                transaction.hmget(keys.mastership, "epoch", "node", "incarnation")
                transaction.get(keys.lease)
                (epoch, node, incarnation), lease = transaction.execute()
        except (redis.RedisError, OSError):
            return None
        record = (int(epoch or 0), (node or b"").decode(), (incarnation or b"").decode())
        return record, (lease or b"").decode()

    def _fence(self) -> Identity | None:
        try:
            with self._cluster.sql() as sql:
                row: Any = sql.execute("SELECT epoch, node, incarnation FROM fence").fetchone()
        except sqlite3.OperationalError:
            return None  # locked by a writer just now
        return (int(row[0]), str(row[1]), str(row[2]))

    def _vote(self, sentinel: str) -> tuple[int, str] | str:
        """Epoch and leader; or, as a text, why the file cannot be read."""
        path = self._cluster.dir / sentinel / f"vote-{sentinel}.json"
        try:
            state = json.loads(path.read_text("utf-8"))
            return int(state["voted_epoch"]), str(state["voted_for"])
        except (OSError, ValueError, KeyError) as error:
            return f"{path.name}: {error}"
