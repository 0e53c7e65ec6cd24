"""The main tables: tenants, users, properties, interactions, model versions, job runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.row_level_security import TENANT, application_role, protect

revision: str = "0001"
down_revision: str | None = None

MOMENT = sa.DateTime(timezone=True)
REAL = sa.Float(53)
NOW = sa.text("now()")
TABLES = ("users", "properties", "interactions", "model_versions", "job_runs")


def scoped(table: str, *parts: sa.schema.SchemaItem) -> None:
    """Create a table of a tenant's rows and protect it."""
    op.create_table(
        table,
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        *parts,
        sa.PrimaryKeyConstraint("tenant_id", "id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id", ondelete="CASCADE"
        ),
    )
    protect(table)


def one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    """A check that a column holds one of the values."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"ck_{table}_{column}")


def upgrade() -> None:
    role = application_role()
    op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")

    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("active_model_version_id", sa.Uuid),
        sa.Column("created_at", MOMENT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("slug", name="uq_tenants_slug"),
    )
    # The list is for all to read, so that a slug can be resolved and jobs can be planned; a row
    # is written by its own tenant alone.
    op.execute("ALTER TABLE tenants ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE tenants FORCE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY readable ON tenants FOR SELECT USING (true)")
    op.execute(f"CREATE POLICY own_insert ON tenants FOR INSERT WITH CHECK (id = {TENANT})")
    op.execute(f"CREATE POLICY own_update ON tenants FOR UPDATE USING (id = {TENANT})")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON tenants TO {role}")
    # /readyz compares it with the newest migration of the code.
    op.execute(f"GRANT SELECT ON alembic_version TO {role}")

    scoped(
        "users",
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("simulated", sa.Boolean, nullable=False, server_default="false"),
        sa.UniqueConstraint("tenant_id", "external_id", name="uq_users_tenant_id_external_id"),
        one_of("users", "role", "viewer", "analyst", "admin"),
    )
    op.create_index(
        "uq_users_tenant_id_email", "users", ["tenant_id", sa.text("lower(email)")], unique=True
    )

    scoped(
        "properties",
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("city", sa.Text),
        sa.Column("state", sa.Text),
        sa.Column("zipcode", sa.Text),
        sa.Column("latitude", REAL),
        sa.Column("longitude", REAL),
        sa.Column("property_type", sa.String(20)),
        sa.Column("listing_status", sa.String(20)),
        sa.Column("listing_price", REAL),
        sa.Column("estimated_value", REAL),
        sa.Column("cap_rate", REAL),
        sa.Column("cash_on_cash_return", REAL),
        sa.Column("bedrooms", sa.Integer),
        sa.Column("bathrooms", REAL),
        sa.Column("square_feet", REAL),
        sa.Column("lot_square_feet", REAL),
        sa.Column("year_built", sa.Integer),
        sa.Column("days_on_market", sa.Integer),
        sa.Column("condition_score", REAL),
        sa.Column("renovation_needed", sa.Boolean),
        sa.Column("listed_at", MOMENT),
        sa.Column("source_system", sa.Text),
        sa.Column("confidence", REAL),
        sa.Column("provenance", JSONB, nullable=False, server_default="{}"),
        sa.Column("engagement", REAL, nullable=False, server_default="0"),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
        sa.UniqueConstraint("tenant_id", "external_id", name="uq_properties_tenant_id_external_id"),
        one_of(
            "properties", "property_type",
            "SINGLE_FAMILY", "CONDO", "TOWNHOUSE", "MULTI_FAMILY", "LAND",
        ),
        one_of("properties", "listing_status", "ACTIVE", "PENDING", "SOLD", "OFF_MARKET"),
    )  # fmt: skip
    op.create_index(
        "ix_properties_engagement", "properties", ["tenant_id", sa.text("engagement DESC"), "id"]
    )
    for columns in (
        ["tenant_id", "listing_price", "id"],
        ["tenant_id", "listed_at", "id"],
        ["tenant_id", "zipcode"],
        ["tenant_id", "latitude", "longitude"],
    ):
        op.create_index(f"ix_properties_{'_'.join(columns)}", "properties", columns)

    scoped(
        "interactions",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("property_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("simulated", sa.Boolean, nullable=False, server_default="false"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name="fk_interactions_tenant_id_user_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "property_id"],
            ["properties.tenant_id", "properties.id"],
            name="fk_interactions_tenant_id_property_id",
            ondelete="CASCADE",
        ),
        one_of(
            "interactions", "kind",
            "VIEW", "SAVE", "OUTREACH", "DEAL", "THUMBS_UP", "THUMBS_DOWN", "DISMISS",
        ),
    )  # fmt: skip
    op.create_index(
        "uq_interactions_act",
        "interactions",
        ["tenant_id", "user_id", "property_id", "kind", "occurred_at"],
        unique=True,
    )
    op.create_index(
        "uq_interactions_thumb",
        "interactions",
        ["tenant_id", "user_id", "property_id"],
        unique=True,
        postgresql_where=sa.text("kind IN ('THUMBS_UP', 'THUMBS_DOWN')"),
    )
    op.create_index(
        "ix_interactions_history",
        "interactions",
        ["tenant_id", "user_id", sa.text("occurred_at DESC")],
    )
    for columns in (["tenant_id", "property_id"], ["tenant_id", "occurred_at"]):
        op.create_index(f"ix_interactions_{'_'.join(columns)}", "interactions", columns)

    scoped(
        "model_versions",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("weights", sa.LargeBinary, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("metrics", JSONB, nullable=False),
        sa.Column("activated_at", MOMENT),
        sa.Column("retired_at", MOMENT),
        sa.UniqueConstraint("tenant_id", "number", name="uq_model_versions_tenant_id_number"),
        one_of("model_versions", "status", "trained", "active", "retired"),
    )
    op.create_foreign_key(
        "fk_tenants_id_active_model_version_id",
        "tenants",
        "model_versions",
        ["id", "active_model_version_id"],
        ["tenant_id", "id"],
    )

    scoped(
        "job_runs",
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("function", sa.Text, nullable=False),
        sa.Column("arguments", JSONB, nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="1"),
        sa.Column("progress", REAL, nullable=False, server_default="0"),
        sa.Column("message", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("result", JSONB),
        sa.Column("started_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("finished_at", MOMENT),
        one_of("job_runs", "status", "running", "succeeded", "failed"),
    )
    op.create_index(
        "ix_job_runs_tenant_id_job_id", "job_runs", ["tenant_id", "job_id"], unique=True
    )
    op.create_index("ix_job_runs_newest", "job_runs", ["tenant_id", sa.text("created_at DESC")])


def downgrade() -> None:
    op.drop_constraint("fk_tenants_id_active_model_version_id", "tenants")
    for table in reversed(TABLES):
        op.drop_table(table)
    op.execute(f"REVOKE SELECT ON alembic_version FROM {application_role()}")
    op.drop_table("tenants")
