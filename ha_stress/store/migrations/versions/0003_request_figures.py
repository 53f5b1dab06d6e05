"""Figures by name of the requests of a mix or a scenario; which frames are of the warm-up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
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
