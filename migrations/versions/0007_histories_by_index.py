"""Order the index of histories as histories are read, so that reading one can stop at its limit."""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"

INDEX = "ix_interactions_history"


def upgrade() -> None:
    _index(sa.text("occurred_at DESC"), sa.text("id DESC"))


def downgrade() -> None:
    _index(sa.text("occurred_at DESC"))


def _index(*order: sa.TextClause) -> None:
    op.drop_index(INDEX, "interactions")
    op.create_index(INDEX, "interactions", ["tenant_id", "user_id", *order])
