"""Events for the operator, in the vocabulary of Redis Sentinel, each with (epoch, sequence) and a cause.

The sequence is given by Redis when the event is appended to the stream; it has no gaps, so a reader that sees one
knows that it missed something and reads the stream again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, before it is appended (`sequence` and `at_ms` are 0) or after.

    `source` is the process that says it; `subject` the node or task that it is about; `at_ms` is Unix time
    in milliseconds on the clock of Redis, so that events of several hosts compare.
    """

    name: str
    source: str
    epoch: int
    subject: str = ""
    cause: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    sequence: int = 0
    at_ms: int = 0


#: Every event name, with what it means. The API, the docs and the tests read this table.
MEANING: Final[dict[str, str]] = {
    "+node": "a node joined",
    "-node": "a node left or was removed",
    "+first-master": "the first master took the lock; no election was needed",
    "+acting": "a master did its first act under a new epoch",
    "+suspended": "the master cannot renew its lease and has stopped acting; the load goes on",
    "-suspended": "the master renewed its lease again under the same epoch",
    "+superseded": "a master met a higher epoch and became a worker",
    "+leaving": "a node was asked to stop and hands over",
    "+sdown": "one sentinel holds the subject to be down",
    "-sdown": "that sentinel sees it again",
    "+odown": "a quorum of sentinels holds the subject to be down",
    "-odown": "there is no quorum for it any more",
    "+new-epoch": "a sentinel learnt of a higher epoch",
    "+try-failover": "a sentinel asks the others whether it may lead a failover (pre-vote)",
    "+vote-for-leader": "a sentinel gave its one vote of this epoch, and it is on disk",
    "+elected-leader": "a sentinel has the majority and leads the failover",
    "-failover-abort-not-elected": "no majority in time; it will be tried again at a higher epoch",
    "-failover-abort-no-good-node": "every candidate was filtered out; the table says why",
    "-failover-abort-superseded": "another failover was faster",
    "-failover-abort-bus": "Redis could not be written; it will be tried again",
    "+selected-node": "the leader chose a candidate",
    "+switch-master": "the mastership record names a new master",
    "-accept-timeout": "the winner did not act in time; the next candidate's turn comes at a higher epoch",
    "+failover-end": "the new master was seen acting",
    "+tilt": "a sentinel distrusts itself (loop stall); it observes, and neither votes nor campaigns",
    "-tilt": "it trusts itself again",
    "+vote-file-error": "the vote file could not be written; the vote was refused",
    "+repaired": "a lower mastership record was replaced by the higher one that this process knows",
    "+paused": "the operator has paused failovers; sentinels observe only",
    "-paused": "the operator has resumed them",
    "+switchover": "the operator asks for a planned hand-over of the mastership",
    "-switchover": "that wish was withdrawn, or no sentinel could fulfil it in time",
    "+tags": "the operator changed the tags of a node",
    "+members": "the operator changed who the sentinels are",
    "+bus-down": "a sentinel gets no answer from Redis for down_after_s: no failover is possible until it does",
    "-bus-down": "Redis answers that sentinel again",
    "+hook-failed": "a notification could not be delivered after all its tries; detail says which",
    "+orphan": "a node has had no sign of an acting master for orphan_after_s: its load has ended, its arrivals are dropped",
    "-orphan": "a master acts again, and the node's load goes on",
    "+task": "a task was accepted by the master",
    "+revision": "a task has a new schedule revision (start, rate, share moved)",
    "+setup": "the setup of a task's scenario is done",
    "-setup": "the setup of a task's scenario failed: the task ends without having begun",
    "+teardown": "the teardown of a task's scenario is done",
    "-teardown": "the teardown of a task's scenario failed; the task ends all the same",
    "+complaint": "the first failure of its kind that an engine had in a task; detail says what happened",
    "+aborted": "a threshold that aborts is broken: the task ends its schedule; detail says what was observed",
    "+task-end": "a task ended and its books are closed",
    "+events-lost": "events were dropped while Redis was away; detail says how many",
}
