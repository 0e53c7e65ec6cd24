import asyncio
from collections.abc import Collection
from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest

from domain.contract.filters import PropertyFilter, Range
from domain.contract.ranked_lists import Ranked
from domain.contract.snapshots import (
    HISTORY_LIMIT,
    BuyBox,
    CauseKind,
    InvestorHistory,
    ModelKey,
    PropertyColumns,
    StoredModel,
    Twin,
)
from domain.contract.vocabulary import InteractionKind
from ml.index.index import EmbeddingIndex
from ml.serving.inference import TwinService
from ml.training.config import TrainingConfig
from ml.training.training import train
from ml.twin.artifacts import Artifact, ArtifactError, pack
from ml.twin.buy_box import share_met
from tests.ml.worlds import make_history, make_streets, with_values

EVERYTHING = PropertyFilter()
BOX = BuyBox(cities=("Seattle",), price=Range(3e5, 6e5))
LIKED = [InteractionKind.DEAL, InteractionKind.THUMBS_DOWN, InteractionKind.SAVE]


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


async def fill(
    index: EmbeddingIndex, service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    """As a reindex does."""
    await index.space(key).upsert_properties(columns, await service.items(key, columns))


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
    await fill(index, service, found, columns)
    return found


async def listed(
    service: TwinService,
    key: ModelKey,
    investor: InvestorHistory,
    where: PropertyFilter,
    exclude: Collection[UUID],
    diversity: float = 0.0,
) -> list[Ranked]:
    """The whole list."""
    return list((await service.rank(key, investor, where, exclude, diversity)).items)


def test_is_what_the_domain_asks_for(service: TwinService) -> None:
    twin: Twin = service
    assert twin is service


@pytest.mark.parametrize("buy_box", [None, BOX])
async def test_rank_and_score_agree(
    service: TwinService, key: ModelKey, columns: PropertyColumns, buy_box: BuyBox | None
) -> None:
    """One number for one property, wherever it was read."""
    investor = make_history(columns, [3, 4, 5], LIKED, buy_box=buy_box)
    ranked = await listed(service, key, investor, EVERYTHING, columns.ids[3:6])
    assert len(ranked) == 197
    rows = [columns.ids.index(one.property_id) for one in ranked]
    scores = (await service.score(key, [investor], columns.take(rows)))[0]
    np.testing.assert_allclose([one.score for one in ranked], scores, atol=1e-5)
    assert (np.diff([one.score for one in ranked]) <= 0).all()
    assert scores.min() >= 0
    assert scores.max() <= 1


async def test_many_investors_are_scored_as_each_is(
    service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    investors = [
        make_history(columns, [3, 4, 5], LIKED),
        make_history(columns, [9], ["VIEW"], buy_box=BOX),
    ]
    together = await service.score(key, investors, columns)
    assert together.shape == (2, 200)
    for row, investor in enumerate(investors):
        np.testing.assert_array_equal(
            together[row], (await service.score(key, [investor], columns))[0]
        )
    assert (await service.score(key, [], columns)).shape == (0, 200)


async def test_what_is_in_the_buy_box_rises(
    service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    plain, boxed = await service.score(
        key,
        [make_history(columns, [3], ["VIEW"], buy_box=box) for box in (None, BOX)],
        columns,
    )
    met = share_met(BOX, columns)
    assert (boxed[met == 0] == plain[met == 0]).all()
    assert (boxed[met > 0] > plain[met > 0]).all()


async def test_rank_keeps_to_filter_exclusions_and_limit(
    service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    investor = make_history(columns, [3, 4, 5], LIKED)
    where = PropertyFilter(price=Range(max=500_000))
    ranked = await listed(service, key, investor, where, columns.ids[:100])
    assert len(ranked) == (columns.column("listing_price")[100:] <= 500_000).sum()
    rows = [columns.ids.index(one.property_id) for one in ranked]
    assert min(rows) >= 100
    assert columns.column("listing_price")[rows].max() <= 500_000
    nothing = PropertyFilter(zipcodes=("nowhere",))
    assert await listed(service, key, investor, nothing, ()) == []


async def test_a_thumb_counts_at_once(
    service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    target = columns.take([50])
    before = make_history(columns, [3, 4], ["VIEW", "SAVE"])
    up = make_history(columns, [50, 3, 4], ["THUMBS_UP", "VIEW", "SAVE"])
    down = make_history(columns, [50, 3, 4], ["THUMBS_DOWN", "VIEW", "SAVE"])
    scores = await service.score(key, [down, before, up], target)
    assert scores.shape == (3, 1)
    assert scores[0, 0] < scores[1, 0] < scores[2, 0]


@pytest.mark.parametrize("kinds", [[], ["THUMBS_DOWN", "DISMISS"]])
async def test_nobody_is_ranked_by_nothing(
    service: TwinService, key: ModelKey, columns: PropertyColumns, kinds: list[str]
) -> None:
    investor = make_history(columns, list(range(len(kinds))), kinds)
    with pytest.raises(ValueError, match="approved of nothing"):
        await service.rank(key, investor, EVERYTHING, ())
    with pytest.raises(ValueError, match="approved of nothing"):
        await service.score(key, [investor], columns)


async def test_only_the_newest_interactions_count(
    service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    rows = list(range(HISTORY_LIMIT + 10))
    long = make_history(columns, rows, ["SAVE"] * len(rows))
    short = make_history(columns, rows[:HISTORY_LIMIT], ["SAVE"] * HISTORY_LIMIT)
    scores = await service.score(key, [long, short], columns)
    np.testing.assert_array_equal(scores[0], scores[1])


async def test_interests_are_what_the_index_keeps_of_an_investor(
    service: TwinService, key: ModelKey, columns: PropertyColumns
) -> None:
    investor = make_history(columns, [3, 4, 5], LIKED)
    interests = (await service.interests(key, [investor]))[investor.user_id]
    vectors = await service.embed(key, columns.take([3, 5]))
    cosines = interests @ vectors.T
    assert interests.shape == (2, 16)
    np.testing.assert_allclose(np.sort(cosines.max(axis=1)), [1, 1], atol=1e-5)
    many = [make_history(columns, [3, 4, 5], LIKED) for _ in range(20)]
    for one in (await service.interests(key, many)).values():
        np.testing.assert_array_equal(one, interests)
    nobody = make_history(columns, [], [])
    assert (await service.interests(key, [nobody]))[nobody.user_id].shape == (0, 16)


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
    assert similar[0].score == pytest.approx((1 + cosines.max()) / 2, abs=1e-5)
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


@pytest.fixture(scope="module")
async def streets(index: EmbeddingIndex) -> tuple[TwinService, ModelKey, PropertyColumns]:
    """A trained twin of ``make_streets`` in service, with all houses indexed."""
    columns, log = make_streets()
    config = TrainingConfig(epochs=3, rerank_epochs=4, rerank_examples=600, device="cpu")
    trained = train(columns, log, config, lambda _: None)
    service = TwinService(index, Loader(StoredModel(trained.weights, trained.metadata)), "cpu")
    key = ModelKey(uuid4(), uuid4())
    await fill(index, service, key, columns)
    return service, key, columns


Streets = tuple[TwinService, ModelKey, PropertyColumns]


async def street_list(
    streets: Streets, investor: InvestorHistory, limit: int = 10, diversity: float = 0.0
) -> list[int]:
    """The rows of the ranking without what the investor acted on; the street is row % 6."""
    service, key, columns = streets
    acted_on = set(investor.properties.ids)
    ranked = await listed(service, key, investor, EVERYTHING, acted_on, diversity)
    return [columns.ids.index(one.property_id) for one in ranked[:limit]]


async def test_a_trained_twin_finds_the_street(streets: Streets) -> None:
    for street in range(6):
        rows = await street_list(
            streets, make_history(streets[2], [street, street + 6], ["SAVE", "VIEW"])
        )
        assert sum(row % 6 == street for row in rows) >= 8


async def test_several_interests_are_all_met(streets: Streets) -> None:
    """Two streets far apart: both are in the first ten, and hardly what lies between them."""
    rows = await street_list(streets, make_history(streets[2], [0, 5, 6, 11, 12, 17], ["SAVE"] * 6))
    found = [row % 6 for row in rows]
    assert found.count(0) >= 2
    assert found.count(5) >= 2
    assert found.count(0) + found.count(5) >= 8


async def test_a_thumb_changes_the_next_ranking(streets: Streets) -> None:
    """What is like the property rises or falls with it."""
    service, key, columns = streets
    kinds, rows = ["SAVE"] * 4, [0, 6, 2, 8]
    before = make_history(columns, rows, kinds)
    up = make_history(columns, [4, *rows], ["THUMBS_UP", *kinds])
    down = make_history(columns, [12, *rows], ["THUMBS_DOWN", *kinds])
    everything = await street_list(streets, before, 200)
    fourth = [row for row in everything if row % 6 == 4 and row != 4][:5]

    def places(order: list[int], of: list[int]) -> float:
        return float(np.mean([order.index(row) for row in of]))

    after_up = await street_list(streets, up, 200)
    assert places(after_up, fourth) < places(everything, fourth)
    newcomer = make_history(columns, [4, 0], ["THUMBS_UP", "SAVE"])
    assert {row % 6 for row in await street_list(streets, newcomer, 70)} == {0, 4}
    first = [row for row in everything if row % 6 == 0 and row != 12][:5]
    after_down = await street_list(streets, down, 200)
    assert places(after_down, first) > places(everything, first)
    scores = await service.score(key, [before, down], columns.take(first))
    assert (scores[1] < scores[0]).all()


async def test_a_buy_box_counts_in_the_ranking(streets: Streets) -> None:
    """Who hardly did anything, and says another price than that of the street acted on."""
    columns = streets[2]
    wanted = Range(float(columns.column("listing_price")[5::6].min()), None)
    plain, boxed = [
        await street_list(streets, make_history(columns, [3], ["VIEW"], buy_box=box), 200)
        for box in (None, BuyBox(price=wanted))
    ]
    assert boxed[0] % 6 == plain[0] % 6 == 3
    inside = [sum(row % 6 == 5 for row in rows[:75]) for rows in (plain, boxed)]
    assert inside[1] > inside[0] + 10


async def likeness_within(streets: Streets, rows: list[int]) -> float:
    """Mean cosine of all pairs."""
    service, key, columns = streets
    vectors = await service.embed(key, columns.take(rows))
    return float((vectors @ vectors.T)[np.triu_indices(len(rows), 1)].mean())


async def test_diversity_spreads_a_ranking(streets: Streets) -> None:
    investor = make_history(streets[2], [0, 6, 1], ["SAVE"] * 3)
    plain = await street_list(streets, investor)
    assert await street_list(streets, investor, diversity=0.0) == plain
    likeness = []
    for diversity in (0.0, 0.3, 0.7, 1.0):
        rows = await street_list(streets, investor, diversity=diversity)
        assert rows[0] == plain[0]
        assert len(set(rows)) == 10
        longer = await street_list(streets, investor, 25, diversity)
        assert longer[:10] == rows
        likeness.append(await likeness_within(streets, rows))
    assert likeness[0] > likeness[2] > likeness[3] - 1e-6
    assert likeness == sorted(likeness, reverse=True)


async def test_diversity_spreads_what_is_similar(streets: Streets) -> None:
    service, key, columns = streets
    found: dict[float, list[int]] = {}
    for diversity in (0.0, 0.5, 1.0):
        lists = []
        for limit in (10, 25):
            similar = await service.similar(
                key, columns.take([7]), EVERYTHING, columns.ids[:3], limit, diversity
            )
            lists.append([columns.ids.index(one.property_id) for one in similar])
        assert lists[1][:10] == lists[0]
        assert not {0, 1, 2, 7} & set(lists[1])
        found[diversity] = lists[0]
    plain = await service.similar(key, columns.take([7]), EVERYTHING, columns.ids[:3], 10)
    assert [columns.ids.index(one.property_id) for one in plain] == found[0.0]
    likeness = [await likeness_within(streets, rows) for rows in found.values()]
    assert likeness == sorted(likeness, reverse=True)
    assert likeness[2] < likeness[0]


async def test_diversity_of_nothing_is_nothing(streets: Streets) -> None:
    service, key, columns = streets
    nothing = PropertyFilter(zipcodes=("nowhere",))
    investor = make_history(columns, [0], ["SAVE"])
    assert await listed(service, key, investor, nothing, (), 0.5) == []
    assert not await service.similar(key, columns.take([0]), nothing, (), 5, 0.5)


async def test_explanations_are_those_of_the_loaded_twin(streets: Streets) -> None:
    service, key, columns = streets
    investor = make_history(columns, [0, 6, 12], ["SAVE"] * 3)
    found = await service.explain(key, investor, columns.take([18, 24]))
    assert len(found) == 2
    for causes in found:
        assert CauseKind.HISTORY in {cause.kind for cause in causes}
        assert {cause.property_id for cause in causes} - {None} <= set(investor.properties.ids)


async def test_a_place_that_is_not_known_is_ranked_all_the_same(
    index: EmbeddingIndex, service: TwinService, columns: PropertyColumns
) -> None:
    """With nothing of an investor's placed, there is no circle to search in."""
    key = ModelKey(uuid4(), uuid4())
    nowhere = with_values(columns, latitude=np.nan)
    await fill(index, service, key, nowhere)
    ranked = await listed(service, key, make_history(nowhere, [1], ["SAVE"]), EVERYTHING, ())
    assert len(ranked) == len(nowhere)
    assert np.isfinite([one.score for one in ranked]).all()


@pytest.mark.cuda
async def test_cuda_agrees_with_the_cpu(
    index: EmbeddingIndex, loader: Loader, columns: PropertyColumns
) -> None:
    key = ModelKey(uuid4(), uuid4())
    cpu, cuda = (TwinService(index, loader, device=name) for name in ("cpu", "cuda"))
    np.testing.assert_allclose(
        await cuda.embed(key, columns), await cpu.embed(key, columns), atol=1e-4
    )
    investor = make_history(columns, [3, 4, 5], LIKED, buy_box=BOX)
    np.testing.assert_allclose(
        await cuda.score(key, [investor], columns),
        await cpu.score(key, [investor], columns),
        atol=1e-4,
    )
    told, expected = [await one.explain(key, investor, columns) for one in (cuda, cpu)]
    for causes, wanted in zip(told, expected, strict=True):
        found = {cause.kind: cause.strength for cause in causes}
        strengths = {cause.kind: cause.strength for cause in wanted}
        # One of next to no worth may be told by one of the two alone.
        for kind in found.keys() | strengths.keys():
            assert found.get(kind, 0.05) == pytest.approx(strengths.get(kind, 0.05), abs=1e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("diversity", [0.0, 0.5])
async def test_cuda_ranks_as_the_cpu_does(
    index: EmbeddingIndex, loader: Loader, columns: PropertyColumns, diversity: float
) -> None:
    """Over an index that the other device filled."""
    key = ModelKey(uuid4(), uuid4())
    cpu, cuda = (TwinService(index, loader, device=name) for name in ("cpu", "cuda"))
    await fill(index, cuda, key, columns)
    investor = make_history(columns, [3, 4, 5], LIKED, buy_box=BOX)
    on_cpu, on_cuda = [
        await listed(one, key, investor, EVERYTHING, columns.ids[3:6], diversity)
        for one in (cpu, cuda)
    ]
    assert len(on_cuda) == len(on_cpu)
    scores = {one.property_id: one.score for one in on_cpu}
    for one in on_cuda:
        assert one.score == pytest.approx(scores[one.property_id], abs=1e-5)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
async def test_a_place_in_a_list_does_not_depend_on_what_else_is_found(
    index: EmbeddingIndex, loader: Loader, columns: PropertyColumns, device: str
) -> None:
    """To the last bit, for a cursor holds it."""
    key = ModelKey(uuid4(), uuid4())
    service = TwinService(index, loader, device=device)
    await fill(index, service, key, columns)
    investor = make_history(columns, [3, 4, 5], LIKED)
    whole = await listed(service, key, investor, EVERYTHING, ())
    place = {one.property_id: one.key.value for one in whole}
    for count in (1, 30, 90):
        found = await listed(service, key, investor, EVERYTHING, columns.ids[count:])
        assert len(found) == count
        assert [one.key.value for one in found] == [place[one.property_id] for one in found]
