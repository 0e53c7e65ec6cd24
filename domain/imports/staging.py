"""Temporary tables that rows are copied into, for COPY is refused under row-level security."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import text

from domain.core.database import Database
from domain.core.work import Work

SETTINGS = (
    "SET LOCAL work_mem = '64MB'",
    # The server cannot know a new tenant's size: it would guess one row and join in nested loops,
    # which takes minutes for some thousand rows. All joins of an import are of whole sets.
    "SET LOCAL enable_nestloop = off",
)
"""How the rest of an import's transaction runs."""


async def stage(
    work: Work,
    table: str,
    definition: str,
    columns: Iterable[str],
    rows: Iterable[Any],
    joined: Iterable[str],
) -> None:
    """Copy rows into a new temporary table that lives as long as the transaction.

    Args:
        work: the unit of work.
        table: the table's name.
        definition: its columns, as SQL.
        columns: the columns that the rows hold, in their order.
        rows: tuples, taken one at a time as the server accepts them.
        joined: the columns that later statements join by or look for.
    """
    for setting in SETTINGS:
        await work.session.execute(text(setting))
    await work.session.execute(text(f"DROP TABLE IF EXISTS pg_temp.{table}"))
    await work.session.execute(text(f"CREATE TEMP TABLE {table} ({definition}) ON COMMIT DROP"))
    connection = await Database.driver_connection(work.session)
    await connection.copy_records_to_table(table, records=rows, columns=list(columns))
    # Nobody else gathers a temporary table's statistics. Those of other columns help no plan.
    await work.session.execute(text(f"ANALYZE {table} ({', '.join(joined)})"))
