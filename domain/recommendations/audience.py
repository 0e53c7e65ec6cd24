"""Investors instead of properties: whom a property would suit, and who buys alike."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, select

from domain.contract.ranked_lists import Key
from domain.contract.snapshots import InvestorHistory, ModelKey, Twin
from domain.contract.vocabulary import EXCLUDING, INTERACTION_WEIGHTS
from domain.core import clock
from domain.core.database import Database
from domain.core.errors import DomainError, ErrorCode, not_found
from domain.core.work import Work
from domain.interactions import histories
from domain.interactions.interactions import Interaction
from domain.properties import rows as property_rows
from domain.properties import snapshots
from domain.properties.rows import PropertyValues
from domain.recommendations.cold_start import ENGAGEMENT, ColdListing, interest, liked
from domain.recommendations.listings import digest
from domain.recommendations.paging import (
    Cursor,
    JudgedPage,
    ListSnapshot,
    Page,
    all_of,
    check_cursor,
    page_of,
    page_of_items,
)
from domain.recommendations.ranking import has_approvals, state_of
from domain.recommendations.reasons import FOLLOWED, no_active_model
from domain.recommendations.searching import searching
from domain.tenants import tenants
from domain.users import users
from domain.users.users import User

APPROVING = [kind for kind, weight in INTERACTION_WEIGHTS.items() if weight > 0]


@dataclass(frozen=True, slots=True)
class FoundUser:
    """An investor on a list, with its score in [0, 1]."""

    user: User
    score: float
    cursor: Cursor


class AudienceAsk(NamedTuple):
    """Which page of the investors whom a property would suit; see ``Audience.interested``."""

    property_id: UUID
    size: int
    after: Cursor | None = None
    before: Cursor | None = None


@dataclass(frozen=True, slots=True)
class _Scored:
    key: Key
    score: float


class Audience:
    """Answers for all tenants; every call names its tenant."""

    def __init__(self, database: Database, twin: Twin) -> None:
        self._database = database
        self._twin = twin

    async def interested(
        self, tenant_id: UUID, asked: Sequence[AudienceAsk]
    ) -> list[JudgedPage[FoundUser] | DomainError]:
        """Pages of the investors whom properties would suit, the best first, ties by id.

        The score is the affinity. Looked at are, for each property, the two hundred with an
        interest most like it; left out is who owns, dismissed or dislikes it, or is deactivated.
        A search of the index for each property, all at once; and else the same few queries and
        one batch of the model, however many properties.

        Without an active model all who approved of anything are looked at, in a query for each
        property.

        Returns:
            For each of those asked its page, or NOT_FOUND or CURSOR_EXPIRED.
        """
        async with self._database.work(tenant_id) as work:
            now = await clock.now(work)
            version_id = await tenants.active_version_id(work)
            rows = await property_rows.get_many(work, [ask.property_id for ask in asked])
            excluded = await _excluded(work, list(rows)) if version_id else {}
        version = str(version_id) if version_id else ENGAGEMENT
        answers: dict[AudienceAsk, JudgedPage[FoundUser] | DomainError] = {}
        ready: dict[float, list[AudienceAsk]] = {}
        for ask in asked:
            cursor = ask.before or ask.after
            try:
                if ask.property_id not in rows:
                    raise not_found("property", ("propertyId",))
                check_cursor(_snapshot(version, 0.0, rows[ask.property_id]), cursor)
            except DomainError as refusal:
                answers[ask] = refusal
            else:
                as_of = cursor.snapshot.as_of if cursor else now.timestamp()
                ready.setdefault(as_of, []).append(ask)
        # Nearly always one: a request rarely goes on with two lists of different moments.
        for as_of, some in ready.items():
            found = [rows[ask.property_id] for ask in some]
            if version_id is None:
                for ask, row in zip(some, found, strict=True):
                    answers[ask] = await self._cold(tenant_id, as_of, ask, row)
            else:
                unwanted = [excluded[row.id] for row in found]
                model = ModelKey(tenant_id, version_id)
                answers |= await self._score(model, as_of, some, found, unwanted)
        return [answers[ask] for ask in asked]

    async def similar(
        self,
        tenant_id: UUID,
        user_id: UUID,
        size: int,
        after: Cursor | None = None,
        before: Cursor | None = None,
    ) -> Page[FoundUser]:
        """A page of the investors who buy like one, the most alike first; see ``Twin.kin``.

        Empty for an investor without interests. Who is deactivated is left out.

        Raises:
            DomainError: NOT_FOUND for the user; NO_ACTIVE_MODEL; CURSOR_EXPIRED.
        """
        cursor = before or after
        async with self._database.work(tenant_id) as work:
            await users.get(work, user_id, "userId")
            version_id = await tenants.active_version_id(work)
            if version_id is None:
                raise DomainError(
                    ErrorCode.NO_ACTIVE_MODEL,
                    "No model is active yet, and what investors have in common is what a model "
                    "learns of them; ask again once `activeModel` is not null.",
                )
            gone = await _deactivated(work)
        with searching():
            kin = await self._twin.kin(
                ModelKey(tenant_id, version_id), user_id, gone, _floor(cursor)
            )
        snapshot = ListSnapshot(str(version_id), 0.0, digest(kin.state), (kin.above,))
        check_cursor(snapshot, cursor)
        scored = [_Scored(Key(-score, one), score) for one, score in kin.likeness.items()]
        people: dict[UUID, User] = {}

        async def shown(ids: Collection[UUID]) -> set[UUID]:
            # The index may still hold who was deleted or deactivated.
            people.update(await self._active(tenant_id, ids))
            return set(people)

        items = sorted(scored, key=lambda one: one.key)
        page = await page_of_items(items, snapshot, shown, size, after, before)
        return Page(_people(page, people), page.has_next, page.has_previous)

    async def _score(
        self,
        model: ModelKey,
        as_of: float,
        asked: Sequence[AudienceAsk],
        found: Sequence[PropertyValues],
        unwanted: Sequence[Collection[UUID]],
    ) -> dict[AudienceAsk, JudgedPage[FoundUser]]:
        columns = snapshots.columns_of(found)
        bounds = [_floor(ask.before or ask.after) for ask in asked]
        with searching():
            audiences = await self._twin.audience(model, columns, unwanted, bounds)
        everyone = list(dict.fromkeys(one for near, _ in audiences for one in near))
        async with self._database.work(model.tenant_id) as work:
            known = await histories.get_many(work, everyone, datetime.fromtimestamp(as_of, UTC))
        investors: list[InvestorHistory] = [
            known[one] for one in everyone if has_approvals(known[one])
        ]
        matrix = await self._twin.score(model, investors, columns)
        row_of = {history.user_id: row for row, history in enumerate(investors)}
        pages = {}
        for column, (ask, (near, above)) in enumerate(zip(asked, audiences, strict=True)):
            scored = [
                _Scored(Key(-score, one), score)
                for one in near
                if one in row_of
                for score in [float(matrix[row_of[one], column])]
            ]
            items = sorted(scored, key=lambda one: one.key)
            snapshot = _snapshot(str(model.version_id), as_of, found[column], above)
            # Who is deactivated was left out of the search.
            pages[ask] = await page_of_items(
                items, snapshot, all_of, ask.size, ask.after, ask.before
            )
        shown = {item.key.id for page in pages.values() for _, item in page.items}
        people = await self._active(model.tenant_id, shown)
        return {
            ask: JudgedPage(
                _people(page, people), page.has_next, page.has_previous, model.version_id, None
            )
            for ask, page in pages.items()
        }

    async def _cold(
        self, tenant_id: UUID, as_of: float, ask: AudienceAsk, found: PropertyValues
    ) -> JudgedPage[FoundUser]:
        """A page of the investors whom a property would suit, without a model."""
        # That of the first page, so that no view of the property moves anybody meanwhile.
        share = _floor(ask.before or ask.after)
        share = liked(found) if share is None else share
        listing = ColdListing(
            lambda: self._database.work(tenant_id),
            User, interest(found, share), _investors(for_property=found.id),
        )  # fmt: skip
        snapshot = _snapshot(ENGAGEMENT, as_of, found, share)
        page = await page_of(listing, snapshot, all_of, ask.size, ask.after, ask.before)
        items = [FoundUser(item.row, item.score, cursor) for cursor, item in page.items]
        reason = no_active_model("list", f"the investors' buy boxes and {FOLLOWED}")
        return JudgedPage(items, page.has_next, page.has_previous, None, reason)

    async def _active(self, tenant_id: UUID, ids: Collection[UUID]) -> dict[UUID, User]:
        """Those of the users who exist and are not deactivated."""
        async with self._database.work(tenant_id) as work:
            found = await users.get_many(work, list(ids))
        return {one.id: one for one in found.values() if one.deactivated_at is None}


def _people(page: Page[tuple[Cursor, _Scored]], people: Mapping[UUID, User]) -> list[FoundUser]:
    """The users of a page, without who was deleted or deactivated just now."""
    return [
        FoundUser(people[item.key.id], item.score, cursor)
        for cursor, item in page.items
        if item.key.id in people
    ]


async def count_investors(
    work: Work, *, for_property: UUID | None = None, but: UUID | None = None
) -> int:
    """How many active users approved of anything.

    Args:
        work: the unit of work.
        for_property: without those who own, dismissed or dislike this property.
        but: without this one.
    """
    wanted = _investors(for_property=for_property)
    if but is not None:
        wanted.append(User.id != but)
    query = select(func.count()).select_from(User).where(*wanted)
    return await work.session.scalar(query) or 0


def _investors(*, for_property: UUID | None) -> list[ColumnElement[bool]]:
    """Who is active and approved of anything, without those to whom a property means nothing."""
    wanted: list[ColumnElement[bool]] = [
        User.deactivated_at.is_(None),
        exists().where(Interaction.user_id == User.id, Interaction.kind.in_(APPROVING)),
    ]
    if for_property is not None:
        wanted.append(
            # Read once, whatever PostgreSQL expects of a tenant that it has not analysed yet.
            User.id.not_in(
                select(Interaction.user_id).where(
                    Interaction.property_id == for_property, Interaction.kind.in_(EXCLUDING)
                )
            )
        )
    return wanted


def _snapshot(version: str, as_of: float, found: PropertyValues, *floors: float) -> ListSnapshot:
    return ListSnapshot(version, as_of, state_of(snapshots.columns_of([found])), floors)


def _floor(cursor: Cursor | None) -> float | None:
    """The one floor of a cursor's list; None on a first page."""
    return cursor.snapshot.floors[0] if cursor and cursor.snapshot.floors else None


async def _deactivated(work: Work) -> set[UUID]:
    return set(await work.session.scalars(select(User.id).where(User.deactivated_at.is_not(None))))


async def _excluded(work: Work, property_ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """For each property who owns, dismissed or dislikes it, and who is deactivated."""
    gone = await _deactivated(work)
    found = {one: set(gone) for one in property_ids}
    rows = await work.session.execute(
        select(Interaction.property_id, Interaction.user_id).where(
            Interaction.property_id.in_(property_ids), Interaction.kind.in_(EXCLUDING)
        )
    )
    for property_id, user_id in rows:
        found[property_id].add(user_id)
    return found
