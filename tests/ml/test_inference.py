import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
import torch

from domain.snapshots import (
    HISTORY_LIMIT,
    InvestorHistory,
    ModelKey,
    PropertyColumns,
    PropertyFilter,
    Range,
    StoredModel,
    Twin,
)
from domain.vocabulary import InteractionKind
from ml.artifacts import Artifact, ArtifactError, pack
from ml.index import EmbeddingIndex
from ml.inference import TwinService

EVERYTHING = PropertyFilter()
LIKED = [InteractionKind.DEAL, InteractionKind.THUMBS_DOWN, InteractionKind.SAVE]

MakeHistory = Callable[..., InvestorHistory]


class Loader:
    """Gives one stored twin for every key, and counts."""

    def __init__(self, stored: StoredModel) -> None:
        self.stored = stored
        self.loads: list[ModelKey] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, key: ModelKey) -> StoredModel:
        self.loads.append(key)
        await self.gate.wait()
        return self.stored


@pytest.fixture
def loader(artifact: Artifact) -> Loader:
    return Loader(pack(artifact, {}))


@pytest.fixture
def service(index: EmbeddingIndex, loader: Loader) -> TwinService:
    return TwinService(index, loader, device="cpu", capacity=2)


@pytest.fixture
async def key(index: EmbeddingIndex, service: TwinService, columns: PropertyColumns) -> ModelKey:
    """A version whose space holds all of ``columns``."""
    found = ModelKey(uuid4(), uuid4())
    await index.space(found).upsert_properties(columns, await service.embed(found, columns))
    return found


def test_is_what_the_domain_asks_for(service: TwinService) -> None:
    twin: Twin = service
    assert twin is service


async def test_rank_and_score_agree(
    service: TwinService, key: ModelKey, columns: PropertyColumns, history: MakeHistory
) -> None:
    investor = history(columns, [3, 4, 5], LIKED)
    ranked = await service.rank(key, investor, EVERYTHING, (), 200)
    assert len(ranked) == 200
    rows = [columns.ids.index(one.property_id) for one in ranked]
    scores = (await service.score(key, [investor], columns.take(rows)))[0]
    np.testing.assert_allclose([one.score for one in ranked], scores, atol=1e-5)
    assert (np.diff([one.score for one in ranked]) <= 0).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


async def test_rank_keeps_to_filter_exclusions_and_limit(
    service: TwinService, key: ModelKey, columns: PropertyColumns, history: MakeHistory
) -> None:
    investor = history(columns, [3, 4, 5], LIKED)
    where = PropertyFilter(price=Range(max=500_000))
    ranked = await service.rank(key, investor, where, columns.ids[:100], 8)
    assert len(ranked) == 8
    rows = [columns.ids.index(one.property_id) for one in ranked]
    assert min(rows) >= 100
    assert columns.column("listing_price")[rows].max() <= 500_000
    nothing = PropertyFilter(zipcodes=("nowhere",))
    assert await service.rank(key, investor, nothing, (), 8) == []


async def test_nearest_is_the_most_like_of_what_was_approved_of(
    service: TwinService, key: ModelKey, columns: PropertyColumns, history: MakeHistory
) -> None:
    ranked = await service.rank(key, history(columns, [3, 4, 5], LIKED), EVERYTHING, (), 50)
    vectors = await service.embed(key, columns)
    for one in ranked:
        cosines = vectors[[3, 5]] @ vectors[columns.ids.index(one.property_id)]
        assert one.nearest == columns.ids[[3, 5][int(cosines.argmax())]]
        assert one.nearest_similarity == pytest.approx((1 + cosines.max()) / 2, abs=1e-5)


async def test_a_thumb_counts_at_once(
    service: TwinService, key: ModelKey, columns: PropertyColumns, history: MakeHistory
) -> None:
    target = columns.take([50])
    before = history(columns, [3, 4], ["VIEW", "SAVE"])
    up = history(columns, [50, 3, 4], ["THUMBS_UP", "VIEW", "SAVE"])
    down = history(columns, [50, 3, 4], ["THUMBS_DOWN", "VIEW", "SAVE"])
    scores = await service.score(key, [down, before, up], target)
    assert scores.shape == (3, 1)
    assert scores[0, 0] < scores[1, 0] < scores[2, 0]


@pytest.mark.parametrize("kinds", [[], ["THUMBS_DOWN", "DISMISS"]])
async def test_nobody_is_ranked_by_nothing(
    service: TwinService,
    key: ModelKey,
    columns: PropertyColumns,
    history: MakeHistory,
    kinds: list[str],
) -> None:
    investor = history(columns, list(range(len(kinds))), kinds)
    with pytest.raises(ValueError, match="approved of nothing"):
        await service.rank(key, investor, EVERYTHING, (), 5)
    with pytest.raises(ValueError, match="approved of nothing"):
        await service.score(key, [investor], columns)


async def test_only_the_newest_interactions_count(
    service: TwinService, key: ModelKey, columns: PropertyColumns, history: MakeHistory
) -> None:
    rows = list(range(HISTORY_LIMIT + 10))
    long = history(columns, rows, ["SAVE"] * len(rows))
    short = history(columns, rows[:HISTORY_LIMIT], ["SAVE"] * HISTORY_LIMIT)
    np.testing.assert_array_equal(
        await service.investor_vector(key, long), await service.investor_vector(key, short)
    )


async def test_investor_vector_is_what_ranks(
    service: TwinService,
    index: EmbeddingIndex,
    key: ModelKey,
    columns: PropertyColumns,
    history: MakeHistory,
) -> None:
    investor = history(columns, [3, 4, 5], LIKED)
    vector = await service.investor_vector(key, investor)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    hits = await index.space(key).query(vector, EVERYTHING, (), 20)
    ranked = await service.rank(key, investor, EVERYTHING, (), 20)
    assert [hit.property_id for hit in hits] == [one.property_id for one in ranked]
    nobody = await service.investor_vector(key, history(columns, [], []))
    assert (nobody == 0).all()


async def test_similar_leaves_the_anchor_out(
    service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    similar = await service.similar(key, columns.take([7]), EVERYTHING, columns.ids[:5], 10)
    vectors = await service.embed(key, columns)
    cosines = vectors @ vectors[7]
    cosines[[0, 1, 2, 3, 4, 7]] = -2
    assert [one.property_id for one in similar] == [
        columns.ids[row] for row in np.argsort(-cosines)[:10]
    ]
    assert similar[0].similarity == pytest.approx((1 + cosines.max()) / 2, abs=1e-5)
    with pytest.raises(ValueError, match="one anchor"):
        await service.similar(key, columns, EVERYTHING, (), 10)


async def test_large_batches_embed_the_same(
    service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    many = columns.take(np.tile(np.arange(200), 25))
    found = await service.embed(key, many)
    np.testing.assert_allclose(found[:200], await service.embed(key, columns), atol=1e-5)
    assert found.shape == (5000, 16)


async def test_keeps_the_latest_used_versions(
    service: TwinService, loader: Loader, columns: PropertyColumns
) -> None:
    a, b, c = (ModelKey(uuid4(), uuid4()) for _ in range(3))
    for key in (a, b, a, c, a, b):
        await service.embed(key, columns.take([0]))
    assert loader.loads == [a, b, c, b]


async def test_concurrent_requests_share_one_load_even_if_one_gives_up(
    service: TwinService, loader: Loader, columns: PropertyColumns
) -> None:
    key = ModelKey(uuid4(), uuid4())
    loader.gate.clear()
    requests = [asyncio.create_task(service.embed(key, columns.take([row]))) for row in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    requests[0].cancel()
    loader.gate.set()
    found = await asyncio.gather(*requests, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(vectors, np.ndarray) for vectors in found[1:])
    assert loader.loads == [key]


async def test_a_failed_load_is_told_and_tried_again(
    service: TwinService, loader: Loader, columns: PropertyColumns
) -> None:
    key, good = ModelKey(uuid4(), uuid4()), loader.stored
    loader.stored = replace(good, weights=b"broken")
    with pytest.raises(ArtifactError, match="corrupted"):
        await service.embed(key, columns)
    loader.stored = good
    assert (await service.embed(key, columns)).shape == (200, 16)


def test_capacity_is_checked(index: EmbeddingIndex, loader: Loader) -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1: 0"):
        TwinService(index, loader, capacity=0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
async def test_cuda_agrees_with_the_cpu(
    index: EmbeddingIndex, loader: Loader, columns: PropertyColumns, history: MakeHistory
) -> None:
    key = ModelKey(uuid4(), uuid4())
    cpu, cuda = (TwinService(index, loader, device=name) for name in ("cpu", "cuda"))
    np.testing.assert_allclose(
        await cuda.embed(key, columns), await cpu.embed(key, columns), atol=1e-4
    )
    investors = [history(columns, [3, 4, 5], LIKED)]
    np.testing.assert_allclose(
        await cuda.score(key, investors, columns),
        await cpu.score(key, investors, columns),
        atol=1e-4,
    )
