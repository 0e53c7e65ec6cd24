"""Pages of a ranked list: together they are the list, whatever must not be shown."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import DomainError, ErrorCode
from domain.recommendations.paging import MAX_DEPTH, Place, check_diversity, page_of_ranking
from domain.snapshots import Ranked

PLACE = Place("engagement", 0.0, 0.5, UUID(int=1), 1, 1)


async def pages(
    ranking: list[Ranked], hidden: set[UUID], first: int, diversity: float
) -> tuple[list[tuple[int, Ranked]], list[int]]:
    """All pages of the list joined, and how many were asked of the ranking each time."""
    asked: list[int] = []

    async def rank(limit: int) -> list[Ranked]:
        asked.append(limit)
        return ranking[:limit]

    async def shown(ids: Sequence[UUID]) -> set[UUID]:
        return set(ids) - hidden

    seen: list[tuple[int, Ranked]] = []
    after: Place | None = None
    while True:
        page, has_next = await page_of_ranking(rank, shown, first, after, diversity)
        assert len(page) == first or not has_next
        seen += page
        if not has_next:
            return seen, asked
        depth, last = page[-1]
        after = Place("1", 0.0, last.score, last.property_id, len(seen), depth, diversity)


@given(
    st.lists(st.integers(0, 5), max_size=40),
    st.sets(st.integers(0, 39)),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.4]),
)
async def test_pages_join_to_the_list(
    scores: list[int], hidden: set[int], first: int, diversity: float
) -> None:
    # A plain list falls in score, ties by id; a diverse one is in any order.
    order = scores if diversity else sorted(scores, reverse=True)
    ranking = [Ranked(UUID(int=place), score / 5) for place, score in enumerate(order)]
    seen, _ = await pages(ranking, {UUID(int=one) for one in hidden}, first, diversity)
    assert seen == [
        (depth, item) for depth, item in enumerate(ranking, 1) if item.property_id.int not in hidden
    ]


@pytest.mark.parametrize("diversity", [0.0, 1.0])
async def test_a_list_ends_at_its_greatest_depth(diversity: float) -> None:
    ranking = [Ranked(UUID(int=place), 1 - place / 3000) for place in range(3000)]
    seen, asked = await pages(ranking, set(), 90, diversity)
    assert len(seen) >= MAX_DEPTH - 90
    assert max(asked) == MAX_DEPTH
    hidden = {item.property_id for item in ranking[:995]}
    seen, _ = await pages(ranking, hidden, 90, diversity)
    assert [depth for depth, _ in seen] == [996, 997, 998, 999, 1000]


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
