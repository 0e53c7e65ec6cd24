"""Which candidates a part of a list holds, and that a place is a property's own."""

from uuid import UUID

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from domain.contract.ranked_lists import Reach
from domain.contract.snapshots import PropertyColumns
from ml.catalogue.candidates import EVERYTHING, Candidates
from ml.catalogue.property_ids import PropertyIds
from ml.catalogue.retrieval import PART, split
from ml.twin.items import Items
from ml.twin.scoring import LoadedTwin
from tests.ml.worlds import make_history


def found_by(sources: NDArray[np.bool_], ids: list[UUID], above: tuple[float, ...]) -> Candidates:
    empty = torch.empty(0)
    content = np.array([one.bytes for one in ids], dtype="S16")
    return Candidates(PropertyIds(content), Items(*[empty] * 8), None, sources, above)


def listed(
    scores: dict[int, float], early: set[int], reach: Reach | None, part: int
) -> tuple[list[int], Reach]:
    """The properties of a part, of those that the first searches bring or a deeper one."""
    numbers = sorted(one for one in scores if part or one in early)
    ids = [UUID(int=one) for one in numbers]
    values = np.array([scores[one] for one in numbers])
    rows = [[one in early for one in numbers]] * 2 + [[True] * len(numbers)] * part
    found = found_by(np.array(rows), ids, (0.1, 0.2, 0.05)[: 2 + part])
    order = np.array(
        sorted(range(len(ids)), key=lambda row: (-values[row], ids[row])), dtype=np.intp
    )
    split_off, reach = split(order, values, found, reach, part)
    return [numbers[row] for row in split_off.tolist()], reach


def world(drawn: bytes) -> dict[int, float]:
    """A score for each number up to 400, except for about a quarter of them."""
    return {number: float(one % 31) for number, one in enumerate(drawn) if one < 6 * 31}


worlds = st.binary(min_size=401, max_size=401).map(world)


@given(worlds, st.data())
def test_a_part_holds_what_is_its_own_whatever_comes_and_goes(
    scores: dict[int, float], data: st.DataObject
) -> None:
    early = {one for one in scores if one % 3}
    first, reach = listed(scores, early, None, 0)
    assert len(first) == min(PART, len(early))
    rest, reach = listed(scores, early, reach, 1)
    assert sorted(first + rest) == sorted(scores)
    gone = data.draw(st.sets(st.sampled_from(sorted(scores)), max_size=40))
    now = {one: score for one, score in scores.items() if one not in gone}
    now |= {one + 1000: 15.0 for one in data.draw(st.sets(st.integers(0, 20)))}
    early |= {one for one in now if one % 3}
    for before, part in ((first, 0), (rest, 1)):
        after, _ = listed(now, early, reach, part)
        assert [one for one in after if one < 1000] == [one for one in before if one not in gone]


def test_a_list_whose_first_search_brought_everything_has_one_part() -> None:
    ids = [UUID(int=one) for one in range(150)]
    found = found_by(np.ones((1, 150), dtype=bool), ids, (EVERYTHING,))
    order, scores = np.arange(150), np.arange(150.0)[::-1]
    rows, reach = split(order, scores, found, None, 0)
    assert (len(rows), reach.last) == (150, None)
    rows, again = split(order, scores, found, reach, 1)
    assert (len(rows), again) == (0, reach)


@pytest.mark.parametrize("chance", range(5))
def test_a_score_does_not_depend_on_what_else_is_scored(
    twin: LoadedTwin, columns: PropertyColumns, items: Items, chance: int
) -> None:
    """To the last bit: else two pages of equals would show one twice and another never."""
    investor = twin.investor(make_history(columns, [3, 4, 5], ["SAVE", "VIEW", "THUMBS_DOWN"]))
    alone = twin.score(investor, items)
    random = np.random.default_rng(chance)
    for _ in range(20):
        rows = random.permutation(len(columns))[: random.integers(1, len(columns))]
        some = twin.score(investor, items[torch.from_numpy(rows)])
        np.testing.assert_array_equal(some, alone[rows])
