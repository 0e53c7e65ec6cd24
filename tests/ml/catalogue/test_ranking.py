"""A list of candidates is in the order of scores, which are each property's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.filters import Labels, PropertyFilter
from domain.contract.snapshots import PropertyColumns
from ml.catalogue.catalogue import Catalogue
from ml.catalogue.ranking import rank
from ml.twin.items import Items
from ml.twin.scoring import LoadedTwin
from tests.ml.worlds import make_columns, make_history

WORLD = make_columns(1500, seed=4)
LABELLED = replace(WORLD, labels=(Labels("", None, ()),) * len(WORLD))


@given(first=st.sets(st.integers(0, 1499), min_size=900), data=st.data())
async def test_a_list_goes_on_with_what_stays_whatever_comes_and_goes(
    twin: LoadedTwin, first: set[int], data: st.DataObject
) -> None:
    items = twin.items(WORLD)
    investor = twin.investor(make_history(WORLD, [1, 2, 3], ["SAVE", "VIEW", "DEAL"]))
    catalogue = Catalogue()
    rows = sorted(first)
    catalogue.write(LABELLED.take(rows), items.rows(np.array(rows)))
    before, floors = await rank(twin, catalogue, investor, PropertyFilter(), ())
    assert [one.key for one in before] == sorted(one.key for one in before)
    # More were left out than the searches brought together.
    assert 500 <= len(before) <= 800
    gone = data.draw(st.sets(st.sampled_from(rows), max_size=200))
    new = data.draw(st.sets(st.integers(0, 1499), max_size=200)) - first
    catalogue.delete([WORLD.ids[row] for row in gone])
    if new:
        catalogue.write(LABELLED.take(sorted(new)), items.rows(np.array(sorted(new))))
    after, _ = await rank(twin, catalogue, investor, PropertyFilter(), (), 0.0, floors)
    deleted, added = ({WORLD.ids[row] for row in some} for some in (gone, new))
    stayed = [one for one in before if one.property_id not in deleted]
    assert [one for one in after if one.property_id not in added] == stayed


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
