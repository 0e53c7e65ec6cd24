"""Order the index of histories as histories are read, so that reading one can stop at its limit.

While the index is built, interactions can be read but not written.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"

INDEX = "ix_interactions_history"
NEW = "ix_interactions_history_new"


def upgrade() -> None:
    _replace(sa.text("occurred_at DESC"), sa.text("id DESC"))


def downgrade() -> None:
    _replace(sa.text("occurred_at DESC"))


def _replace(*order: sa.TextClause) -> None:
    op.create_index(NEW, "interactions", ["tenant_id", "user_id", *order])
    # Only now, for this keeps readers waiting until the migration ends.
    op.drop_index(INDEX, "interactions")
    op.execute(f"ALTER INDEX {NEW} RENAME TO {INDEX}")
