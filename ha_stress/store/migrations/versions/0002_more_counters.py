"""Counters of checks, connections and processor time; large bodies and data, stored once."""

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


def downgrade() -> None:
    raise NotImplementedError("going back would lose what was counted")
