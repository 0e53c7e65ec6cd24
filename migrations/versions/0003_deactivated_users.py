"""When a user was deactivated, and the order in which users are listed."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    op.add_column("users", sa.Column("deactivated_at", sa.DateTime(timezone=True)))
    op.create_index("ix_users_tenant_id_created_at_id", "users", ["tenant_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_users_tenant_id_created_at_id", "users")
    op.drop_column("users", "deactivated_at")
