"""How a table becomes a tenant's: used by every migration that adds one."""

from alembic import context, op

TENANT = "NULLIF(current_setting('app.tenant_id', true), '')::uuid"
"""The tenant of the transaction; after a commit the setting is an empty string, not null."""


def application_role() -> str:
    """The role the application connects as, quoted."""
    role = context.config.attributes["application_role"]
    return '"' + str(role).replace('"', '""') + '"'


def protect(table: str) -> None:
    """Bind a table with a tenant_id to its tenant, for the owner too, and grant its use."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {table} USING (tenant_id = {TENANT})")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {application_role()}")
