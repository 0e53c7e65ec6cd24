"""How many investors own a property, and what an investor says is wanted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0002"
down_revision: str | None = "0001"

# Row-level security binds the owner of the tables too: tenant by tenant, as the application does.
COUNT_OWNERS = """
    DO $$
    DECLARE tenant uuid;
    BEGIN
        FOR tenant IN SELECT id FROM tenants LOOP
            PERFORM set_config('app.tenant_id', tenant::text, true);
            UPDATE properties SET owners = deals.owners
            FROM (
                SELECT property_id, count(DISTINCT user_id) AS owners
                FROM interactions WHERE kind = 'DEAL' GROUP BY property_id
            ) AS deals
            WHERE properties.id = deals.property_id;
        END LOOP;
        PERFORM set_config('app.tenant_id', '', true);
    END $$
"""


def upgrade() -> None:
    op.add_column("users", sa.Column("buy_box", JSONB))
    op.add_column("users", sa.Column("buy_box_set_at", sa.DateTime(timezone=True)))
    op.add_column("properties", sa.Column("owners", sa.Integer, nullable=False, server_default="0"))
    op.execute(COUNT_OWNERS)


def downgrade() -> None:
    op.drop_column("properties", "owners")
    op.drop_column("users", "buy_box_set_at")
    op.drop_column("users", "buy_box")
