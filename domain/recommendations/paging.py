"""Pages of a list that is ranked anew for each of them."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from domain.contract.ranked_lists import Key, Reach
from domain.core.errors import DomainError, ErrorCode, invalid
from domain.recommendations.listings import MAX_DEPTH, Listing, Scored, Whole
from domain.recommendations.reasons import Reason

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a ranked list: where a page ended, and the list that it was a page of.

    Attributes:
        version: the model version's id in text, or ``ENGAGEMENT`` or ``ATTRIBUTES``.
        as_of: seconds since 1970 UTC; the list is that of what was known of the investor then, so
            that feedback given between two pages neither repeats nor skips a property.
        state: a digest of what the list is ranked by, and so far of what a diverse list showed; a
            list whose state became another cannot go on.
        reach: how far the list looks.
        key: where the last property stands; of a list that no model ranked, ``place`` is what
            orders it, falling.
        rank: the last property's rank, from 1.
        diversity: of the list, 0 to 1.
    """

    version: str
    as_of: float
    state: str
    reach: Reach
    key: Key
    rank: int
    diversity: float = 0.0


class Origin(NamedTuple):
    """What all pages of a list have in common; see ``Place``."""

    version: str
    as_of: float
    state: str


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
    """The refusal of a place whose list cannot go on."""
    return DomainError(
        ErrorCode.CURSOR_EXPIRED, f"{why}; ask for the first page again.", ("after",)
    )


def check_diversity(diversity: float, place: Place | None) -> None:
    """Check a list's diversity. Raises DomainError INVALID_INPUT, also for another list's place."""
    if not 0 <= diversity <= 1:
        raise invalid(f"diversity {diversity:g}: use 0 to 1", "diversity")
    if place is not None and place.diversity != diversity:
        raise invalid(
            f"after: this cursor is of a list of diversity {place.diversity:g}, not "
            f"{diversity:g}; go on with the diversity of the first page",
            "after",
        )


def check_version(version: str, place: Place) -> None:
    """Check that the same ranks as did at a place. Raises DomainError CURSOR_EXPIRED."""
    if place.version != version:
        raise expired("Another model ranks now")


def check_state(origin: Origin, place: Place) -> None:
    """Check that the list of a place is still the same. Raises DomainError CURSOR_EXPIRED."""
    if place.state != origin.state:
        raise expired(
            "What this list is ranked by was changed, deleted or taken back: an opinion, or a "
            "property that it goes by"
        )


def placed(
    page: Page[tuple[int, Scored]], origin: Origin, reach: Reach, diversity: float = 0.0
) -> Page[tuple[Place, Scored]]:
    """A page with each property's place instead of its rank."""
    items = [(Place(*origin, reach, item.key, rank, diversity), item) for rank, item in page.items]
    return Page(items, page.has_next, page.has_previous)


async def page_of_diverse(
    listing: Whole[Scored],
    shown: Callable[[Collection[UUID]], Awaitable[set[UUID]]],
    size: int,
    after: Place | None,
    before: Place | None,
    origin: Origin,
    diversity: float,
    reach: Reach = Reach(),  # noqa: B008
) -> Page[tuple[Place, Scored]]:
    """As ``page_of``, of a list in which a property's place depends on those before it.

    Raises:
        DomainError: CURSOR_EXPIRED if another list begins now, up to the place.
    """
    states = listing.states(origin.state)
    place = before or after
    if place is not None:
        depth = int(place.key.place)
        if not 0 < depth <= len(states) or states[depth - 1] != place.state:
            raise expired("What this list was picked from was changed")
    page = await page_of(listing, shown, size, after, before)
    items = [
        (
            Place(
                origin.version, origin.as_of, states[int(item.key.place) - 1], reach, item.key,
                rank, diversity,
            ),
            item,
        )
        for rank, item in page.items
    ]  # fmt: skip
    return Page(items, page.has_next, page.has_previous)


async def page_of(
    listing: Listing[Scored],
    shown: Callable[[Collection[UUID]], Awaitable[set[UUID]]],
    size: int,
    after: Place | None = None,
    before: Place | None = None,
) -> Page[tuple[int, Scored]]:
    """A page of a list, without what is not to be shown, each property with its rank from 1.

    Args:
        listing: the list.
        shown: which of some properties are to be shown.
        size: of the page; with 0 the answer only says whether there are items.
        after: the page begins behind this place; at the start of the list, if none.
        before: the page ends before this place instead.
    """
    if before is not None:
        items = await _shown(listing, shown, size + 1, before.key, backward=True)
        page = items[max(0, len(items) - size) :]
        first_rank = max(1, before.rank - len(page))
        ranked = list(enumerate(page, first_rank))
        return Page(ranked, has_next=True, has_previous=len(items) > size)
    rank = after.rank if after else 0
    if rank >= MAX_DEPTH:
        return Page([], has_next=False, has_previous=True)
    size = min(size, MAX_DEPTH - rank)
    items = await _shown(listing, shown, size + 1, after.key if after else None)
    return Page(
        list(enumerate(items[:size], rank + 1)),
        has_next=len(items) > size and rank + size < MAX_DEPTH,
        has_previous=after is not None,
    )


async def all_of(ids: Collection[UUID]) -> set[UUID]:
    """Shows all of a list, for ``page_of``."""
    return set(ids)


async def _shown(
    listing: Listing[Scored],
    shown: Callable[[Collection[UUID]], Awaitable[set[UUID]]],
    count: int,
    key: Key | None,
    *,
    backward: bool = False,
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
