"""The clock by which moments are stored and histories are cut: PostgreSQL's, which is one.

Servers have a clock each. By those, an act could be stamped after the moment of the next answer,
which then would not know of it.
"""

from datetime import datetime

from sqlalchemy import func, select

from domain.core.reading import Reader, Statement

_NOW = Statement(select(func.clock_timestamp()))


async def now(reader: Reader) -> datetime:
    """The time in UTC, of this statement.

    Not of the start of the transaction, which may since have waited for a lock: a transaction that
    asks while it holds a lock gets a later time than every earlier holder of that lock.
    """
    rows = await reader.fetch(_NOW)
    moment: datetime = rows[0][0]
    return moment
