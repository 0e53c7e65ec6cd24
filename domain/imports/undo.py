"""Undoing an import: everything it wrote is taken back, except what changed since.

The table ``changes`` holds what an import wrote, and every later write of the same rows. A value
is taken back only if no later write changed it. What was taken back is then deleted there, so that
the import before can be undone next.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import func, select, text, update

from domain.changes.changes import Change, Noun
from domain.contract.vocabulary import Role
from domain.core.errors import invalid, not_found
from domain.core.events import Event, Topic
from domain.core.work import Work
from domain.imports import undo_statements as sql
from domain.imports.record import Import
from domain.interactions.interactions import refresh_totals
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.properties.upsert import lock


@dataclass(frozen=True, slots=True)
class Left:
    """Something that an undo left as it is.

    Attributes:
        noun: what it is.
        id: of the row, whether or not it still exists.
        name: external id of the property or user; of an interaction, that of its property. The id
            if that row no longer exists.
        reason: why it was left.
        fields: the fields that were left; empty where the whole row was.
    """

    noun: Noun
    id: UUID
    name: str
    reason: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        fields = f": {', '.join(self.fields)}" if self.fields else ""
        return f"{self.noun.lower()} {self.name!r}: {self.reason}{fields}"


@dataclass(slots=True)
class UndoReport:
    """What an undo did.

    Attributes:
        import_id: the import that was undone.
        source: its file or URL.
        created_at: when it was made.
        properties_restored: deleted properties that exist again.
        properties_reverted: properties that have previous values again.
        properties_removed: properties that the import had inserted.
        interactions_restored: interactions that had gone with deleted properties.
        interactions_reverted: thumbs that are as before the import.
        interactions_removed: interactions that the import had inserted.
        users_removed: users whom the import had created.
        left: the first ``PROBLEM_LIMIT`` of what was left as it is.
        left_by_reason: how much was left, by noun and reason.
    """

    import_id: UUID
    source: str
    created_at: datetime
    properties_restored: int = 0
    properties_reverted: int = 0
    properties_removed: int = 0
    interactions_restored: int = 0
    interactions_reverted: int = 0
    interactions_removed: int = 0
    users_removed: int = 0
    left: list[Left] = field(default_factory=list)
    left_by_reason: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """The report as plain lines of text."""
        done = [
            f"{count:,} {what}"
            for count, what in (
                (self.properties_restored, "properties restored"),
                (self.properties_reverted, "properties with their previous values"),
                (self.properties_removed, "properties removed"),
                (self.interactions_restored, "interactions restored"),
                (self.interactions_reverted, "thumbs as before"),
                (self.interactions_removed, "interactions removed"),
                (self.users_removed, "users removed"),
            )
            if count
        ]
        more = self.left_by_reason.total() - len(self.left)
        reasons = [f"  {count:,} x {why}" for why, count in self.left_by_reason.most_common()]
        return [
            f"undone: import {self.import_id} of {self.source}, "
            f"{self.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            ", ".join(done) or "nothing to take back",
            *(["left as they are, by reason:", *reasons] if reasons else []),
            *(["namely:", *(f"  {one}" for one in self.left)] if self.left else []),
            *([f"  and {more:,} more"] if self.left and more else []),
        ]


async def size(work: Work, import_id: UUID) -> int:
    """How many rows the import wrote, which an undo would have to take back."""
    rows = select(
        func.coalesce(func.sum(func.coalesce(func.cardinality(Change.inserted), 1)), 0)
    ).where(Change.tenant_id == work.tenant_id, Change.import_id == import_id)
    return int(await work.session.scalar(rows) or 0)


async def undo(
    work: Work, import_id: UUID | None, actor: str, *, at_most: int | None = None
) -> UndoReport:
    """Undo an import, the last that is not undone unless one is named.

    Deleted properties come back under their ids, with their provenance and interactions; changed
    fields get their previous values; inserted rows go, and so do users who were created and have
    done nothing else. What changed since is left and reported: a field that was written again, an
    inserted property that was changed or acted on, an external id that is in use again. The index
    follows after the commit.

    Args:
        work: the unit of work; roll it back if this raises.
        import_id: the import, or None for the last.
        actor: who undoes it, for the record.
        at_most: refuse an import that wrote more rows.

    Raises:
        DomainError: NOT_FOUND for no such import; INVALID_INPUT, blaming ``importId``, for one that
            is undone, or too old, or that wrote more than ``at_most`` rows.
    """
    await lock(work)
    undone = await _find(work, import_id)
    if at_most is not None and (rows := await size(work, undone.id)) > at_most:
        raise invalid(
            f"import {undone.id} wrote {rows:,} rows, more than the {at_most:,} that one request "
            f"may undo: run `twin import undo --tenant SLUG {undone.id}`",
            "importId",
        )
    report = UndoReport(undone.id, undone.source, undone.created_at)
    steps = _Steps(work, undone)
    await steps.run(*sql.STAGE, *sql.HOLD, *sql.LATER)
    rounds = await work.session.scalar(text("SELECT coalesce(max(round), 0) FROM undo_writes")) or 0

    await steps.run(*sql.LEAVE_INTERACTIONS)
    report.interactions_removed = await steps.count(sql.REMOVE_INTERACTIONS)
    for number in range(1, rounds + 1):
        thumbs = await steps.count(sql.REVERT_INTERACTIONS, round=number)
        report.interactions_reverted = max(report.interactions_reverted, thumbs)
    await steps.run(sql.LEAVE_USERS)
    users = await steps.ids(sql.REMOVE_USERS)

    await steps.run(sql.LEAVE_INSERTED, sql.LEAVE_UPDATED)
    removed = await steps.ids(sql.REMOVE_PROPERTIES)
    await steps.run(sql.LEAVE_DELETED, sql.LEAVE_DELETED_INTERACTIONS)
    restored = await steps.ids(sql.RESTORE_PROPERTIES)
    reverted: set[UUID] = set()
    for number in range(1, rounds + 1):
        reverted |= set(await steps.ids(sql.REVERT_PROPERTIES, round=number))
    report.interactions_restored = await steps.count(sql.RESTORE_INTERACTIONS)
    report.users_removed = len(users)
    report.properties_removed, report.properties_restored = len(removed), len(restored)
    report.properties_reverted = len(reverted - set(restored))

    await _list_left(work, report, undone)
    await steps.run(*sql.FORGET)
    await _follow(work, removed, restored, reverted, users)
    await work.session.execute(
        update(Import)
        .where(Import.tenant_id == work.tenant_id, Import.id == undone.id)
        .values(undone_at=func.clock_timestamp(), undone_by=actor)
    )
    return report


class _Steps:
    """The statements of an undo, with its parameters."""

    def __init__(self, work: Work, undone: Import) -> None:
        self._session = work.session
        self._values = {
            "tenant_id": work.tenant_id,
            "import_id": undone.id,
            "role": undone.options.get("role", Role.VIEWER),
        }

    async def run(self, *statements: str) -> None:
        for one in statements:
            await self._session.execute(text(one), self._values)

    async def count(self, statement: str, **more: int) -> int:
        return await self._session.scalar(text(statement), self._values | more) or 0

    async def ids(self, statement: str, **more: int) -> list[UUID]:
        return list(await self._session.scalars(text(statement), self._values | more))


async def _find(work: Work, import_id: UUID | None) -> Import:
    wanted = select(Import).where(Import.tenant_id == work.tenant_id).with_for_update()
    if import_id is not None:
        found = await work.session.scalar(wanted.where(Import.id == import_id))
        if found is None:
            raise not_found("import", ("importId",))
    else:
        newest = wanted.where(Import.undone_at.is_(None)).order_by(
            Import.created_at.desc(), Import.id.desc()
        )
        found = await work.session.scalar(newest.limit(1))
        if found is None:
            raise invalid("there is no import to undo", "importId")
    await work.session.refresh(found)
    if found.undone_at is not None:
        raise invalid(
            f"import {found.id} was undone at {found.undone_at:%Y-%m-%d %H:%M} UTC; to take that "
            "back, import its file again",
            "importId",
        )
    if found.purged_at is not None:
        raise invalid(
            f"import {found.id} is too old: what it overwrote is no longer kept; the rule "
            "changes_days of the tenant's policy says for how long",
            "importId",
        )
    return found


async def _list_left(work: Work, report: UndoReport, undone: Import) -> None:
    for row in await work.session.execute(sql.LEFT):
        fields = tuple(row.fields or ())
        report.left.append(Left(Noun(row.noun), row.id, row.name, row.reason, fields))
    for noun, reason, count in await work.session.execute(sql.LEFT_COUNTS):
        report.left_by_reason[f"{noun.lower()}: {reason}"] = count
    deleted = undone.counts.get("deleted_interactions", 0)
    erased = deleted - report.interactions_restored - report.left_by_reason[sql.WITH_PROPERTY]
    if erased > 0:
        report.left_by_reason["interaction: its user was deleted since"] = erased


async def _follow(
    work: Work, removed: list[UUID], restored: list[UUID], reverted: set[UUID], users: list[UUID]
) -> None:
    limit = index_outbox.REINDEX_ABOVE + 1
    touched = (await work.session.execute(sql.TOUCHED, {"limit": limit})).one()
    properties, investors = {*touched[0], *restored}, list(touched[1])
    if properties:
        await refresh_totals(work, list(properties) if len(properties) < limit else None)
    await index_outbox.follow(work, Marked.PROPERTY, [*removed, *{*restored, *reverted}])
    await index_outbox.follow(work, Marked.USER, [*investors, *users])
    # Each once; ``publish`` would compare them all.
    work.events.extend(Event(Topic.MEMBER, one) for one in users)
