"""Every bound in one place, each with its reason. A queue, buffer, retry or output without one is a bug."""

from __future__ import annotations

from typing import Final

#: A mesh message is a few hundred bytes; a status with 1,000 nodes in it would be about 200 KiB.
MESH_MESSAGE_BYTES_MAX: Final = 1 << 20
#: A peer that does not read for this many messages is broken; newer messages supersede older ones.
MESH_SEND_QUEUE_MAX: Final = 64
#: Pub/sub messages are hints; when a consumer is this far behind, dropping and re-reading the record is cheaper.
HINT_QUEUE_MAX: Final = 256
#: Result frames that a worker keeps while nobody has committed them: 1 h at one task and 2 engines.
FRAMES_KEPT_MAX: Final = 7_200
#: The Redis result stream: the above times a dozen of workers; a frame is about 2 KiB, so at most about 200 MB.
RESULT_STREAM_MAX: Final = 100_000
#: One commit of the aggregator; small enough that a transaction stays in the tens of milliseconds.
FRAMES_PER_COMMIT_MAX: Final = 200
#: Events that Redis keeps for replay, and that a process keeps while Redis is away.
EVENT_STREAM_MAX: Final = 10_000
EVENTS_KEPT_MAX: Final = 1_000
#: Failover records kept in Redis (the database keeps all).
FAILOVERS_KEPT_MAX: Final = 200
#: Slots of one schedule revision: shares are multiples of rate / slots, and a plan stays a few KiB.
SLOTS_MIN: Final = 240
SLOTS_PER_NODE: Final = 24
#: A request body or header block larger than this belongs into a file; the assignment travels through Redis.
REQUEST_BODY_BYTES_MAX: Final = 8 << 20
#: Rates above this are a typing error on any machine that exists.
RATE_MAX: Final = 10_000_000.0
#: A schedule longer than this is a typing error (about a year).
DURATION_S_MAX: Final = 366 * 86_400.0
#: Requests that may be under way at once in one engine before arrivals are dropped (and counted as dropped).
IN_FLIGHT_MAX_DEFAULT: Final = 1_024
