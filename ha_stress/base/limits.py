"""Every bound in one place, each with its reason. A queue, buffer, retry or output without one is a bug."""

from __future__ import annotations

from typing import Final

#: A mesh message is a few hundred bytes; a status with 1,000 nodes in it would be about 200 KiB.
MESH_MESSAGE_BYTES_MAX: Final = 1 << 20
#: Accepted mesh connections of one process: every sentinel and a dial or two of each; more is a mistake or an attack.
MESH_CONNECTIONS_MAX: Final = 256
#: Messages in a row on one connection that are not understood: a newer version says something new now and then, no more.
MESH_BAD_MESSAGES_MAX: Final = 100
#: An epoch is one election: none comes here, and Redis' scripts count exactly up to 2 ** 53.
EPOCH_MAX: Final = 1 << 52
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
#: A sequence number of an event: the server counts in 64 bits.
SEQUENCE_MAX: Final = (1 << 63) - 1
#: Failover records kept in Redis (the database keeps all).
FAILOVERS_KEPT_MAX: Final = 200
#: Slots of one schedule revision: shares are multiples of rate / slots, and a plan stays a few KiB.
SLOTS_MIN: Final = 240
SLOTS_PER_NODE: Final = 24
#: A request body, or a file of data: it is read into memory by the node that takes it, and by each engine.
REQUEST_BODY_BYTES_MAX: Final = 16 << 20
#: A body above this is stored once and named by its digest: the assignment travels through Redis to every node.
INLINE_BODY_BYTES_MAX: Final = 32 << 10
#: All bodies of one task that travel so; above it they are named as well.
INLINE_BODIES_BYTES_MAX: Final = 512 << 10
#: Rates above this are a typing error on any machine that exists.
RATE_MAX: Final = 10_000_000.0
#: Slower than one arrival in twelve days is a typing error too, and a denormal number has no inverse. 0 pauses.
RATE_MIN: Final = 1e-6
#: A schedule longer than this is a typing error (about a year).
DURATION_S_MAX: Final = 366 * 86_400.0
#: One shorter than this as well, or a stretch of one; and a denormal number has no inverse.
DURATION_S_MIN: Final = 0.001
#: Requests that may be under way at once in one engine before arrivals are dropped (and counted as dropped).
IN_FLIGHT_MAX_DEFAULT: Final = 1_024
#: One address has no more ports towards one target, so more than this cannot be meant.
IN_FLIGHT_MAX: Final = 65_536
#: Nodes that a task may ask for; above it there are not so many, and the number travels in 64 bits.
NODES_MAX: Final = 10_000
#: All header names and values of a request; no common server takes more than 64 KiB.
REQUEST_HEADERS_BYTES_MAX: Final = 256 << 10
#: One API request: a base64 body of the largest allowed request body, and room for the rest.
API_BODY_BYTES_MAX: Final = REQUEST_BODY_BYTES_MAX * 4 // 3 + (1 << 20)
#: All bodies that one node holds at once: three of the largest. Turning one into a task takes thrice its size again.
API_BODIES_BYTES_MAX: Final = 3 * API_BODY_BYTES_MAX
#: Bytes of a JSON request outside of its strings: 500 recorded requests with a dozen headers each. Parsing them takes
#: milliseconds, and to refuse the worst that can be made of them takes a tenth of a second.
API_STRUCTURE_BYTES_MAX: Final = 64 << 10
#: Requests that use the bus and the database at once: fewer than either has threads, so that the lease never waits for them.
API_TURNS_MAX: Final = 3
#: Requests that wait for such a turn.
API_WAITING_MAX: Final = 256
#: Connections to one node's API: every listener, every waiting request, and a few dozen that are idle.
API_CONNECTIONS_MAX: Final = 512
#: Listeners of the event stream at one node; each holds a connection and a subscription.
EVENT_STREAMS_MAX: Final = 64
#: A finished part of a schedule stays in the assignment this long: a holder that hears of its limit late must still hear it.
PART_KEPT_S: Final = 5.0
#: Threads that one process uses for the database: an API reader must not wait for a commit; more would only queue there.
STORE_THREADS_MAX: Final = 4
#: Seconds of a timeline in one answer: a day; a longer one is read in pages.
TIMELINE_SECONDS_MAX: Final = 86_400
#: Processes that are gone and that a master remembers, so that an old record does not bring them back.
MEMBERS_REMEMBERED_MAX: Final = 1_000
#: Changes that wait for the master's planning; each is a hint to look at the records, so a full queue loses nothing.
MASTER_INBOX_MAX: Final = 64
#: Frames that a worker sends again in one go when no acknowledgement comes: copies must not push originals out.
FRAMES_RESENT_MAX: Final = 200
#: Frames in one pipeline to Redis: about 200 KiB, well inside the bus's time limit.
FRAMES_PER_SEND_MAX: Final = 100
#: Reports that an engine has cut and its node has not read yet; above it the engine cuts no more for now.
ENGINE_REPORTS_UNSENT_BYTES_MAX: Final = 1 << 18
#: Reports that the pool has read and its consumer has not; above it the engines are told by a full socket.
ENGINE_REPORTS_UNREAD_MAX: Final = 64
#: Tasks that were taken away whose cursors an engine remembers, should they come back: a cursor never goes back.
ENGINE_LANES_REMEMBERED_MAX: Final = 256
#: Sentinels of one cluster; as in the configuration. A peer that pings under ever new names must not fill a node's memory.
SENTINELS_MAX: Final = 101
#: Nodes that an operator has tagged: the tags travel in one record, which every sentinel also keeps on disk.
TAGGED_NODES_MAX: Final = 1_000
#: Connections to a sentinel's health and metrics: a few load balancers, scrapers and curious people.
SENTINEL_HTTP_CONNECTIONS_MAX: Final = 64
#: Request line and headers together; no scraper or load balancer sends a tenth of it.
SENTINEL_HTTP_REQUEST_BYTES_MAX: Final = 16 << 10
#: Notifications under way at once in one sentinel: a receiver that is slow is not helped by more.
NOTIFICATIONS_AT_ONCE_MAX: Final = 4
#: Events that one sentinel has taken from the stream to notify of; the rest waits there, for whoever is free.
NOTIFICATIONS_TAKEN_MAX: Final = 32
#: The same, and those that never were in the stream because Redis is away.
NOTIFICATIONS_WAITING_MAX: Final = 2 * NOTIFICATIONS_TAKEN_MAX
#: What is kept of a notification command's output, for the log.
NOTIFICATION_OUTPUT_BYTES_MAX: Final = 2_048
#: Tasks whose books one scrape of a master's metrics reads: each is a query, and a scrape comes every few seconds.
METRICS_TASKS_MAX: Final = 50
#: Assignments in one pipeline to Redis: about 100 KiB, as long as their request bodies are small.
ASSIGNMENTS_PER_SEND_MAX: Final = 100
#: And their bytes, where they are not: a pipeline is well inside the bus's time limit, and one assignment fits alone.
ASSIGNMENT_BYTES_PER_SEND_MAX: Final = 1 << 20
#: Networks that may be loaded: an engine compares each resolved address with each of them.
ALLOWED_NETWORKS_MAX: Final = 1_000
#: Text of one check; it is the name of a counter in every frame.
CHECK_TEXT_MAX: Final = 200
#: Checks of one task: each costs every response a look.
CHECKS_MAX: Final = 50
#: Thresholds of one task: each is evaluated every second while one of them may abort it.
THRESHOLDS_MAX: Final = 50
#: Request bodies and data files that the database keeps at once, each of at most API_BODY_BYTES_MAX.
BLOBS_MAX: Final = 256
#: Stretches of a series in one answer: as many as a plot has room for.
SERIES_BUCKETS_MAX: Final = 600
#: The same with their histograms: an answer is then about half a megabyte.
SERIES_HISTOGRAMS_MAX: Final = 150
#: Frames that are read for one answer of a series: reading their histograms takes a thread about two seconds. The
#: answer says where to go on.
SERIES_FRAMES_MAX: Final = 6_000
#: Frames in one query of it: about 6 MB.
SERIES_PAGE_FRAMES: Final = 2_000
#: Stages of one profile: every part of a schedule carries them.
STAGES_MAX: Final = 200
#: A seed travels as a JSON number, which is exact up to here.
POISSON_SEED_MAX: Final = (1 << 53) - 1
#: Users of one task in the closed model: each is a slot of the schedule's table, which is 300 KiB at so many.
USERS_MAX: Final = 50_000
#: A user who thinks longer than this does not use it.
THINK_TIME_S_MAX: Final = 86_400.0
#: Requests that one task sends in turn: a recorded session has a few hundred.
REQUESTS_MAX: Final = 500
#: All their URLs and headers: they travel in every assignment.
REQUEST_HEADS_BYTES_MAX: Final = 1 << 20
#: The turns of requests are a table as long as the sum of their weights.
WEIGHT_MAX: Final = 1_000
#: A text that an answer is searched for.
EXPECT_CHARACTERS_MAX: Final = 4_096
#: A request that takes longer is a download, and holds one of the connections all the while.
TIMEOUT_S_MAX: Final = 3_600.0
#: Source of a scenario: it travels in every assignment. A thousand lines have 40 KiB.
SCENARIO_BYTES_MAX: Final = 128 << 10
#: Data files of one scenario.
FEEDERS_MAX: Final = 16
#: Names that an engine remembers the addresses of; a task has one, a scenario perhaps a dozen.
ENGINE_NAMES_MAX: Final = 256
#: What an exchange engine reads of one answer (a message, a response that is checked): an engine stays within memory.
ANSWER_BYTES_MAX: Final = 16 << 20
#: Messages that a target pushes over an idle WebSocket; more wait in the socket, and the target for us.
WEBSOCKET_MESSAGES_UNREAD_MAX: Final = 64
#: Stretch of a sliding threshold; the histograms of so many seconds are held in memory, about 30 KiB each.
WINDOW_S_MAX: Final = 600
#: Rows of one data file: each is an object in every engine.
FEEDER_ROWS_MAX: Final = 1_000_000
#: Columns of one data file.
FEEDER_COLUMNS_MAX: Final = 200
#: Names that one node looks up at once for tasks that are created; a resolver that hangs keeps a thread for each.
API_LOOKUPS_MAX: Final = 4
#: Headers of one response, as bytes: no common server sends a tenth of it, and a hostile one must not fill an engine.
RESPONSE_HEAD_BYTES_MAX: Final = 256 << 10
#: What an engine keeps of a body for checks, times the requests under way; the rest is counted and let go.
CHECKED_BODY_BYTES_MAX: Final = 1 << 20
#: Headers of one response that an engine keeps for checks.
CHECKED_HEADERS_MAX: Final = 1_000
#: What an engine says of the first failure of a kind: the end of a traceback.
COMPLAINT_CHARACTERS_MAX: Final = 4_000
#: The same in one line.
COMPLAINT_CAUSE_MAX: Final = 300
#: A file of the import commands. Browsers record answers too: a HAR file of a long session has tens of MiB.
IMPORT_BYTES_MAX: Final = 256 << 20
#: Stored data that one node holds for its engines, each of which holds its part of it again.
WORKER_BLOBS_BYTES_MAX: Final = 256 << 20
#: What the setup of a scenario may return, as JSON: it travels in every assignment.
SETUP_DATA_BYTES_MAX: Final = 64 << 10
#: Different texts that the checks of a scenario are counted under in one engine; more would not be read by anybody.
SCENARIO_CHECKS_MAX: Final = 100
#: What setup and teardown of a scenario may take each: a task that never begins, or ends, is worse than one that fails.
ERRAND_S_MAX: Final = 60.0
#: Setups and teardowns under way at once in the master's process; each is a process of its own.
ERRANDS_AT_ONCE_MAX: Final = 4
#: Names under which the requests of one task are told apart: more than anybody reads. Each costs a frame some 200 bytes,
#: and up to 600 at 20,000 requests a second: with so many names it has 40 KiB, and its commit takes 5 ms.
REQUEST_NAMES_MAX: Final = 64
#: One such name: a path of usual length. It is in every frame and in every row of a table.
REQUEST_NAME_CHARACTERS_MAX: Final = 100
#: Statuses that one name has in one frame; a target that answers more different ones is told by their class (4xx).
REQUEST_STATUSES_MAX: Final = 20
#: Frames that wait for a commit with the histograms of their names: at most 24 MB, in the worker and once more in Redis.
#: Beyond it (5 minutes with 2 engines and no master) these are given up first, and a frame is small again.
FRAMES_WITH_REQUESTS_MAX: Final = 600
#: Tasks of which one node remembers the windows that it has shown last.
LIVE_WINDOWS_MAX: Final = 64
