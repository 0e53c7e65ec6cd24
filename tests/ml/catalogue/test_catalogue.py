"""A catalogue that is written to while it is searched."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.filters import PropertyFilter, Range
from domain.contract.snapshots import PropertyColumns
from ml.catalogue import catalogue as module
from ml.catalogue.candidates import Source
from ml.catalogue.catalogue import Catalogue
from ml.twin.items import Items
from ml.twin.scoring import LoadedTwin
from tests.ml.catalogue.test_candidate_generation import labelled, unit
from tests.ml.worlds import make_columns

EVERYTHING = PropertyFilter()
QUERY = unit(1, seed=1)[0]


@pytest.fixture(scope="module")
def many() -> PropertyColumns:
    """Three hundred properties."""
    return labelled(make_columns(300, seed=4))


@pytest.fixture(scope="module")
def seen(twin: LoadedTwin, many: PropertyColumns) -> Items:
    """What the stages read of them."""
    return twin.items(many)


def part(many: PropertyColumns, seen: Items, rows: list[int]) -> tuple[PropertyColumns, Items]:
    return many.take(rows), seen[torch.tensor(rows, dtype=torch.int64)]


async def ids(catalogue: Catalogue, where: PropertyFilter = EVERYTHING) -> list[UUID]:
    return [hit.property_id for hit in await catalogue.query(QUERY, where, (), 1000)]


@given(st.data())
async def test_it_holds_what_was_written_last(
    many: PropertyColumns, seen: Items, data: st.DataObject
) -> None:
    """Whatever is written, deleted and rebuilt, searches find what a list of all would."""
    catalogue = Catalogue()
    price: dict[UUID, float] = {}
    for step in range(data.draw(st.integers(1, 8))):
        rows = data.draw(st.lists(st.integers(0, 299), max_size=60, unique=True))
        match data.draw(st.sampled_from(["write", "write", "delete", "tidy"])):
            case "write":
                columns, items = part(many, seen, rows)
                numeric = columns.numeric.copy()
                numeric[:, 0] = step
                catalogue.write(replace(columns, numeric=numeric), items)
                price |= dict.fromkeys(columns.ids, float(step))
            case "delete":
                catalogue.delete([many.ids[row] for row in rows])
                for row in rows:
                    price.pop(many.ids[row], None)
            case _:
                await catalogue.tidy(above=0)
        assert len(catalogue) == len(price)
        assert set(await ids(catalogue)) == set(price)
        newest = PropertyFilter(price=Range(min=step))
        assert set(await ids(catalogue, newest)) == {one for one in price if price[one] == step}
        rows_now = catalogue.rows_of(many.ids)
        assert {one for one, row in zip(many.ids, rows_now, strict=True) if row >= 0} == set(price)


async def test_a_search_sees_what_was_there_when_it_began(
    many: PropertyColumns, seen: Items, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it runs in a thread while all is deleted and the arrays are rebuilt."""
    monkeypatch.setattr(module, "_INLINE", 0)
    catalogue = Catalogue()
    catalogue.write(*part(many, seen, list(range(200))))
    await catalogue.tidy(above=0)
    searches = [
        asyncio.create_task(
            catalogue.candidates(QUERY[None], EVERYTHING, many.ids[:5], [Source(100)])
        )
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    catalogue.delete(many.ids[:150])
    catalogue.write(*part(many, seen, list(range(5, 300))))
    await catalogue.tidy(above=0)
    found = [await one for one in searches]
    expected = np.argsort(-(seen.embedding.numpy()[5:200] @ QUERY), kind="stable")[:100] + 5
    assert all(set(one.ids) == {many.ids[row] for row in expected} for one in found)
    assert set(await ids(catalogue)) == set(many.ids[5:])


async def test_one_property_that_changes_again_and_again_takes_no_more_memory(
    many: PropertyColumns, seen: Items
) -> None:
    catalogue = Catalogue()
    catalogue.write(*part(many, seen, list(range(10))))
    await catalogue.tidy(above=20)
    before = catalogue.nbytes
    for _ in range(200):
        catalogue.write(*part(many, seen, [3]))
        await catalogue.tidy(above=20)
    assert catalogue.nbytes < 2 * before
    assert set(await ids(catalogue)) == set(many.ids[:10])


async def test_items_are_known_only_as_long_as_the_property_is_the_same(
    many: PropertyColumns, seen: Items
) -> None:
    catalogue = Catalogue()
    catalogue.write(*part(many, seen, list(range(100))))
    some = many.take([3, 3, 99])
    known = catalogue.items_of(some)
    assert known is not None
    torch.testing.assert_close(known.embedding, seen.embedding[[3, 3, 99]], rtol=0, atol=0)
    torch.testing.assert_close(known.attributes, seen.attributes[[3, 3, 99]], rtol=0, atol=0)
    assert catalogue.items_of(many.take([3, 100])) is None
    for name in ("property_type", "listing_status", "owners"):
        other = getattr(some, name).copy()
        other[0] = 0 if other[0] > 0 else 1
        assert catalogue.items_of(replace(some, **{name: other})) is None
    for column in range(some.numeric.shape[1]):
        other = some.numeric.copy()
        other[1, column] = 0.25 if np.isnan(other[1, column]) else np.nan
        assert catalogue.items_of(replace(some, numeric=other)) is None


async def test_ids_that_begin_alike_are_told_apart(many: PropertyColumns, seen: Items) -> None:
    alike = tuple(sorted(UUID(int=(7 << 64) + n) for n in range(20)))
    columns, items = part(many, seen, list(range(20)))
    catalogue = Catalogue()
    catalogue.load(replace(columns, ids=alike), items)
    catalogue.settle()
    assert catalogue.rows_of(alike).tolist() == list(range(20))
    assert catalogue.rows_of([uuid4(), UUID(int=7 << 65)]).tolist() == [-1, -1]


async def test_memory_of_a_property_is_a_few_hundred_bytes(
    many: PropertyColumns, seen: Items
) -> None:
    rows = [row % 300 for row in range(3000)]
    columns, items = part(many, seen, rows)
    columns = replace(columns, ids=tuple(UUID(int=row) for row in range(3000)))
    catalogue = Catalogue()
    catalogue.load(columns, items)
    catalogue.settle()
    assert 250 < catalogue.nbytes / len(catalogue) < 500
