"""The embedded Qdrant against qdrant-client's local mode, which Qdrant keeps like its server."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from qdrant_client import AsyncQdrantClient, models

from tests.embedded.qdrant_points import COUNT, IDS, POINTS, SIZE, filters, polygon, vectors

pytestmark = pytest.mark.integration

NAME = "properties"

INDEXES: dict[str, Any] = {
    "tenant": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    "kind": models.PayloadSchemaType.KEYWORD,
    "price": models.PayloadSchemaType.FLOAT,
    "beds": models.PayloadSchemaType.INTEGER,
    "sold": models.PayloadSchemaType.BOOL,
    "listed_at": models.PayloadSchemaType.DATETIME,
    "place": models.PayloadSchemaType.GEO,
    "owner": models.PayloadSchemaType.UUID,
}


@pytest.fixture(scope="module", params=["indexed", "unindexed"])
async def filled(
    request: pytest.FixtureRequest, remote: AsyncQdrantClient
) -> AsyncIterator[AsyncQdrantClient]:
    """The embedded Qdrant with the points, with and without payload indexes."""
    await fill(remote)
    if request.param == "indexed":
        for field, schema in INDEXES.items():
            await remote.create_payload_index(NAME, field, schema)
    yield remote
    await remote.delete_collection(NAME)


@pytest.fixture(scope="module")
async def local() -> AsyncIterator[AsyncQdrantClient]:
    """Local mode with the same points."""
    client = AsyncQdrantClient(":memory:")
    await fill(client)
    yield client
    await client.close()


async def fill(client: AsyncQdrantClient) -> None:
    vectors = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
    await client.create_collection(NAME, vectors_config=vectors)
    await client.upsert(NAME, POINTS)


def assert_same(ours: models.QueryResponse, theirs: models.QueryResponse) -> None:
    """Same ids in the same order, scores within 1e-5, same payloads and vectors."""
    assert [point.id for point in ours.points] == [point.id for point in theirs.points]
    for our, their in zip(ours.points, theirs.points, strict=True):
        assert our.score == pytest.approx(their.score, abs=1e-5)
        assert our.payload == their.payload
        if their.vector is None:
            assert our.vector is None
        else:
            np.testing.assert_allclose(our.vector, their.vector, atol=1e-5)  # type: ignore[arg-type]


@given(condition=filters, vector=vectors)
async def test_random_filters_select_the_same_points(
    filled: AsyncQdrantClient,
    local: AsyncQdrantClient,
    condition: models.Filter,
    vector: list[float],
) -> None:
    our_count = await filled.count(NAME, count_filter=condition, exact=True)
    ours, theirs = [
        await client.query_points(
            NAME, query=vector, query_filter=condition, limit=COUNT, with_payload=False
        )
        for client in (filled, local)
    ]
    assert our_count.count == len(theirs.points)
    # By id, not by rank: hypothesis is fond of vectors that give many points the same score.
    assert {point.id: point.score for point in ours.points} == pytest.approx(
        {point.id: point.score for point in theirs.points}, abs=1e-5
    )


@pytest.mark.parametrize("filled", ["indexed"], indirect=True)
@pytest.mark.parametrize("key", ["tenant", "kind", "owner", "beds", "sold"])
@pytest.mark.parametrize("tenant", [None, "a"])
async def test_facets_count_the_same_points(
    filled: AsyncQdrantClient, local: AsyncQdrantClient, key: str, tenant: str | None
) -> None:
    ours_alone = models.FieldCondition(key="tenant", match=models.MatchValue(value=str(tenant)))
    wanted = models.Filter(must=[ours_alone]) if tenant else None
    ours, theirs = [
        {hit.value: hit.count for hit in found.hits}
        for client in (filled, local)
        for found in [await client.facet(NAME, key, facet_filter=wanted, limit=100, exact=True)]
    ]
    assert ours == theirs
    assert len(ours) > 0


@pytest.mark.parametrize("indexed", [True, False])
async def test_inside_is_what_a_ring_winds_around_and_its_lines_are_outside(
    remote: AsyncQdrantClient, indexed: bool
) -> None:
    """Also where the ring crosses itself, of which local mode tells otherwise."""
    places = {
        1: (0.0, 0.0),  # the middle of the star: twice around, which local mode takes for outside
        2: (0.5, 1.8),  # a tip
        3: (2.0, -1.0),  # between two tips
        4: (1.0, 1.4),  # on a line that bounds the star
        5: (1.0, 0.0),  # on a line within the star, between its middle and a tip
        6: (3.0, 0.0),  # a corner
    }
    star = polygon((3, 0), (-3, 2), (1, -3), (1, 3), (-3, -2))
    await remote.create_collection(
        "places", models.VectorParams(size=2, distance=models.Distance.COSINE)
    )
    if indexed:
        await remote.create_payload_index("places", "at", models.PayloadSchemaType.GEO)
    await remote.upsert(
        "places",
        [
            models.PointStruct(id=key, vector=[1.0, 0.0], payload={"at": {"lat": lat, "lon": lon}})
            for key, (lat, lon) in places.items()
        ],
    )
    inside = models.Filter(must=[models.FieldCondition(key="at", geo_polygon=star)])
    found, _ = await remote.scroll("places", scroll_filter=inside)
    assert {one.id for one in found} == {1, 2}
    await remote.delete_collection("places")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"limit": 5, "offset": 7},
        {"with_payload": False, "with_vectors": True},
        {"with_payload": ["price", "kind"]},
        {"with_payload": models.PayloadSelectorExclude(exclude=["offers", "place"])},
        {"score_threshold": 0.4, "limit": 100},
    ],
)
async def test_queries_answer_alike(
    filled: AsyncQdrantClient, local: AsyncQdrantClient, arguments: dict[str, Any]
) -> None:
    query = np.random.default_rng(1).normal(size=SIZE).tolist()
    assert_same(
        await filled.query_points(NAME, query=query, **arguments),
        await local.query_points(NAME, query=query, **arguments),
    )


@pytest.mark.parametrize(
    "parameters",
    [
        models.SearchParams(exact=True),
        models.SearchParams(hnsw_ef=64),
        models.SearchParams(acorn=models.AcornSearchParams(enable=True)),
        models.SearchParams(acorn=models.AcornSearchParams(enable=True, max_selectivity=0.9)),
        models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True)),
    ],
)
async def test_search_parameters_do_not_change_the_answers_of_few_points(
    filled: AsyncQdrantClient, local: AsyncQdrantClient, parameters: models.SearchParams
) -> None:
    query = np.random.default_rng(4).normal(size=SIZE).tolist()
    assert_same(
        await filled.query_points(NAME, query=query, search_params=parameters),
        await local.query_points(NAME, query=query),  # it has no use for them, and says so
    )


async def test_diverse_queries_answer_alike(
    filled: AsyncQdrantClient, local: AsyncQdrantClient
) -> None:
    nearest = np.random.default_rng(2).normal(size=SIZE).tolist()
    for diversity in (0.0, 0.3, 0.9):
        mmr = models.Mmr(diversity=diversity, candidates_limit=50)
        query = models.NearestQuery(nearest=nearest, mmr=mmr)
        assert_same(
            await filled.query_points(NAME, query=query, limit=10),
            await local.query_points(NAME, query=query, limit=10),
        )


async def test_recommendations_by_the_best_score_answer_alike(
    filled: AsyncQdrantClient, local: AsyncQdrantClient
) -> None:
    rng = np.random.default_rng(6)
    for positive, negative in ((1, 0), (5, 0), (3, 2)):
        query = models.RecommendQuery(
            recommend=models.RecommendInput(
                positive=rng.normal(size=(positive, SIZE)).tolist(),
                negative=rng.normal(size=(negative, SIZE)).tolist(),
                strategy=models.RecommendStrategy.BEST_SCORE,
            )
        )
        ours = await filled.query_points(NAME, query=query, limit=10)
        theirs = await local.query_points(NAME, query=query, limit=10)
        assert [point.id for point in ours.points] == [point.id for point in theirs.points]


async def test_batches_answer_alike(filled: AsyncQdrantClient, local: AsyncQdrantClient) -> None:
    rng = np.random.default_rng(3)
    requests = [
        models.QueryRequest(
            query=rng.normal(size=SIZE).tolist(), limit=4, with_payload=True, filter=condition
        )
        for condition in (
            None,
            models.Filter(
                must=[models.FieldCondition(key="tenant", match=models.MatchValue(value="a"))]
            ),
            models.Filter(must_not=[models.HasIdCondition(has_id=IDS[:100])]),
        )
    ]
    ours = await filled.query_batch_points(NAME, requests)
    theirs = await local.query_batch_points(NAME, requests)
    for our, their in zip(ours, theirs, strict=True):
        assert_same(our, their)


async def test_points_are_retrieved_alike(
    filled: AsyncQdrantClient, local: AsyncQdrantClient
) -> None:
    wanted = [IDS[5], IDS[2], 987_654, IDS[9]]
    ours, theirs = [
        {record.id: record for record in await client.retrieve(NAME, wanted, with_vectors=True)}
        for client in (filled, local)
    ]
    assert set(ours) == set(theirs) == {IDS[5], IDS[2], IDS[9]}
    for point_id, our in ours.items():
        assert our.payload == theirs[point_id].payload
        np.testing.assert_allclose(our.vector, theirs[point_id].vector, atol=1e-6)  # type: ignore[arg-type]


async def test_scrolling_visits_every_point_once_in_the_same_pages(
    filled: AsyncQdrantClient, local: AsyncQdrantClient
) -> None:
    pages = []
    for client in (filled, local):
        offset, ids, first = None, [], True
        while first or offset is not None:
            first = False
            page, offset = await client.scroll(NAME, limit=37, offset=offset, with_payload=False)
            ids.append([record.id for record in page])
        pages.append(ids)
    assert pages[0] == pages[1]
    assert sorted(str(one) for page in pages[0] for one in page) == sorted(map(str, IDS))


async def test_scrolling_in_the_order_of_a_field(
    filled: AsyncQdrantClient, local: AsyncQdrantClient
) -> None:
    schema = (await filled.get_collection(NAME)).payload_schema
    order = models.OrderBy(key="price", direction=models.Direction.DESC, start_from=600_000.0)
    if "price" not in schema:
        with pytest.raises(Exception, match="No range index"):
            await filled.scroll(NAME, order_by=order)
        return
    ours, _ = await filled.scroll(NAME, order_by=order, limit=20)
    theirs, _ = await local.scroll(NAME, order_by=order, limit=20)
    assert [record.id for record in ours] == [record.id for record in theirs]
    assert [record.order_value for record in ours] == [record.order_value for record in theirs]


async def test_changes_have_the_same_effects(
    remote: AsyncQdrantClient, local: AsyncQdrantClient
) -> None:
    name = "changes"
    only_b = models.Filter(
        must=[models.FieldCondition(key="tenant", match=models.MatchValue(value="b"))]
    )
    states = []
    for client in (remote, local):
        vectors = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
        await client.create_collection(name, vectors_config=vectors)
        await client.upsert(name, POINTS[:40])
        await client.upsert(name, [POINTS[0].model_copy(update={"payload": {"tenant": "c"}})])
        await client.set_payload(name, {"beds": 99}, points=[IDS[1], IDS[2]])
        await client.set_payload(name, {"sold": True}, points=only_b)
        await client.overwrite_payload(name, {"tenant": "d"}, points=[IDS[3]])
        await client.delete_payload(name, ["price", "place"], points=[IDS[4], IDS[5]])
        await client.clear_payload(name, points_selector=[IDS[6]])
        await client.update_vectors(name, [models.PointVectors(id=IDS[7], vector=[1.0] * SIZE)])
        await client.delete(name, [IDS[8], IDS[9], 987_654])
        await client.delete(
            name,
            models.Filter(
                must=[only_b, models.FieldCondition(key="beds", range=models.Range(lt=2))]
            ),
        )
        page, _ = await client.scroll(name, limit=100, with_vectors=True)
        states.append(page)
        assert await client.delete_collection(name)
    ours, theirs = states
    assert [record.id for record in ours] == [record.id for record in theirs]
    assert 10 < len(ours) < 38
    for our, their in zip(ours, theirs, strict=True):
        assert our.payload == their.payload
        np.testing.assert_allclose(our.vector, their.vector, atol=1e-6)  # type: ignore[arg-type]
