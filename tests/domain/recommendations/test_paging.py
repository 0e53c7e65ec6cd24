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
        # Sums of floats depend on how many are computed at once.
        return [Ranked(one.property_id, one.score + 1e-10 * limit) for one in ranking[:limit]]

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
    st.permutations(range(40)),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.4]),
)
async def test_pages_join_to_the_list(
    scores: list[int], hidden: set[int], ids: list[int], first: int, diversity: float
) -> None:
    # A plain list falls in score; a diverse one is in any order.
    order = scores if diversity else sorted(scores, reverse=True)
    ranking = [
        Ranked(UUID(int=number), score / 5) for number, score in zip(ids, order, strict=False)
    ]
    seen, _ = await pages(ranking, {UUID(int=one) for one in hidden}, first, diversity)
    assert [(depth, item.property_id) for depth, item in seen] == [
        (depth, item.property_id)
        for depth, item in enumerate(ranking, 1)
        if item.property_id.int not in hidden
    ]


@pytest.mark.parametrize("change", ["gone", "risen", "fallen"])
async def test_a_list_goes_on_where_a_property_was_that_is_not_there_any_more(change: str) -> None:
    ranking = [Ranked(UUID(int=number), 1 - number / 10) for number in range(10)]
    last = ranking[3]
    gone = ranking[:3] + ranking[4:]
    now = {
        "gone": gone,
        "risen": [Ranked(last.property_id, 1.0), *gone],
        "fallen": [*gone, Ranked(last.property_id, 0.0)],
    }[change]

    async def rank(limit: int) -> list[Ranked]:
        return now[:limit]

    async def shown(ids: Sequence[UUID]) -> set[UUID]:
        return set(ids)

    after = Place("1", 0.0, last.score, last.property_id, 4, 4)
    page, has_next = await page_of_ranking(rank, shown, 9, after)
    assert [item for _, item in page] == ranking[4:]
    assert not has_next


async def test_a_diverse_list_is_ranked_whole_for_each_page() -> None:
    ranking = [Ranked(UUID(int=place), 0.5) for place in range(50)]
    _, asked = await pages(ranking, set(), 7, 0.2)
    assert set(asked) == {MAX_DEPTH}


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
