"""What a space holds, and whether that is what it should hold."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from domain.contract.snapshots import ModelKey, PropertyColumns
from ml.index.index import EmbeddingIndex
from ml.index.index_rows import ROW
from ml.index.points import PROPERTIES
from ml.index.space import Space
from ml.twin.items import Items


def directions(count: int) -> NDArray[np.float32]:
    """As many unit vectors, no two alike."""
    return np.eye(16, dtype=np.float32)[:count]


@pytest.fixture
async def space(index: EmbeddingIndex, columns: PropertyColumns, items: Items) -> Space:
    """A space of the test's own with all of ``columns``."""
    made = index.space(ModelKey(uuid4(), uuid4()))
    await made.upsert_properties(columns, items)
    return made


async def test_what_was_written_does_not_differ(
    space: Space, columns: PropertyColumns, items: Items
) -> None:
    assert await space.differing(columns, items) == set()
    assert await space.differing(columns.take([]), rows_of(items, [])) == set()
    # Some of them, in another order: computed numbers may differ in their last digits.
    rows = list(range(len(columns)))[::-3]
    some = rows_of(items, rows)
    noisy = replace(some, embedding=some.embedding + 1e-6)
    assert await space.differing(columns.take(rows), noisy) == set()


def rows_of(items: Items, rows: list[int]) -> Items:
    """Some of the items."""
    return items[torch.tensor(rows, dtype=torch.long)]


@pytest.mark.parametrize("what", ["absent", "vector", "payload", "more payload", "row", "no row"])
async def test_whatever_differs_is_found(
    space: Space, columns: PropertyColumns, items: Items, what: str
) -> None:
    client, changed = space._client, columns.ids[3]
    point: list[Any] = [space._point_id(changed)]
    if what == "absent":
        await client.delete(PROPERTIES, point)
    elif what == "vector":
        other = replace(items, embedding=items.embedding.flip(0))
        await space.upsert_properties(columns.take([3]), rows_of(other, [3]))
    elif what == "payload":
        await client.set_payload(PROPERTIES, {"owned": "perhaps"}, point)
    elif what == "more payload":
        await client.set_payload(PROPERTIES, {"colour": "blue"}, point)
    elif what == "row":
        other = replace(items, prior=items.prior + 0.1)
        await space.upsert_properties(columns.take([3]), rows_of(other, [3]))
    else:
        await client.delete_payload(PROPERTIES, [ROW], point)
    assert await space.differing(columns, items) == {changed}


async def test_investors_are_counted_and_compared_whatever_the_order(index: EmbeddingIndex) -> None:
    space = index.space(ModelKey(uuid4(), uuid4()))
    one, other, idle, gone = (uuid4() for _ in range(4))
    vectors = directions(4)
    await space.upsert_users({one: vectors[:3], other: vectors[:1], gone: vectors[:2]})
    assert await space.count_users() == 3
    same = {one: vectors[[2, 0, 1]], other: vectors[:1] + np.float32(1e-6), idle: vectors[:0]}
    assert await space.differing_users(same) == set()
    different: dict[UUID, NDArray[np.float32]] = {
        one: vectors[1:4],
        other: vectors[:2],
        idle: vectors[:1],
        gone: vectors[:0],
    }
    assert await space.differing_users(different) == set(different)
    # As many, but one of them twice.
    assert await space.differing_users({one: vectors[[0, 0, 1]]}) == {one}


async def test_some_properties_can_be_left_out_of_the_count(
    space: Space, columns: PropertyColumns
) -> None:
    assert await space.count() == len(columns)
    assert await space.count([*columns.ids[:5], uuid4()]) == len(columns) - 5


async def test_other_versions_go_and_other_tenants_stay(
    index: EmbeddingIndex, columns: PropertyColumns, items: Items
) -> None:
    tenant, kept, gone, stranger = uuid4(), uuid4(), uuid4(), uuid4()
    spaces = [index.space(ModelKey(tenant, one)) for one in (kept, gone)]
    spaces.append(index.space(ModelKey(stranger, gone)))
    for space in spaces:
        await space.upsert_properties(columns.take([0, 1]), rows_of(items, [0, 1]))
        await space.upsert_users({uuid4(): directions(2)})

    async def held() -> list[tuple[int, int]]:
        return [(await one.count(), await one.count_users()) for one in spaces]

    await index.keep_versions(tenant, [kept])
    assert await held() == [(2, 1), (0, 0), (2, 1)]
    await index.keep_versions(tenant, [])
    assert await held() == [(0, 0), (0, 0), (2, 1)]
