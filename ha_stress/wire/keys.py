"""Names of Redis keys and channels. One place, so that an outsider with a plain client finds everything.

`{cluster}` is in braces, so that all keys of a cluster live in one hash slot and a script may touch several.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    cluster: str
    #: Keys are of one database of the server; channels are of all of them, and so must name it.
    database: int = 0

    def _ch(self, tail: str) -> str:
        return self._k(f"ch:{tail}") if not self.database else self._k(f"db{self.database}:ch:{tail}")

    def _k(self, tail: str) -> str:
        return f"hs:{{{self.cluster}}}:{tail}"

    @property
    def mastership(self) -> str:
        """Hash: epoch, node, incarnation, why, at_ms."""
        return self._k("mastership")

    @property
    def lease(self) -> str:
        """String "epoch:node:incarnation" with a PX expiry."""
        return self._k("lease")

    def award_ticket(self, epoch: int, source: str) -> str:
        """String with a PX expiry: the award of this epoch by this sentinel may be carried out until then, once."""
        return self._k(f"award-ticket:{epoch}:{source}")

    @property
    def doctor(self) -> str:
        """String with a PX expiry: written to see whether writes are taken."""
        return self._k("doctor")

    @property
    def sequences(self) -> str:
        """Hash: node id -> sequence number, never reused."""
        return self._k("sequences")

    @property
    def nodes(self) -> str:
        """Hash: node id -> incarnation of the process that registered last; gone after a graceful leave."""
        return self._k("nodes")

    def node(self, node_id: str) -> str:
        """String: msgpack NodeInfo, expiring."""
        return self._k(f"node:{node_id}")

    @property
    def sentinels(self) -> str:
        """Hash: sentinel id -> msgpack SentinelInfo (staleness is judged by `sent_at`)."""
        return self._k("sentinels")

    def assignment(self, node_id: str) -> str:
        """String: msgpack NodeAssignment, the node's full desired state."""
        return self._k(f"assignment:{node_id}")

    @property
    def assignment_versions(self) -> str:
        """Hash: node id -> "epoch:revision" of its assignment, which a script can compare without reading msgpack."""
        return self._k("assignment-versions")

    @property
    def results(self) -> str:
        """Stream: one entry a result frame, field `f` = msgpack Frame."""
        return self._k("results")

    @property
    def committed(self) -> str:
        """Hash: "node:incarnation" -> highest sequence below which every frame is in the database."""
        return self._k("committed")

    @property
    def events(self) -> str:
        """Stream of events: sequence, epoch, name, source, subject, cause, at_ms, detail (JSON)."""
        return self._k("events")

    @property
    def event_sequence(self) -> str:
        return self._k("event-sequence")

    @property
    def failovers(self) -> str:
        """Hash: epoch -> JSON failover record."""
        return self._k("failovers")

    @property
    def controls(self) -> str:
        """Hash: revision, record (msgpack Controls): what the operator asks of sentinels and nodes."""
        return self._k("controls")

    @property
    def info_channel(self) -> str:
        return self._ch("info")

    @property
    def newcomers_channel(self) -> str:
        """ "A process described itself for the first time": sentinels look where it is, and watch it from now on."""
        return self._ch("newcomers")

    @property
    def election_channel(self) -> str:
        """Where a successor is published: JSON {epoch, node, incarnation, why}. TryBeMaster listens here."""
        return self._ch("election")

    @property
    def controls_channel(self) -> str:
        """ "The controls record changed": sentinels and nodes read it again."""
        return self._ch("controls")

    @property
    def events_channel(self) -> str:
        return self._ch("events")

    def task_channel(self, node_id: str) -> str:
        """A node's own channel: "there is a new assignment record for you"."""
        return self._ch(f"task:{node_id}")

    @property
    def intent_channel(self) -> str:
        """ "The operator's intent in the database changed": the master need not wait for its next look."""
        return self._ch("intent")
