"""Investors in the index: a point for each interest, replaced without a moment that has none."""

from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import models

from domain.contract.snapshots import ModelKey
from ml.index.index import EmbeddingIndex
from ml.index.points import USERS
from ml.index.space import Space
from tests.factories import interests_in


def unit(count: int, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=(count, 16))
    unit: NDArray[np.float32] = (drawn / np.sqrt((drawn**2).sum(axis=1))[:, None]).astype("f4")
    return unit


def new_key() -> ModelKey:
    return ModelKey(uuid4(), uuid4())


async def points_of(index: EmbeddingIndex, space: Space, user_id: UUID) -> list[dict[str, Any]]:
    """What the space's collection holds of an investor, by place, past the code under test."""
    wanted = {**space._own, "user_id": user_id}
    points, _ = await index._client.scroll(
        USERS,
        models.Filter(
            must=[
                models.FieldCondition(key=key, match=models.MatchValue(value=str(value)))
                for key, value in wanted.items()
            ]
        ),
        limit=100,
        with_vectors=True,
    )
    found = [{**(point.payload or {}), "vector": point.vector} for point in points]
    return sorted(found, key=lambda one: int(one["interest"]))


async def test_an_investor_has_a_point_for_each_interest(index: EmbeddingIndex) -> None:
    key = new_key()
    space, other = index.space(key), index.space(ModelKey(key.tenant_id, uuid4()))
    a, b, c = (uuid4() for _ in range(3))
    nothing = np.empty((0, 16), dtype=np.float32)
    await space.upsert_users({a: unit(5), b: unit(2, seed=1), c: nothing})
    await other.upsert_users({a: unit(1)})
    assert (await interests_in(space), await space.count()) == (7, 0)
    points = await points_of(index, space, a)
    assert [one["interest"] for one in points] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([one["vector"] for one in points], unit(5), atol=1e-6)

    await space.upsert_users({a: unit(2, seed=3)})  # fewer than before: none is left over
    points = await points_of(index, space, a)
    np.testing.assert_allclose([one["vector"] for one in points], unit(2, seed=3), atol=1e-6)
    assert (await interests_in(space), await interests_in(other)) == (4, 1)

    await space.upsert_users({b: nothing})
    assert (await interests_in(space), await interests_in(other)) == (2, 1)
    await space.upsert_users({})
    await space.delete_users(())
    await space.delete_users([a])
    assert (await interests_in(space), await interests_in(other)) == (0, 1)
    await other.drop()
    assert await interests_in(other) == 0


async def test_an_investor_is_never_without_interests_meanwhile(
    index: EmbeddingIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, investor = index.space(new_key()), uuid4()
    await space.upsert_users({investor: unit(3)})
    seen: list[int] = []

    def watched(call: Any) -> Any:
        async def watch(*args: Any, **options: Any) -> Any:
            answer = await call(*args, **options)
            seen.append(await interests_in(space))
            return answer

        return watch

    for name in ("delete", "upsert"):
        monkeypatch.setattr(index._client, name, watched(getattr(index._client, name)))
    await space.upsert_users({investor: unit(2, seed=1)})
    assert seen[-1] == 2
    assert min(seen) > 0


async def test_an_investor_is_forgotten_in_all_versions_of_its_tenant_alone(
    index: EmbeddingIndex,
) -> None:
    ours, theirs, gone, stays = (uuid4() for _ in range(4))
    spaces = [index.space(ModelKey(one, uuid4())) for one in (ours, ours, theirs)]
    for space in spaces:
        await space.upsert_users({gone: unit(2), stays: unit(1)})
    await index.delete_users_everywhere(ours, ())
    assert [await interests_in(space) for space in spaces] == [3, 3, 3]
    await index.delete_users_everywhere(ours, [gone, uuid4()])
    assert [await space.user_ids() for space in spaces] == [{stays}, {stays}, {gone, stays}]
