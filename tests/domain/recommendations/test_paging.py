"""Pages of a ranked list: together they are the list, whatever comes, goes or is hidden."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.ranked_lists import Key, Ranked
from domain.core.errors import DomainError, ErrorCode
from domain.recommendations.listings import MAX_DEPTH
from domain.recommendations.paging import (
    Cursor,
    ListSnapshot,
    Page,
    all_of,
    check_cursor,
    page_of_items,
)

SNAPSHOT = ListSnapshot("1", 0.0, "state")
DIVERSE = SNAPSHOT._replace(diversity=0.5)
CURSOR = Cursor(SNAPSHOT, Key(0.5, UUID(int=1)), 1)
Pages = Callable[[Cursor | None, Cursor | None], Awaitable[Page[tuple[Cursor, Ranked]]]]


def ranked(number: int, score: float) -> Ranked:
    return Ranked(UUID(int=number), score, Key(-score, UUID(int=number)))


def in_order(items: Collection[Ranked]) -> list[Ranked]:
    return sorted(items, key=lambda item: item.key)


async def joined(pages: Pages) -> tuple[list[Ranked], list[Cursor]]:
    """All pages of a list, forward."""
    seen: list[Ranked] = []
    cursors: list[Cursor] = []
    while True:
        page = await pages(cursors[-1] if cursors else None, None)
        assert page.has_previous == bool(cursors)
        seen += [item for _, item in page.items]
        cursors += [cursor for cursor, _ in page.items]
        if not page.has_next:
            return seen, cursors


scores = st.lists(st.integers(0, 5), max_size=40)


@given(scores, st.sets(st.integers(0, 39)), st.permutations(range(40)), st.integers(1, 9))
async def test_pages_join_to_the_list_in_both_directions(
    values: list[int], hidden: set[int], ids: list[int], size: int
) -> None:
    items = in_order(
        [ranked(number, score / 5) for number, score in zip(ids, values, strict=False)]
    )

    async def shown(wanted: Collection[UUID]) -> set[UUID]:
        return {one for one in wanted if one.int not in hidden}

    async def pages(after: Cursor | None, before: Cursor | None) -> Page[tuple[Cursor, Ranked]]:
        page = await page_of_items(items, SNAPSHOT, shown, size, after, before)
        assert len(page.items) <= size
        return page

    wanted = [item for item in items if item.property_id.int not in hidden]
    seen, cursors = await joined(pages)
    assert seen == wanted
    assert [cursor.rank for cursor in cursors] == list(range(1, len(wanted) + 1))
    for end in range(len(cursors)):
        page = await pages(None, cursors[end])
        start = max(0, end - size)
        assert [item for _, item in page.items] == wanted[start:end]
        assert [cursor.rank for cursor, _ in page.items] == list(range(start + 1, end + 1))
        assert (page.has_previous, page.has_next) == (start > 0, True)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 4), st.data())
async def test_what_stays_is_shown_once_whatever_comes_and_goes(
    values: list[int], size: int, data: st.DataObject
) -> None:
    world = {number: ranked(number, score / 5) for number, score in enumerate(values)}
    stayed = set(world)
    seen: list[UUID] = []
    after: Cursor | None = None
    while True:
        items = in_order(world.values())
        page = await page_of_items(items, SNAPSHOT, all_of, size, after, None)
        seen += [item.property_id for _, item in page.items]
        if not page.has_next:
            break
        after = page.items[-1][0]
        for number in data.draw(st.sets(st.integers(0, 60), max_size=4)):
            stayed.discard(number)
            if world.pop(number, None) is None and UUID(int=number) not in seen:
                world[number] = ranked(number, data.draw(st.integers(0, 5)) / 5)
    assert len(seen) == len(set(seen))
    assert {UUID(int=number) for number in stayed} <= set(seen)


async def test_a_diverse_list_goes_on_only_as_it_began() -> None:
    items = [Ranked(UUID(int=10 - n), 0.5, Key(n, UUID(int=10 - n))) for n in range(1, 10)]

    async def pages(
        now: Sequence[Ranked], after: Cursor | None, before: Cursor | None = None
    ) -> Page[tuple[Cursor, Ranked]]:
        return await page_of_items(now, DIVERSE, all_of, 4, after, before)

    async def same(after: Cursor | None, before: Cursor | None) -> Page[tuple[Cursor, Ranked]]:
        return await pages(items, after, before)

    seen, cursors = await joined(same)
    assert seen == items
    page = await pages(items, None, cursors[6])
    assert [item for _, item in page.items] == items[2:6]
    # What comes after the place is free to change, what was shown is not.
    page = await pages(items[:6], cursors[3])
    assert [item for _, item in page.items] == items[4:6]
    for now in (items[:2], [items[1], items[0], *items[2:]], []):
        with pytest.raises(DomainError) as refused:
            await pages(now, cursors[3])
        assert refused.value.code is ErrorCode.CURSOR_EXPIRED


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (SNAPSHOT._replace(state="another"), "taken back"),
        (SNAPSHOT._replace(version="2"), "Another model"),
    ],
)
def test_a_list_that_is_ranked_by_something_else_does_not_go_on(
    now: ListSnapshot, why: str
) -> None:
    check_cursor(SNAPSHOT, CURSOR)
    with pytest.raises(DomainError, match=why) as refused:
        check_cursor(now, CURSOR)
    assert refused.value.code is ErrorCode.CURSOR_EXPIRED


async def test_a_list_ends_at_its_greatest_depth() -> None:
    items = [ranked(number, 1 - number / 3000) for number in range(3000)]

    async def pages(after: Cursor | None, before: Cursor | None) -> Page[tuple[Cursor, Ranked]]:
        return await page_of_items(items, SNAPSHOT, all_of, 90, after, before)

    seen, cursors = await joined(pages)
    assert len(seen) == MAX_DEPTH
    page = await pages(cursors[-1], None)
    assert (page.items, page.has_next, page.has_previous) == ([], False, True)


@pytest.mark.parametrize("diversity", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_diversity_out_of_range_is_refused(diversity: float) -> None:
    with pytest.raises(DomainError, match="use 0 to 1") as refused:
        check_cursor(SNAPSHOT._replace(diversity=diversity), None)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, ("diversity",))


def test_a_cursor_of_another_diversity_is_refused() -> None:
    check_cursor(DIVERSE, Cursor(DIVERSE, CURSOR.key, 1))
    with pytest.raises(DomainError, match=r"of diversity 0\.5, not 0") as refused:
        check_cursor(SNAPSHOT, Cursor(DIVERSE, CURSOR.key, 1))
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_INPUT, ("after",))
