"""Pages of a list that is ranked anew for each of them."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from domain.contract.ranked_lists import Key
from domain.core.errors import DomainError, ErrorCode, invalid
from domain.recommendations.listings import MAX_DEPTH, Listing, Scored, Whole
from domain.recommendations.reasons import Reason

Item = TypeVar("Item")


class ListSnapshot(NamedTuple):
    """What all pages of a list have in common; its first page fixes it.

    Attributes:
        version: the model version's id in text, or ``ENGAGEMENT`` or ``ATTRIBUTES``.
        as_of: seconds since 1970 UTC; the list is that of what was known of the investor then, so
            that feedback given between two pages neither repeats nor skips a property.
        state: a digest of what the list is ranked by; a list whose state became another cannot go
            on.
        floors: the score floors of the searches that bring its candidates.
        diversity: 0 to 1.
    """

    version: str
    as_of: float
    state: str
    floors: tuple[float, ...] = ()
    diversity: float = 0.0


class Cursor(NamedTuple):
    """An item of a ranked list.

    Attributes:
        snapshot: the list.
        key: of the item.
        rank: of the item, from 1.
        path: of a diverse list a digest of all items up to this one, else empty.
    """

    snapshot: ListSnapshot
    key: Key
    rank: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a ranked list, and whether the list goes on after it and before it."""

    items: list[Item]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True)
class JudgedPage(Page[Item]):
    """A page that says what ranked its list.

    Attributes:
        model_version: the version that did; None where none did.
        reason: why none did, and what the list follows instead; None where one did.
    """

    model_version: UUID | None
    reason: Reason | None


def expired(why: str) -> DomainError:
    """The refusal of a cursor whose list cannot go on."""
    return DomainError(
        ErrorCode.CURSOR_EXPIRED, f"{why}; ask for the first page again.", ("after",)
    )


def check_cursor(snapshot: ListSnapshot, cursor: Cursor | None) -> None:
    """Check a list's diversity, and that a cursor is of that list.

    Raises:
        DomainError: INVALID_INPUT for the diversity, also for another than the cursor's;
            CURSOR_EXPIRED if another version ranks now, or the state became another.
    """
    diversity = snapshot.diversity
    if not 0 <= diversity <= 1:
        raise invalid(f"diversity {diversity:g}: use 0 to 1", "diversity")
    if cursor is None:
        return
    if cursor.snapshot.diversity != diversity:
        raise invalid(
            f"after: this cursor is of a list of diversity {cursor.snapshot.diversity:g}, not "
            f"{diversity:g}; go on with the diversity of the first page",
            "after",
        )
    if cursor.snapshot.version != snapshot.version:
        raise expired("Another model ranks now")
    if cursor.snapshot.state != snapshot.state:
        raise expired(
            "What this list is ranked by was changed, deleted or taken back: an opinion, or a "
            "property that it goes by"
        )


Shown = Callable[[Collection[UUID]], Awaitable[set[UUID]]]
"""Tells which of some properties or investors may be shown."""


async def all_of(ids: Collection[UUID]) -> set[UUID]:
    """Shows all of a list."""
    return set(ids)


async def page_of(
    listing: Listing[Scored],
    snapshot: ListSnapshot,
    shown: Shown,
    size: int,
    after: Cursor | None = None,
    before: Cursor | None = None,
) -> Page[tuple[Cursor, Scored]]:
    """A page of a list, without what may not be shown; each item with its cursor.

    Args:
        listing: the list.
        snapshot: what the cursors of the page say of the list.
        shown: which of some items may be shown.
        size: of the page; with 0 the answer only says whether there are items.
        after: the page begins behind this item; at the start of the list, if none.
        before: the page ends before this item instead.
    """
    if before is not None:
        items = await _shown(listing, shown, size + 1, before.key, backward=True)
        page = items[max(0, len(items) - size) :]
        first_rank = max(1, before.rank - len(page))
        has_next, has_previous = True, len(items) > size
    else:
        rank = after.rank if after else 0
        if rank >= MAX_DEPTH:
            return Page([], has_next=False, has_previous=True)
        size = min(size, MAX_DEPTH - rank)
        items = await _shown(listing, shown, size + 1, after.key if after else None)
        page, first_rank = items[:size], rank + 1
        has_next, has_previous = len(items) > size and rank + size < MAX_DEPTH, after is not None
    cursors = [Cursor(snapshot, one.key, rank) for rank, one in enumerate(page, first_rank)]
    return Page(list(zip(cursors, page, strict=True)), has_next, has_previous)


async def page_of_items(
    items: Sequence[Scored],
    snapshot: ListSnapshot,
    shown: Shown,
    size: int,
    after: Cursor | None,
    before: Cursor | None,
) -> Page[tuple[Cursor, Scored]]:
    """As ``page_of``, of a list of which all items are at hand.

    In a diverse list an item's position depends on those before it. The values of its keys are the
    positions, from 1.

    Raises:
        DomainError: CURSOR_EXPIRED if another diverse list begins now, up to the cursor.
    """
    listing = Whole(items)
    if not snapshot.diversity:
        return await page_of(listing, snapshot, shown, size, after, before)
    paths = listing.paths()
    cursor = before or after
    if cursor is not None:
        depth = int(cursor.key.value)
        if not 0 < depth <= len(paths) or paths[depth - 1] != cursor.path:
            raise expired("What this list was picked from was changed")
    page = await page_of(listing, snapshot, shown, size, after, before)
    items_of_page = [
        (cursor._replace(path=paths[int(item.key.value) - 1]), item) for cursor, item in page.items
    ]
    return Page(items_of_page, page.has_next, page.has_previous)


async def _shown(
    listing: Listing[Scored], shown: Shown, count: int, key: Key | None, *, backward: bool = False
) -> list[Scored]:
    """The nearest ``count`` to be shown behind a key or before it; fewer only at the end."""
    found: list[Scored] = []
    asked = count
    while True:
        if backward and key is not None:
            some = await listing.before(key, asked)
        else:
            some = await listing.behind(key, asked)
        real = await shown([one.key.id for one in some])
        kept = [one for one in some if one.key.id in real]
        found = kept + found if backward else found + kept
        if len(found) >= count or len(some) < asked:
            return found[-count:] if backward else found[:count]
        key = some[0].key if backward else some[-1].key
        asked *= 2
