"""Keep what is overwritten and deleted, and a record of imports."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.row_level_security import protect

revision: str = "0009"
down_revision: str | None = "0008"

MOMENT = sa.DateTime(timezone=True)
JSON = postgresql.JSONB


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column(
            "created_at", MOMENT, nullable=False, server_default=sa.text("statement_timestamp()")
        ),
        sa.Column("import_id", sa.Uuid),
        sa.Column("noun", sa.String(20), nullable=False),
        sa.Column("operation", sa.String(20), nullable=False),
        sa.Column("subject_id", sa.Uuid),
        sa.Column("user_id", sa.Uuid),
        sa.Column("inserted", postgresql.ARRAY(sa.Uuid)),
        sa.Column("before", JSON),
        sa.Column("provenance", JSON),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_changes"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_changes_tenant_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint("noun IN ('PROPERTY', 'INTERACTION', 'USER')", name="ck_changes_noun"),
        sa.CheckConstraint(
            "operation IN ('INSERT', 'UPDATE', 'DELETE')", name="ck_changes_operation"
        ),
    )
    op.create_index(
        "ix_changes_user",
        "changes",
        ["tenant_id", "user_id"],
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_index(
        "ix_changes_import",
        "changes",
        ["tenant_id", "import_id"],
        postgresql_where=sa.text("import_id IS NOT NULL"),
    )
    protect("changes")
    op.create_table(
        "imports",
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column(
            "created_at", MOMENT, nullable=False, server_default=sa.text("clock_timestamp()")
        ),
        sa.Column("noun", sa.String(20), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("format", sa.Text),
        sa.Column("mapping", JSON, nullable=False, server_default="{}"),
        sa.Column("options", JSON, nullable=False, server_default="{}"),
        sa.Column("counts", JSON, nullable=False, server_default="{}"),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("undone_at", MOMENT),
        sa.Column("undone_by", sa.Text),
        sa.Column("purged_at", MOMENT),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="pk_imports"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_imports_tenant_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint("noun IN ('PROPERTY', 'INTERACTION', 'USER')", name="ck_imports_noun"),
    )
    op.create_index("ix_imports_newest", "imports", ["tenant_id", "created_at", "id"])
    protect("imports")


def downgrade() -> None:
    op.drop_table("imports")
    op.drop_table("changes")
