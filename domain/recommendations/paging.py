"""Pages of a list that a model ranks anew for each of them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from domain.errors import invalid
from domain.snapshots import Ranked, Similar

Item = TypeVar("Item")
Scored = TypeVar("Scored", Ranked, Similar)

MAX_DEPTH = 1000
"""How far down a ranked list can be paged."""

ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a ranked list: where a page ended, and the list that it was a page of.

    Attributes:
        version: the model version's id in text, or ``ENGAGEMENT``.
        as_of: seconds since 1970 UTC; the list is that of what was known of the investor then, so
            that feedback given between two pages neither repeats nor skips a property.
        score: the last property's score or similarity; where no model ranked, what orders the
            list instead.
        id: the last property.
        rank: the last property's rank, from 1.
        depth: how far down the model's list that is, from 1; more than the rank where the model
            named properties that are not to be shown.
        diversity: of the list, 0 to 1.
    """

    version: str
    as_of: float
    score: float
    id: UUID
    rank: int
    depth: int
    diversity: float = 0.0


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a ranked list, and whether the list goes on after it."""

    items: list[Item]
    has_next: bool


def check_diversity(diversity: float, after: Place | None) -> None:
    """Check a list's diversity. Raises DomainError INVALID_INPUT, also for another list's place."""
    if not 0 <= diversity <= 1:
        raise invalid(f"diversity {diversity:g}: use 0 to 1", "diversity")
    if after is not None and after.diversity != diversity:
        raise invalid(
            f"after: this cursor is of a list of diversity {after.diversity:g}, not "
            f"{diversity:g}; go on with the diversity of the first page",
            "after",
        )


async def page_of_ranking(
    rank: Callable[[int], Awaitable[list[Scored]]],
    shown: Callable[[Sequence[UUID]], Awaitable[set[UUID]]],
    first: int,
    after: Place | None = None,
    diversity: float = 0.0,
) -> tuple[list[tuple[int, Scored]], bool]:
    """Ask the ranking for ever more until the page is full, one more is seen, or it ends.

    Args:
        rank: the list's first so many.
        shown: which of some properties are to be shown.
        first: the size of the page.
        after: where the page before ended.
        diversity: of the list; scores fall down a list of diversity 0 alone.

    Returns:
        The page's properties, each with its depth in the list from 1, and whether more follow.
    """
    # What is picked for a diverse list depends on all there is to pick from: it is ranked whole, so
    # that all its pages are of one list.
    whole = await rank(MAX_DEPTH) if diversity > 0 else []
    limit = (after.depth if after else 0) + first + 1
    while True:
        limit = min(limit, MAX_DEPTH)
        ranked = whole[:limit] if diversity > 0 else await rank(limit)
        rest = list(enumerate(ranked, 1))
        if after is not None:
            rest = rest[after.depth :] if diversity > 0 else _behind(rest, after)
        real = await shown([item.property_id for _, item in rest])
        page = [(depth, item) for depth, item in rest if item.property_id in real]
        if len(page) > first or len(ranked) < limit or limit == MAX_DEPTH:
            return page[:first], len(page) > first
        limit *= 2


def _behind(ranked: list[tuple[int, Scored]], after: Place) -> list[tuple[int, Scored]]:
    """What follows a place in a list that falls in score, ties in the list's own order."""
    for depth, last in ranked:
        # A score is the same number but for rounding, which depends on what it is computed with.
        if last.property_id == after.id and abs(_score(last) - after.score) < ROUNDING:
            return ranked[depth:]
    # The last property is gone or was changed: its score says where it was.
    place = (-after.score, after.id)
    return [
        (depth, item)
        for depth, item in ranked
        if (-_score(item), item.property_id) > place and item.property_id != after.id
    ]


def _score(item: Ranked | Similar) -> float:
    return item.score if isinstance(item, Ranked) else item.similarity
