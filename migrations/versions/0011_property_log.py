"""Which properties changed, for the processes that hold properties in memory.

Stop servers, workers and imports of the release before first: they change properties without
writing to the log, so the servers of this release would not see what they change.
"""

import sqlalchemy as sa
from alembic import op

from migrations.row_level_security import protect

revision: str = "0011"
down_revision: str | None = "0010"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "property_log",
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column(
            "created_at", MOMENT, nullable=False, server_default=sa.text("statement_timestamp()")
        ),
        sa.Column("property_id", sa.Uuid),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_property_log"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_property_log_tenant_id", ondelete="CASCADE"
        ),
    )
    # SQLAlchemy does not know the type.
    op.execute(
        "ALTER TABLE property_log"
        " ADD COLUMN transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()"
    )
    for name in ("transaction_id", "created_at"):
        op.create_index(f"ix_property_log_tenant_id_{name}", "property_log", ["tenant_id", name])
    protect("property_log")


def downgrade() -> None:
    op.drop_table("property_log")
