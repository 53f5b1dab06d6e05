"""Counters of checks, connections and processor time; which frames are of the warm-up; figures by name of the requests of a
mix or a scenario; large bodies and data, stored once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: Not read from the program: a script describes the schema of its own time.
COUNTERS = ("bytes_out", "wrong", "retried", "connected", "closed", "cpu_us")


def upgrade() -> None:
    for table in ("frames", "ledger"):
        for name in COUNTERS:
            op.add_column(table, sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
        op.add_column(table, sa.Column("checks", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("task_states", sa.Column("outcome", sa.JSON))
    op.create_table(
        "blobs",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
    )
    op.add_column("frames", sa.Column("warm_up", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("ix_frames_task_warm_up", "frames", ["task", "warm_up"])
    op.create_table(
        "request_figures",
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("completed", sa.BigInteger, nullable=False),
        sa.Column("wrong", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.JSON, nullable=False),
        sa.Column("statuses", sa.JSON, nullable=False),
        sa.Column("service_us", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("task", "name", name="pk_request_figures"),
    )


def downgrade() -> None:
    raise NotImplementedError("going back would lose what was counted")
