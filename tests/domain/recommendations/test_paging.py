"""Pages of a ranked list: together they are the list, whatever comes, goes or is hidden."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.ranked_lists import Key, Ranked, Reach, Shortlist
from domain.core.errors import DomainError, ErrorCode
from domain.recommendations.listings import MAX_DEPTH, Growing, Listing, Parts, Whole
from domain.recommendations.paging import (
    Origin,
    Page,
    Place,
    check_diversity,
    check_state,
    page_of,
    page_of_diverse,
    placed,
)

ORIGIN = Origin("1", 0.0, "state")
PLACE = Place(*ORIGIN, Reach(), Key(0, 0.5, UUID(int=1)), 1)
Pages = Callable[[Place | None, Place | None], Awaitable[Page[tuple[Place, Ranked]]]]


def ranked(number: int, score: float, part: int = 0) -> Ranked:
    return Ranked(UUID(int=number), score, Key(part, -score, UUID(int=number)))


def in_order(items: Collection[Ranked]) -> list[Ranked]:
    return sorted(items, key=lambda item: item.key)


async def all_shown(ids: Collection[UUID]) -> set[UUID]:
    return set(ids)


async def joined(pages: Pages) -> tuple[list[Ranked], list[Place]]:
    """All pages of a list, forward."""
    seen: list[Ranked] = []
    places: list[Place] = []
    while True:
        page = await pages(places[-1] if places else None, None)
        assert page.has_previous == bool(places)
        seen += [item for _, item in page.items]
        places += [place for place, _ in page.items]
        if not page.has_next:
            return seen, places


def listing_of(kind: str, items: Sequence[Ranked], likely: int) -> Listing[Ranked]:
    async def first(limit: int) -> list[Ranked]:
        return list(items[:limit])

    async def rank(_reach: Reach | None, part: int) -> Shortlist:
        last = Key(1, -9e9, UUID(int=0))
        return Shortlist([one for one in items if one.key.part == part], Reach((), last))

    if kind == "growing":
        return Growing(first, likely)
    # The first page alone does not know how far the list looks.
    reach = Reach((), Key(1, -9e9, UUID(int=0))) if likely else None
    return Parts(rank, reach) if kind == "parts" else Whole(items)


scores = st.lists(st.integers(0, 5), max_size=40)
kinds = st.sampled_from(["whole", "growing", "parts"])


@given(kinds, scores, st.sets(st.integers(0, 39)), st.permutations(range(40)), st.integers(1, 9))
async def test_pages_join_to_the_list_in_both_directions(
    kind: str, values: list[int], hidden: set[int], ids: list[int], size: int
) -> None:
    items = in_order(
        [
            ranked(number, score / 5, number % 2 if kind == "parts" else 0)
            for number, score in zip(ids, values, strict=False)
        ]
    )

    async def shown(wanted: Collection[UUID]) -> set[UUID]:
        return {one for one in wanted if one.int not in hidden}

    async def pages(after: Place | None, before: Place | None) -> Page[tuple[Place, Ranked]]:
        place = before or after
        listing = listing_of(kind, items, place.rank if place else 0)
        page = await page_of(listing, shown, size, after, before)
        assert len(page.items) <= size
        return placed(page, ORIGIN, Reach())

    wanted = [item for item in items if item.property_id.int not in hidden]
    seen, places = await joined(pages)
    assert seen == wanted
    assert [place.rank for place in places] == list(range(1, len(wanted) + 1))
    for end in range(len(places)):
        page = await pages(None, places[end])
        start = max(0, end - size)
        assert [item for _, item in page.items] == wanted[start:end]
        assert [place.rank for place, _ in page.items] == list(range(start + 1, end + 1))
        assert (page.has_previous, page.has_next) == (start > 0, True)


@given(
    kinds,
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
    st.integers(1, 4),
    st.data(),
)
async def test_what_stays_is_shown_once_whatever_comes_and_goes(
    kind: str, values: list[int], size: int, data: st.DataObject
) -> None:
    world = {
        number: ranked(number, score / 5, number % 2 if kind == "parts" else 0)
        for number, score in enumerate(values)
    }
    stayed = set(world)
    seen: list[UUID] = []
    after: Place | None = None
    while True:
        listing = listing_of(kind, in_order(world.values()), after.rank if after else 0)
        page = placed(await page_of(listing, all_shown, size, after), ORIGIN, Reach())
        seen += [item.property_id for _, item in page.items]
        if not page.has_next:
            break
        after = page.items[-1][0]
        for number in data.draw(st.sets(st.integers(0, 60), max_size=4)):
            stayed.discard(number)
            if world.pop(number, None) is None and UUID(int=number) not in seen:
                score = data.draw(st.integers(0, 5)) / 5
                world[number] = ranked(number, score, number % 2 if kind == "parts" else 0)
    assert len(seen) == len(set(seen))
    assert {UUID(int=number) for number in stayed} <= set(seen)


async def test_a_diverse_list_goes_on_only_as_it_began() -> None:
    items = [Ranked(UUID(int=10 - n), 0.5, Key(0, n, UUID(int=10 - n))) for n in range(1, 10)]

    async def pages(
        now: Sequence[Ranked], after: Place | None, before: Place | None = None
    ) -> Page[tuple[Place, Ranked]]:
        return await page_of_diverse(Whole(now), all_shown, 4, after, before, ORIGIN, 0.5)

    async def same(after: Place | None, before: Place | None) -> Page[tuple[Place, Ranked]]:
        return await pages(items, after, before)

    seen, places = await joined(same)
    assert seen == items
    page = await pages(items, None, places[6])
    assert [item for _, item in page.items] == items[2:6]
    # What comes after the place is free to change, what was shown is not.
    page = await pages(items[:6], places[3])
    assert [item for _, item in page.items] == items[4:6]
    for now in (items[:2], [items[1], items[0], *items[2:]], []):
        with pytest.raises(DomainError) as refused:
            await pages(now, places[3])
        assert refused.value.code is ErrorCode.CURSOR_EXPIRED


async def test_a_list_that_is_ranked_by_something_else_does_not_go_on() -> None:
    check_state(ORIGIN, PLACE)
    with pytest.raises(DomainError, match="taken back") as refused:
        check_state(ORIGIN._replace(state="another"), PLACE)
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED


@pytest.mark.parametrize("kind", ["whole", "growing"])
async def test_a_list_ends_at_its_greatest_depth(kind: str) -> None:
    items = [ranked(number, 1 - number / 3000) for number in range(3000)]

    async def pages(after: Place | None, before: Place | None) -> Page[tuple[Place, Ranked]]:
        listing = listing_of(kind, items, after.rank if after else 0)
        return placed(await page_of(listing, all_shown, 90, after, before), ORIGIN, Reach())

    seen, places = await joined(pages)
    assert len(seen) == MAX_DEPTH
    page = await pages(places[-1], None)
    assert (page.items, page.has_next, page.has_previous) == ([], False, True)


@pytest.mark.parametrize("diversity", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_diversity_out_of_range_is_refused(diversity: float) -> None:
    with pytest.raises(DomainError, match="use 0 to 1") as refused:
        check_diversity(diversity, None)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, ("diversity",))


def test_a_place_of_another_diversity_is_refused() -> None:
    for diversity in (0.0, 0.5, 1.0):
        check_diversity(diversity, replace(PLACE, diversity=diversity))
    with pytest.raises(DomainError, match=r"of diversity 0\.5, not 0") as refused:
        check_diversity(0.0, replace(PLACE, diversity=0.5))
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, ("after",))
