"""The property log: which properties changed, for the processes that hold properties in memory.

The transaction that changes properties logs them, in the statement that marks them for the index
(``domain.jobs.index_outbox``). Its commit notifies ``CHANNEL``. Who was not listening asks what
changed since its last look.

A reader's position is a snapshot of PostgreSQL's, not a number or a time: a transaction may take
its place in the log early and commit late, and what a snapshot did not see is known exactly.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
    Uuid,
    column,
    delete,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from domain.core.base import Base
from domain.core.reading import Reader, Statement, parameter
from domain.core.work import Work

CHANNEL = "property_log"
"""The channel of PostgreSQL on which servers hear the id of each tenant whose properties change."""

KEPT = timedelta(days=1)
"""How long entries are kept, from the statement that logs them."""

READ_WITHIN = timedelta(minutes=30)
"""How old a position may be.

The rest of ``KEPT`` is left to transactions that commit long after they logged a change.
"""

READ_AT_MOST = 10_000
"""Properties that a reader is told of at once; of more, it is told that everything changed."""


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's ``xid8``, the number of a transaction, which is never used again."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name in SQL."""
        return "xid8"


class PropertyChange(Base):
    """A property that a transaction changed, inserted or deleted.

    Where ``property_id`` is None, everything may have changed.
    """

    __tablename__ = "property_log"
    __table_args__ = (
        Index(None, "tenant_id", "transaction_id"),
        Index(None, "tenant_id", "created_at"),
    )

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp())
    transaction_id: Mapped[int] = mapped_column(
        TransactionId, server_default=func.pg_current_xact_id()
    )
    property_id: Mapped[UUID | None]


class Logged(NamedTuple):
    """What the log says since a position.

    Attributes:
        position: where to read on.
        property_ids: what changed, each once.
    """

    position: str
    property_ids: list[UUID]


def log(property_ids: str) -> str:
    """The statement that logs properties and has the commit tell of them.

    Args:
        property_ids: a source as SQL, with the column ``property_id``; null for everything.

    Returns:
        Parts of a WITH, and the query behind it, as SQL with the parameter tenant_id.
    """
    return f"""
        logged AS (
            INSERT INTO property_log (tenant_id, property_id)
            SELECT CAST(:tenant_id AS uuid), property_id FROM {property_ids}
        )
        SELECT pg_notify('{CHANNEL}', CAST(:tenant_id AS text))
    """  # noqa: S608  (made of names)


_POSITION = "CAST(pg_current_snapshot() AS text), extract(epoch FROM statement_timestamp())::float8"
_NOW = Statement(
    text(f"SELECT {_POSITION}").columns(column("snapshot", Text), column("moment", Double))
)
# One statement, so one snapshot: what it does not see, the position does not claim to have seen.
# A log that was restored from another server's dump has that server's numbers, which may be beyond
# all of this one: without the upper bound they would be news for ever.
_SINCE = Statement(
    text(
        f"""
        SELECT {_POSITION}, ARRAY(
            SELECT DISTINCT property_id FROM property_log
            WHERE transaction_id >= pg_snapshot_xmin(CAST(:seen AS pg_snapshot))
            AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())
            AND NOT pg_visible_in_snapshot(transaction_id, CAST(:seen AS pg_snapshot))
            LIMIT :limit
        )
        """  # noqa: S608
    )
    .bindparams(parameter("seen", Text()), parameter("limit", Integer()))
    .columns(column("snapshot", Text), column("moment", Double), column("ids", ARRAY(Uuid)))
)


async def position(reader: Reader) -> str:
    """Where the log stands: what commits from now on is since then."""
    ((snapshot, moment),) = await reader.fetch(_NOW)
    return f"{snapshot} {moment}"


async def since(reader: Reader, position: str) -> Logged | None:
    """What was committed since a position, which ``position`` or this function gave.

    Returns None if everything may have changed, or the position is older than ``READ_WITHIN``.
    """
    seen, before = position.split(" ")
    values = {"seen": seen, "limit": READ_AT_MOST + 1}
    ((snapshot, moment, ids),) = await reader.fetch(_SINCE, **values)
    too_old = moment - float(before) > READ_WITHIN.total_seconds()
    if too_old or None in ids or len(ids) > READ_AT_MOST:
        return None
    return Logged(f"{snapshot} {moment}", ids)


async def purge(work: Work, now: datetime) -> None:
    """Delete what was logged longer than ``KEPT`` before a moment."""
    await work.session.execute(delete(PropertyChange).where(PropertyChange.created_at < now - KEPT))
