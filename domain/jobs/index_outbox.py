"""Marks: what changed and is not in the index yet, noted in the change's own transaction.

A mark is deleted once what it names was read after it, and written into the index. So a change that
is committed reaches the index, whatever crashes: at once by the routine job that follows the
commit, or else by the next sweep.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Index,
    TextClause,
    Uuid,
    all_,
    any_,
    cast,
    column,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from domain.core.base import Base, TenantScoped, one_of, vocabulary
from domain.core.events import Event, Topic
from domain.core.work import Work
from domain.jobs import property_log

REINDEX_ABOVE = 5000
"""Above so many changes one mark says that everything changed."""

INDEX_MARKED = "index_marked"
"""The routine job that writes into the index what is marked."""


class Marked(StrEnum):
    """What a mark names."""

    PROPERTY = "property"
    USER = "user"
    EVERYTHING = "everything"


class IndexMark(TenantScoped, Base):
    """A property or user that changed, since ``created_at``; or that everything may have."""

    __tablename__ = "index_marks"
    __table_args__ = (
        one_of("kind", Marked),
        Index("ix_index_marks_oldest", "tenant_id", "created_at"),
    )

    kind: Mapped[Marked] = mapped_column(vocabulary(Marked))
    subject_id: Mapped[UUID]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is marked: how many marks, and since when the oldest; None without any."""

    marks: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    """How many properties have no mark, and which have one."""

    properties: int
    marked: list[UUID]


_INSERT = """
    INSERT INTO index_marks (tenant_id, kind, subject_id)
    SELECT CAST(:tenant_id AS uuid), CAST(:kind AS text), unnest(CAST(:ids AS uuid[]))
"""
_LOGGED = f"""(
    SELECT CASE CAST(:kind AS text) WHEN '{Marked.PROPERTY}' THEN id END AS property_id
    FROM unnest(CAST(:ids AS uuid[])) AS id
) AS changed"""  # noqa: S608
_MARK = text(_INSERT)
_MARK_AND_LOG = text(f"WITH marked AS ({_INSERT}), {property_log.log(_LOGGED)}")
_MARK_INVESTORS = text(
    "INSERT INTO index_marks (tenant_id, kind, subject_id)"
    " SELECT DISTINCT CAST(:tenant_id AS uuid), :kind, user_id FROM interactions"
    " WHERE property_id = ANY(CAST(:ids AS uuid[]))"
)
_CONCERNED = text(
    "SELECT DISTINCT user_id FROM interactions"
    " JOIN index_marks ON index_marks.kind = 'property' AND subject_id = property_id"
    " WHERE user_id = ANY(CAST(:ids AS uuid[]))"
).columns(column("user_id", Uuid()))
# One statement, so one moment.
_SETTLED = text(
    "WITH marked AS ("
    " SELECT DISTINCT subject_id FROM index_marks WHERE kind = 'property' LIMIT :limit"
    ") SELECT"
    " (SELECT count(*) FROM properties"
    "  WHERE NOT EXISTS (SELECT FROM marked WHERE subject_id = properties.id)) AS properties,"
    " ARRAY(SELECT subject_id FROM marked) AS marked,"
    " EXISTS (SELECT FROM index_marks WHERE kind = 'everything') AS everything"
)
_TOPICS = {
    Marked.PROPERTY: Topic.PROPERTIES,
    Marked.USER: Topic.INTERACTION,
    Marked.EVERYTHING: Topic.PROPERTIES,
}


async def mark(work: Work, kind: Marked, ids: Sequence[UUID]) -> None:
    """Have the index follow a change of the ids, or of everything where they are too many.

    Properties are logged as well, for the processes that hold them in memory.
    """
    if not ids:
        return
    if len(ids) > REINDEX_ABOVE:
        await mark_everything(work)
    else:
        await _mark(work, kind, ids, _MARK if kind is Marked.USER else _MARK_AND_LOG)


async def mark_everything(work: Work) -> None:
    """Have everything of the tenant written into the index anew, and read anew into memory."""
    await _mark(work, Marked.EVERYTHING, [work.tenant_id], _MARK_AND_LOG)


async def mark_again(work: Work, kind: Marked, ids: Sequence[UUID]) -> None:
    """Have the index write ids anew that did not change."""
    if len(ids) > REINDEX_ABOVE:
        await _mark(work, Marked.EVERYTHING, [work.tenant_id], _MARK)
    elif ids:
        await _mark(work, kind, ids, _MARK)


async def _mark(work: Work, kind: Marked, ids: Sequence[UUID], statement: TextClause) -> None:
    values = {"tenant_id": work.tenant_id, "kind": kind, "ids": list(ids)}
    await work.session.execute(statement, values)
    work.enqueue(INDEX_MARKED)


async def follow(work: Work, kind: Marked, ids: Sequence[UUID]) -> None:
    """``mark`` the ids, and tell whoever listens, once, that properties or histories changed."""
    if ids:
        work.publish(Event(_TOPICS[kind]))
        await mark(work, kind, ids)


async def mark_investors(work: Work, property_ids: Sequence[UUID]) -> None:
    """Have the index follow those who acted on properties, which they are known by.

    For who holds the properties' rows, or has the routine job follow anyway: none is enqueued.
    """
    values = {"tenant_id": work.tenant_id, "kind": Marked.USER, "ids": list(property_ids)}
    await work.session.execute(_MARK_INVESTORS, values)


async def marks(work: Work, limit: int, without: Collection[UUID] = ()) -> list[IndexMark]:
    """The oldest marks of properties and users, except those of the ids ``without``."""
    query = select(IndexMark).where(IndexMark.kind != Marked.EVERYTHING)
    if without:
        # As one value: there may be more than a statement can have parameters.
        query = query.where(IndexMark.id != all_(cast(list(without), ARRAY(Uuid))))
    query = query.order_by(IndexMark.created_at, IndexMark.id).limit(limit)
    return list(await work.session.scalars(query))


async def all_marks(work: Work) -> list[IndexMark]:
    """All marks, of whatever kind."""
    return list(await work.session.scalars(select(IndexMark)))


async def marks_of(work: Work, subject_ids: Collection[UUID]) -> list[IndexMark]:
    """The marks of those properties or users."""
    query = select(IndexMark).where(IndexMark.subject_id.in_(subject_ids))
    return list(await work.session.scalars(query)) if subject_ids else []


async def concerned(work: Work, user_ids: Collection[UUID]) -> set[UUID]:
    """Those of the users who acted on a property that is marked, and who will be, too."""
    return set(await work.session.scalars(_CONCERNED, {"ids": list(user_ids)}))


async def marks_of_everything(work: Work) -> list[IndexMark]:
    """The marks that say that everything may have changed."""
    query = select(IndexMark).where(IndexMark.kind == Marked.EVERYTHING)
    return list(await work.session.scalars(query))


async def unmark(work: Work, done: Sequence[IndexMark]) -> None:
    """Delete marks whose subjects are in the index with this commit."""
    ids = cast([one.id for one in done], ARRAY(Uuid))
    await work.session.execute(delete(IndexMark).where(IndexMark.id == any_(ids)))


async def settled(work: Work) -> Settled | None:
    """What the index must hold already; None while too much is marked to tell it apart."""
    row = (await work.session.execute(_SETTLED, {"limit": REINDEX_ABOVE + 1})).one()
    if row.everything or len(row.marked) > REINDEX_ABOVE:
        return None
    return Settled(row.properties, row.marked)


async def waiting(work: Work) -> Waiting:
    """What is marked."""
    query = select(func.count(), func.min(IndexMark.created_at))
    count, oldest = (await work.session.execute(query)).one()
    return Waiting(count, oldest)
