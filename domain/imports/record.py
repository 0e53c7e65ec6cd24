"""The record of imports: which files were loaded, by whom, and with what outcome."""

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Index, Text, func, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from domain.changes.changes import Noun
from domain.core import keyset
from domain.core.base import Base, TenantScoped, one_of, vocabulary
from domain.core.keyset import Created
from domain.core.work import Work
from domain.imports.report import ImportReport
from domain.imports.sources import Source

SYSTEM = "system"
"""The actor where none is named."""

COUNTS = (
    "read", "inserted", "updated", "unchanged", "skipped", "deleted", "deleted_interactions",
    "users_created",
)  # fmt: skip
"""The counts of a report that are kept."""


class Import(TenantScoped, Base):
    """One import that was committed.

    ``source`` is the name of the file, or the URL; ``sha256`` the digest of the file's bytes in
    hexadecimal, None for a feed. ``mapping`` holds the column of each field, ``options`` those that
    differ from the defaults, ``counts`` those of ``ImportReport``.

    ``actor`` is who imported: ``cli:`` and the name of a user of the operating system, ``user:``
    and the id of a user of the tenant, ``service``, ``sample`` or ``system``.

    ``undone_at`` and ``undone_by`` say when it was undone, and who did. Since ``purged_at`` it
    cannot be undone any more.
    """

    __tablename__ = "imports"
    __table_args__ = (
        one_of("noun", Noun),
        Index("ix_imports_newest", "tenant_id", "created_at", "id"),
    )

    # clock_timestamp: several imports may share a transaction, and an undo takes the last.
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    noun: Mapped[Noun] = mapped_column(vocabulary(Noun))
    source: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str | None] = mapped_column(Text)
    format: Mapped[str | None] = mapped_column(Text)
    mapping: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    counts: Mapped[dict[str, int]] = mapped_column(JSONB, server_default="{}")
    actor: Mapped[str] = mapped_column(Text)
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None] = mapped_column(Text)
    purged_at: Mapped[datetime | None]


def command_line() -> str:
    """The actor of a command: the operating system's name of the user who runs it."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        # A container may run as a number that has no name.
        return f"cli:{os.getuid()}"


async def record(
    work: Work,
    noun: Noun,
    source: Source,
    *,
    actor: str = SYSTEM,
    options: Mapping[str, Any] | None = None,
) -> UUID:
    """Record an import in its own transaction; its writes are recorded under the id.

    Args:
        work: the unit of work of the import.
        noun: what is imported.
        source: what was read.
        actor: who imports.
        options: the options of the import, as JSON values.

    Returns:
        The import's id.
    """
    import_id = uuid4()
    await work.session.execute(
        insert(Import).values(
            tenant_id=work.tenant_id,
            id=import_id,
            noun=noun,
            source=source.name.rpartition("/")[2] if source.sha256 else source.name,
            sha256=source.sha256,
            actor=actor,
            options=dict(options or {}),
        )
    )
    return import_id


async def reopen(work: Work, import_id: UUID | None) -> UUID | None:
    """Lock an import that a further part continues. Returns None if it was undone or is unknown."""
    if import_id is None:
        return None
    held = select(Import.id).where(
        Import.tenant_id == work.tenant_id, Import.id == import_id, Import.undone_at.is_(None)
    )
    return await work.session.scalar(held.with_for_update())


async def finish(work: Work, import_id: UUID, report: ImportReport) -> None:
    """Record the counts and the mapping of an import, or add those of a further part."""
    report.import_id = import_id
    mine = (Import.tenant_id == work.tenant_id, Import.id == import_id)
    before = await work.session.scalar(select(Import.counts).where(*mine)) or {}
    await work.session.execute(
        update(Import)
        .where(*mine)
        .values(
            counts={name: before.get(name, 0) + getattr(report, name) for name in COUNTS},
            format=report.format,
            mapping=report.mapping,
        )
    )


async def get_many(work: Work, import_ids: Sequence[UUID]) -> list[Import]:
    """The imports that have one of the ids."""
    return list(await work.session.scalars(select(Import).where(Import.id.in_(import_ids))))


@dataclass(frozen=True, slots=True)
class ImportFilter:
    """Which imports are meant; all if nothing is said.

    Attributes:
        undone: undone, or not undone.
    """

    undone: bool | None = None


EVERY = ImportFilter()


def _matching(where: ImportFilter) -> list[ColumnElement[bool]]:
    if where.undone is None:
        return []
    return [Import.undone_at.is_not(None) == where.undone]


async def count(work: Work, where: ImportFilter = EVERY) -> int:
    """How many imports match."""
    query = select(func.count()).select_from(Import).where(*_matching(where))
    return await work.session.scalar(query) or 0


async def page(
    work: Work,
    where: ImportFilter = EVERY,
    limit: int = 100,
    *,
    after: Created | None = None,
    before: Created | None = None,
    backward: bool = False,
) -> Sequence[Import]:
    """Up to ``limit`` matching imports between two places, newest first.

    ``backward`` takes those nearest the end instead of the start.
    """
    return await keyset.page(
        work,
        select(Import).where(*_matching(where)),
        (Import.created_at, Import.id),
        limit,
        after=after,
        before=before,
        backward=backward,
        newest_first=True,
    )
