"""Leases in place of locks that belonged to a connection.

Stop the workers and trainings before: those of the release before know nothing of leases, and would
write the index at the same time as those of this one.
"""

import sqlalchemy as sa
from alembic import op

from migrations.row_level_security import protect

revision: str = "0006"
down_revision: str | None = "0005"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("holder_id", sa.Uuid, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("awaited_at", MOMENT),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_leases"),
        sa.UniqueConstraint("tenant_id", "purpose", name="uq_leases_tenant_id_purpose"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_leases_tenant_id", ondelete="CASCADE"
        ),
    )
    protect("leases")


def downgrade() -> None:
    op.drop_table("leases")
