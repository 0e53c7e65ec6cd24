"""The words that properties are searched by.

PostgreSQL writes the whole table of properties again, during which nobody reads or writes it: run
it in a maintenance window. If others use the table for longer than ``WAIT`` it gives up and changes
nothing, rather than have all that comes later queue behind it.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"

WAIT = "5s"

BETWEEN = (
    '[] !"#$%&()*+,./:;<=>?@[\\\\^_`{|}~\t\n\r'
    "\u00a0\u00ab\u00b7\u00bb\u2010\u2011\u2012\u2013\u2014\u2018\u201c\u201d\u2026\u2116-]+"
)
"""What stands between words."""

WORDS = (
    "' ' || regexp_replace(replace(replace(lower((external_id || ' ' || coalesce(address, '') || "
    "' ' || coalesce(city, '') || ' ' || coalesce(state, '') || ' ' || coalesce(zipcode, '')) "
    f"COLLATE pg_c_utf8), '''', ''), '\u2019', ''), '{BETWEEN}', ' ', 'g')"
)


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{WAIT}'")
    search = sa.Column("search", sa.Text, sa.Computed(WORDS, persisted=True), nullable=False)
    op.add_column("properties", search)


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{WAIT}'")
    op.drop_column("properties", "search")
