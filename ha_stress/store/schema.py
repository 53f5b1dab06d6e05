"""The tables, as SQLAlchemy Core sees them. The scripts in `migrations` create them; a test compares the two.

    intent (the API writes)    tasks, blobs
    state (the master writes)  fence, task_states, frames, ledger, latencies, request_figures, marks, intake, failovers

Every row of state carries the epoch that wrote it last.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
)

from ha_stress.tasks.ledger import COUNTERS

#: The newest migration script. Kept here so that a start with an up-to-date database needs no Alembic.
HEAD: Final = "0002"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: One row: the newest mastership that has written here. Every transaction of a master moves it first.
fence = Table(
    "fence",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("node", Text, nullable=False),
    Column("incarnation", Text, nullable=False),
    Column("why", Text, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("rate", Float, nullable=False),
    Column("wanted", Text, nullable=False),
    Column("intent", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
)

task_states = Table(
    "task_states",
    metadata,
    Column("task", Text, ForeignKey("tasks.id"), primary_key=True),
    Column("status", Text, nullable=False),
    Column("plan", JSON(none_as_null=True)),
    Column("seen_intent", BigInteger, nullable=False),
    Column("ended_at", Float),
    Column("outcome", JSON(none_as_null=True)),
    Column("epoch", BigInteger, nullable=False),
)


#: Fields of `Counters` that the first schema did not have: old rows have none of them.
_LATER: Final = ("bytes_out", "wrong", "retried", "connected", "closed", "cpu_us")


def _counters() -> list[Column[int]]:
    """The whole-number fields of `Counters`, each a column."""
    return [
        Column(name, BigInteger, nullable=False, server_default="0" if name in _LATER else None) for name in COUNTERS
    ]


#: `epoch` is the one under which the engine worked, `written_epoch` that of the master who committed the frame.
#: No foreign key to `tasks`: a frame is evidence and is kept even if its task is unknown here.
frames = Table(
    "frames",
    metadata,
    Column("node", Text, nullable=False),
    Column("incarnation", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("task", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("engine", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("second", BigInteger, nullable=False),
    Column("warm_up", Boolean, nullable=False, server_default=false()),
    *_counters(),
    Column("failed_total", BigInteger, nullable=False),
    Column("failed", JSON, nullable=False),
    Column("statuses", JSON, nullable=False),
    Column("checks", JSON, nullable=False, server_default="{}"),
    Column("response_us", LargeBinary, nullable=False),
    Column("service_us", LargeBinary, nullable=False),
    Column("written_epoch", BigInteger, nullable=False),
    PrimaryKeyConstraint("node", "incarnation", "sequence"),
    Index(None, "task", "second"),
    Index(None, "task", "warm_up"),  # what thresholds leave out is asked for each second, of however many frames
)

#: The committed sum of one holder's frames for one revision.
ledger = Table(
    "ledger",
    metadata,
    Column("task", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("node", Text, nullable=False),
    Column("incarnation", Text, nullable=False),
    *_counters(),
    Column("failed", JSON, nullable=False),
    Column("statuses", JSON, nullable=False),
    Column("checks", JSON, nullable=False, server_default="{}"),
    Column("epoch", BigInteger, nullable=False),
    PrimaryKeyConstraint("task", "revision", "node", "incarnation"),
)

#: Large things that a task names by their digest (SHA-256): request bodies, scenario data. Written once, never changed.
blobs = Table(
    "blobs",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

#: The merged histograms of a task, as HdrHistogram V2 blobs.
latencies = Table(
    "latencies",
    metadata,
    Column("task", Text, primary_key=True),
    Column("response_us", LargeBinary, nullable=False),
    Column("service_us", LargeBinary, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

#: What was counted under each name of a task's requests. Frames are not kept with it: it is never asked for by second, and
#: the frames of a task with many names would take twenty times their room. `place` is the order in which names came.
request_figures = Table(
    "request_figures",
    metadata,
    Column("task", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("wrong", BigInteger, nullable=False),
    Column("failed", JSON, nullable=False),
    Column("statuses", JSON, nullable=False),
    Column("service_us", LargeBinary, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    PrimaryKeyConstraint("task", "name"),
)

#: One row: how far the result stream has been read.
intake = Table(
    "intake",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("position", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

#: Per holder: `contiguous` is the mark; `islands` are the committed ranges [first, last] beyond the first gap.
marks = Table(
    "marks",
    metadata,
    Column("node", Text, nullable=False),
    Column("incarnation", Text, nullable=False),
    Column("contiguous", BigInteger, nullable=False),
    Column("islands", JSON, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    PrimaryKeyConstraint("node", "incarnation"),
)

failovers = Table(
    "failovers",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("data", JSON, nullable=False),
    Column("written_epoch", BigInteger, nullable=False),
)
