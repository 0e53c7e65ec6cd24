"""The table of changes: previous values, deleted rows, and what imports inserted.

The statement that writes a row records what the row was, in the same transaction. ``twin import
undo`` reads it back. Rows are deleted by age, and with the user whom they concern.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    Uuid,
    delete,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.core.base import Base, one_of, vocabulary
from domain.core.work import Work


class Noun(StrEnum):
    """What was written."""

    PROPERTY = "PROPERTY"
    INTERACTION = "INTERACTION"
    USER = "USER"


class Operation(StrEnum):
    """How it was written."""

    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


class Change(Base):
    """One write of one row, or all rows of a noun that one statement of an import inserted.

    ``before`` is JSON. Of an updated property it holds the previous values of the fields that
    changed, and ``provenance`` is the whole of the previous provenance: copied as it is stored, it
    costs nearly nothing. Of an updated interaction and of any deleted row ``before`` holds the
    whole row. Insertions have ``inserted`` instead, the ids of the new
    rows, and no ``subject_id``. They are recorded for imports alone, because only
    imports are undone.

    ``import_id`` names the import that wrote, None for the API. Ids rise in the order in which the
    writes of one subject were made. ``user_id`` is the investor of an interaction; see ``erase``.
    """

    __tablename__ = "changes"
    __table_args__ = (
        # No foreign keys: one to imports would be checked for every row of a file, and one to users
        # would lock users while properties are locked, which others do the other way round.
        one_of("noun", Noun),
        one_of("operation", Operation),
        Index(
            "ix_changes_user",
            "tenant_id",
            "user_id",
            postgresql_where=text("user_id IS NOT NULL"),
        ),
        Index(
            "ix_changes_import",
            "tenant_id",
            "import_id",
            postgresql_where=text("import_id IS NOT NULL"),
        ),
    )

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    # Not when the transaction began, which may have waited for others that wrote the same rows.
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp())
    import_id: Mapped[UUID | None]
    noun: Mapped[Noun] = mapped_column(vocabulary(Noun))
    operation: Mapped[Operation] = mapped_column(vocabulary(Operation))
    subject_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    inserted: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


def record(noun: Noun, operation: Operation, rows: str, *, import_id: str = "NULL") -> str:
    """The statement that records updated or deleted rows.

    Args:
        noun: what they are.
        operation: what was done with them.
        rows: a source as SQL, with the columns ``id`` and ``before``, of interactions ``user_id``
            and of updated properties ``provenance``.
        import_id: SQL for the import's id; NULL for a write of the API.

    Returns:
        SQL with the parameter tenant_id.
    """
    user_id = "user_id" if noun is Noun.INTERACTION else "NULL"
    updated = (noun, operation) == (Noun.PROPERTY, Operation.UPDATE)
    provenance = "provenance" if updated else "NULL"
    return f"""
        INSERT INTO changes
            (tenant_id, import_id, noun, operation, subject_id, user_id, before, provenance)
        SELECT CAST(:tenant_id AS uuid), CAST({import_id} AS uuid), '{noun}', '{operation}', id,
            CAST({user_id} AS uuid), before, CAST({provenance} AS jsonb)
        FROM {rows}
    """  # noqa: S608  (made of names)


def record_inserted(noun: Noun, rows: str) -> str:
    """The statement that records which rows an import inserted, if any.

    Args:
        noun: what they are.
        rows: a source as SQL, with the column ``id``.

    Returns:
        SQL with the parameters tenant_id and import_id.
    """
    return f"""
        INSERT INTO changes (tenant_id, import_id, noun, operation, inserted)
        SELECT CAST(:tenant_id AS uuid), CAST(:import_id AS uuid), '{noun}',
            '{Operation.INSERT}', array_agg(id)
        FROM {rows} HAVING count(*) > 0
    """  # noqa: S608  (made of names)


async def erase(work: Work, user_id: UUID) -> None:
    """Delete what is kept of a user.

    Call this after the statement that deletes the user. That statement has waited for all
    transactions that record an interaction of the user, so this one sees what they recorded.
    """
    await work.session.execute(delete(Change).where(Change.user_id == user_id))
