from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import ModelKey, PropertyColumns
from ml.catalogue.retrieval import ALIKE, sources
from ml.index.index import EmbeddingIndex
from ml.twin.scoring import Investor, LoadedTwin
from tests.ml.worlds import make_columns, make_history, with_values


@pytest.fixture(scope="module")
def catalogue() -> PropertyColumns:
    """More than the searches bring; all but the last fifty are owned."""
    columns = make_columns(1200, seed=2)
    owners = (np.arange(1200) < 1150).astype(np.int32)
    return replace(columns, owners=owners)


@pytest.fixture(scope="module")
async def key(index: EmbeddingIndex, twin: LoadedTwin, catalogue: PropertyColumns) -> ModelKey:
    found = ModelKey(uuid4(), uuid4())
    await index.space(found).upsert_properties(catalogue, twin.items(catalogue))
    return found


def likeness(twin: LoadedTwin, investor: Investor, columns: PropertyColumns) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (twin.embed(columns) @ investor.interests.T).max(axis=1)
    return found


async def found_for(
    index: EmbeddingIndex, key: ModelKey, investor: Investor, where: PropertyFilter
) -> set[object]:
    space = index.space(key)
    return set((await space.candidates(investor.interests, where, (), sources(investor))).ids)


async def test_what_nobody_owns_and_what_is_near_is_always_looked_at(
    index: EmbeddingIndex, twin: LoadedTwin, key: ModelKey, catalogue: PropertyColumns
) -> None:
    investor = twin.investor(make_history(catalogue, [1, 2], ["SAVE", "VIEW"]))
    found = await found_for(index, key, investor, PropertyFilter())
    assert set(catalogue.ids[1150:]) <= found
    alike = np.argsort(-likeness(twin, investor, catalogue))[:ALIKE]
    assert {catalogue.ids[row] for row in alike} <= found
    assert len(found) < 700


async def test_a_filter_leaves_what_is_looked_at_full(
    index: EmbeddingIndex, twin: LoadedTwin, key: ModelKey, catalogue: PropertyColumns
) -> None:
    investor = twin.investor(make_history(catalogue, [1], ["SAVE"]))
    prices = catalogue.column("listing_price")
    for lowest in np.nanquantile(prices, (0.2, 0.8)).tolist():
        where = PropertyFilter(price=Range(min=lowest))
        matching = int(np.count_nonzero(prices >= lowest))
        found = await found_for(index, key, investor, where)
        assert min(ALIKE, matching) <= len(found) <= matching


async def test_a_house_next_door_is_found_though_the_tower_thinks_it_unlike(
    index: EmbeddingIndex, twin: LoadedTwin, catalogue: PropertyColumns
) -> None:
    own = with_values(catalogue.take([0]), latitude=47.55, longitude=-122.0)
    investor = twin.investor(make_history(own, [0], ["SAVE"]))
    far = with_values(catalogue, latitude=47.3, longitude=-122.4)
    unlike = np.argsort(likeness(twin, investor, far))[:600]
    placed = far.numeric.copy()
    moved = with_values(far.take([unlike[0]]), latitude=47.5502, longitude=-122.0002)
    placed[unlike[0]] = moved.numeric[0]
    world = replace(far, numeric=placed, owners=np.ones(1200, dtype=np.int32))
    # As if the tower had not noticed that it moved.
    items = twin.items(world)
    items = replace(items, embedding=twin.items(far).embedding)
    key = ModelKey(uuid4(), uuid4())
    await index.space(key).upsert_properties(world, items)
    assert world.ids[unlike[0]] in await found_for(index, key, investor, PropertyFilter())


def test_one_search_less_where_nothing_has_a_place(
    twin: LoadedTwin, catalogue: PropertyColumns
) -> None:
    nowhere = with_values(catalogue, latitude=np.nan)
    placed, placeless = (
        sources(twin.investor(make_history(one, [1], ["SAVE"])))
        for one in (with_values(catalogue, latitude=47.5, longitude=-122.0), nowhere)
    )
    assert (len(placed), len(placeless)) == (3, 2)
