"""The life cycle of models and of what their index holds: states, marks, drift, experiments.

Stop the workers before: what they run is called off, and the queue's entries of before name jobs
that there are no more.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations.row_level_security import protect

revision: str = "0005"
down_revision: str | None = "0004"

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("now()")
NO_OBJECT = sa.text("'{}'")
NEW_TABLES = ("index_marks", "drift_measurements", "experiments")


def scoped(table: str, *parts: sa.schema.SchemaItem) -> None:
    """Create a table of a tenant's rows, which is still to be protected."""
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


def of_version(table: str, column: str) -> sa.ForeignKeyConstraint:
    """A reference to a version of the same tenant."""
    return sa.ForeignKeyConstraint(
        ["tenant_id", column],
        ["model_versions.tenant_id", "model_versions.id"],
        name=f"fk_{table}_tenant_id_{column}",
        ondelete="CASCADE",
    )


def allow(table: str, column: str, *values: str) -> None:
    """Have a column hold one of these values alone."""
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(column, table, f"{column} IN ({listed})")


def forbid_nothing(table: str, column: str) -> None:
    """Take back what a column may hold, under the name that the tables began with or ours."""
    for name in (f"ck_{table}_ck_{table}_{column}", f"ck_{table}_{column}"):
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")


def rewrite(table: str, column: str, kind: str, value: str) -> None:
    """Change a column in every row: unlike an UPDATE, row-level security does not bind this."""
    op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind} USING ({value})")


def upgrade() -> None:
    op.add_column("tenants", sa.Column("policy", JSONB, nullable=False, server_default=NO_OBJECT))

    forbid_nothing("model_versions", "status")
    allow(
        "model_versions", "status",
        "trained", "evaluated", "indexed", "active", "retired", "refused",
    )  # fmt: skip
    none = sa.text("'none'")
    op.add_column(
        "model_versions", sa.Column("space", sa.String(20), nullable=False, server_default=none)
    )
    rewrite(
        "model_versions", "space", "varchar(20)",
        "CASE WHEN status = 'active' THEN 'complete' ELSE space END",
    )  # fmt: skip
    allow("model_versions", "space", "none", "filling", "complete")
    for column in (
        sa.Column("space_since", MOMENT),
        sa.Column("run_id", sa.Uuid),
        sa.Column("parent_id", sa.Uuid),
        sa.Column("gates", JSONB, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("refusal", sa.Text),
        sa.Column("evaluation", JSONB),
        sa.Column("learned_until", MOMENT),
        sa.Column("read_at", MOMENT),
    ):
        op.add_column("model_versions", column)

    op.drop_index("ix_job_runs_tenant_id_job_id", "job_runs")
    op.drop_column("job_runs", "job_id")
    forbid_nothing("job_runs", "status")
    rewrite(
        "job_runs", "status", "varchar(20)",
        "CASE WHEN status = 'running' THEN 'cancelled' ELSE status END",
    )  # fmt: skip
    # By this a run is forgotten some day.
    rewrite(
        "job_runs", "finished_at", "timestamptz",
        "CASE WHEN status = 'cancelled' THEN now() ELSE finished_at END",
    )  # fmt: skip
    allow(
        "job_runs", "status",
        "queued", "running", "succeeded", "failed", "parked", "cancelled",
    )  # fmt: skip
    rewrite(
        "job_runs", "arguments", "jsonb",
        "CASE WHEN jsonb_typeof(arguments -> 0) = 'object' THEN arguments -> 0 ELSE '{}' END",
    )  # fmt: skip
    op.alter_column("job_runs", "attempt", server_default="0")
    op.add_column("job_runs", sa.Column("failures", sa.Integer, nullable=False, server_default="0"))
    op.add_column("job_runs", sa.Column("heartbeat_at", MOMENT))
    op.add_column(
        "job_runs",
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default="false"),
    )
    op.add_column("job_runs", sa.Column("trace", sa.Text))
    op.create_index(
        "uq_job_runs_waiting",
        "job_runs",
        ["tenant_id", "function"],
        unique=True,
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_job_runs_unfinished",
        "job_runs",
        ["tenant_id", "created_at"],
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )

    scoped(
        "index_marks",
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("subject_id", sa.Uuid, nullable=False),
    )
    allow("index_marks", "kind", "property", "user", "everything")
    op.create_index("ix_index_marks_oldest", "index_marks", ["tenant_id", "created_at"])
    # What waited in the queue is lost with it; once the table is protected, its owner is too.
    op.execute(
        "INSERT INTO index_marks (tenant_id, kind, subject_id) SELECT id, 'everything', id"
        " FROM tenants WHERE active_model_version_id IS NOT NULL"
    )

    scoped(
        "drift_measurements",
        sa.Column("version_id", sa.Uuid, nullable=False),
        sa.Column("features", JSONB, nullable=False),
        sa.Column("score", sa.Float(53)),
        sa.Column("level", sa.String(20), nullable=False),
        of_version("drift_measurements", "version_id"),
    )
    allow("drift_measurements", "level", "stable", "warning", "alert", "blocking")
    op.create_index(
        "ix_drift_measurements_newest",
        "drift_measurements",
        ["tenant_id", "version_id", sa.text("created_at DESC")],
    )

    scoped(
        "experiments",
        sa.Column("control_id", sa.Uuid, nullable=False),
        sa.Column("treatment_id", sa.Uuid, nullable=False),
        sa.Column("share", sa.Float(53), nullable=False),
        sa.Column("ended_at", MOMENT),
        of_version("experiments", "control_id"),
        of_version("experiments", "treatment_id"),
        sa.CheckConstraint("share > 0 AND share < 1", name="share"),
        sa.CheckConstraint("control_id <> treatment_id", name="versions"),
    )
    op.create_index(
        "uq_experiments_running",
        "experiments",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )

    for table in NEW_TABLES:
        protect(table)


def downgrade() -> None:
    for table in reversed(NEW_TABLES):
        op.drop_table(table)

    op.drop_index("ix_job_runs_unfinished", "job_runs")
    op.drop_index("uq_job_runs_waiting", "job_runs")
    for column in ("trace", "cancel_requested", "heartbeat_at", "failures"):
        op.drop_column("job_runs", column)
    op.alter_column("job_runs", "attempt", server_default="1")
    rewrite("job_runs", "arguments", "jsonb", "jsonb_build_array(arguments)")
    forbid_nothing("job_runs", "status")
    rewrite(
        "job_runs", "status", "varchar(20)",
        "CASE WHEN status IN ('succeeded', 'failed') THEN status ELSE 'failed' END",
    )  # fmt: skip
    allow("job_runs", "status", "running", "succeeded", "failed")
    op.add_column("job_runs", sa.Column("job_id", sa.Text, nullable=False, server_default=""))
    rewrite("job_runs", "job_id", "text", "id::text")
    op.alter_column("job_runs", "job_id", server_default=None)
    op.create_index(
        "ix_job_runs_tenant_id_job_id", "job_runs", ["tenant_id", "job_id"], unique=True
    )

    for column in (
        "read_at", "learned_until", "evaluation", "refusal", "gates", "parent_id", "run_id",
        "space_since",
    ):  # fmt: skip
        op.drop_column("model_versions", column)
    forbid_nothing("model_versions", "space")
    op.drop_column("model_versions", "space")
    forbid_nothing("model_versions", "status")
    rewrite(
        "model_versions", "status", "varchar(20)",
        "CASE WHEN status IN ('trained', 'active', 'retired') THEN status ELSE 'retired' END",
    )  # fmt: skip
    allow("model_versions", "status", "trained", "active", "retired")
    op.drop_column("tenants", "policy")
