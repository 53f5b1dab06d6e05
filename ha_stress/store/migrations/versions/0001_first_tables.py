"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A script describes the schema of its own time: it must not import `ha_stress.store.schema`, which moves on.


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _big(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON, nullable=False)


def _blob(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def upgrade() -> None:
    _intent_and_state()
    _results()
    op.execute("INSERT INTO fence (id, epoch, node, incarnation, why) VALUES (1, 0, '', '', '')")
    op.execute("INSERT INTO intake (id, position, epoch) VALUES (1, '', 0)")


def _intent_and_state() -> None:
    op.create_table(
        "fence",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        *_big("epoch"),
        _text("node"),
        _text("incarnation"),
        _text("why"),
        sa.PrimaryKeyConstraint("id", name="pk_fence"),
        sa.CheckConstraint("id = 1", name=op.f("ck_fence_single")),
    )
    op.create_table(
        "tasks",
        _text("id"),
        _json("spec"),
        sa.Column("rate", sa.Float, nullable=False),
        _text("wanted"),
        *_big("intent"),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
    )
    op.create_table(
        "task_states",
        _text("task"),
        _text("status"),
        sa.Column("plan", sa.JSON),
        *_big("seen_intent"),
        sa.Column("ended_at", sa.Float),
        *_big("epoch"),
        sa.PrimaryKeyConstraint("task", name="pk_task_states"),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name="fk_task_states_task"),
    )
    op.create_table(
        "failovers",
        sa.Column("epoch", sa.BigInteger, autoincrement=False, nullable=False),
        _json("data"),
        *_big("written_epoch"),
        sa.PrimaryKeyConstraint("epoch", name="pk_failovers"),
    )


COUNTERS = ("intended", "started", "completed", "dropped", "late", "bytes_in")


def _results() -> None:
    op.create_table(
        "frames",
        _text("node"),
        _text("incarnation"),
        *_big("sequence"),
        _text("task"),
        *_big("revision", "engine", "epoch", "second", *COUNTERS, "failed_total"),
        _json("failed"),
        _json("statuses"),
        _blob("response_us"),
        _blob("service_us"),
        *_big("written_epoch"),
        sa.PrimaryKeyConstraint("node", "incarnation", "sequence", name="pk_frames"),
    )
    op.create_index("ix_frames_task_second", "frames", ["task", "second"])
    op.create_table(
        "ledger",
        _text("task"),
        *_big("revision"),
        _text("node"),
        _text("incarnation"),
        *_big(*COUNTERS),
        _json("failed"),
        _json("statuses"),
        *_big("epoch"),
        sa.PrimaryKeyConstraint("task", "revision", "node", "incarnation", name="pk_ledger"),
    )
    op.create_table(
        "latencies",
        _text("task"),
        _blob("response_us"),
        _blob("service_us"),
        *_big("epoch"),
        sa.PrimaryKeyConstraint("task", name="pk_latencies"),
    )
    op.create_table(
        "intake",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        _text("position"),
        *_big("epoch"),
        sa.PrimaryKeyConstraint("id", name="pk_intake"),
        sa.CheckConstraint("id = 1", name=op.f("ck_intake_single")),
    )
    op.create_table(
        "marks",
        _text("node"),
        _text("incarnation"),
        *_big("contiguous"),
        _json("islands"),
        *_big("epoch"),
        sa.PrimaryKeyConstraint("node", "incarnation", name="pk_marks"),
    )


def downgrade() -> None:
    raise NotImplementedError("the first schema has nothing below it")
