"""How far a tenant has read the feeds of RESO Web APIs."""

import sqlalchemy as sa
from alembic import op

from migrations.row_level_security import protect

revision: str = "0010"
down_revision: str | None = "0009"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "reso_feeds",
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("created_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("watermark", MOMENT),
        sa.Column("since", MOMENT),
        sa.Column("started_at", MOMENT),
        sa.Column("reached", MOMENT),
        sa.Column("in_order", sa.Boolean),
        sa.Column("next_link", sa.Text),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_reso_feeds"),
        sa.UniqueConstraint("tenant_id", "url", name="uq_reso_feeds_tenant_id_url"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_reso_feeds_tenant_id", ondelete="CASCADE"
        ),
    )
    protect("reso_feeds")


def downgrade() -> None:
    op.drop_table("reso_feeds")
