"""The embedded Qdrant against qdrant-client's local mode, which Qdrant keeps like its server."""

import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import AsyncQdrantClient, models

SIZE = 8
COUNT = 150
NAME = "properties"
START = np.datetime64("2024-01-01T00:00:00")

KINDS = ["CONDO", "TOWNHOUSE", "LAND", "MULTI_FAMILY"]
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


def make_points() -> list[models.PointStruct]:
    """Points with every kind of payload, some of it missing, null or a list."""
    rng = random.Random(7)
    vectors = np.random.default_rng(7).normal(size=(COUNT, SIZE))
    points = []
    for number in range(COUNT):
        payload: dict[str, Any] = {
            "tenant": rng.choice("ab"),
            "kind": rng.choice([*KINDS, rng.sample(KINDS, 2)]),
            "beds": rng.randrange(6),
            "sold": rng.random() < 0.3,
            "listed_at": f"{START + rng.randrange(10_000_000)}Z",
            "place": {axis: round(rng.uniform(-3, 3), 5) for axis in ("lon", "lat")},
            "owner": str(UUID(int=rng.randrange(5))),
            "offers": [
                {"bank": rng.choice("xyz"), "rate": round(rng.uniform(1, 9), 3)}
                for _ in range(rng.randrange(3))
            ],
        }
        if rng.random() < 0.8:
            payload["price"] = round(rng.uniform(1e5, 1e6), 2)
        if rng.random() < 0.3:
            payload["note"] = rng.choice([None, [], "sunny"])
        # Half the ids are numbers and half are UUIDs.
        point_id = number if number % 2 else str(UUID(int=number))
        points.append(
            models.PointStruct(id=point_id, vector=vectors[number].tolist(), payload=payload)
        )
    return points


POINTS = make_points()
IDS = [point.id for point in POINTS]


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


numbers = st.floats(0, 1.2e6).map(lambda number: round(number, 2))
moments = st.integers(0, 11_000_000).map(lambda seconds: f"{START + seconds}Z")
places = st.builds(models.GeoPoint, lon=st.floats(-3, 3), lat=st.floats(-3, 3))


@st.composite
def boxes(draw: st.DrawFn) -> models.GeoBoundingBox:
    west, east = sorted(draw(st.tuples(st.floats(-3, 3), st.floats(-3, 3))))
    south, north = sorted(draw(st.tuples(st.floats(-3, 3), st.floats(-3, 3))))
    return models.GeoBoundingBox(
        top_left=models.GeoPoint(lon=west, lat=north),
        bottom_right=models.GeoPoint(lon=east, lat=south),
    )


def matching(key: str, match: st.SearchStrategy[Any]) -> st.SearchStrategy[models.FieldCondition]:
    return st.builds(models.FieldCondition, key=st.just(key), match=match)


def ranging(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[models.FieldCondition]:
    # One bound a side at most: of two, an index of Qdrant heeds but one.
    kind = models.DatetimeRange if key == "listed_at" else models.Range
    lower, upper = [
        st.none() | st.tuples(st.sampled_from(names), values)
        for names in (("gt", "gte"), ("lt", "lte"))
    ]
    some = (
        st.tuples(lower, upper)
        .map(lambda bounds: dict(bound for bound in bounds if bound is not None))
        .filter(bool)
    )
    return st.builds(
        models.FieldCondition, key=st.just(key), range=some.map(lambda bounds: kind(**bounds))
    )


kinds = st.sampled_from([*KINDS, "CASTLE"])
beds = st.integers(-1, 6)
fields = st.one_of(
    matching("tenant", st.builds(models.MatchValue, value=st.sampled_from("abc"))),
    matching("kind", st.builds(models.MatchValue, value=kinds)),
    matching("kind", st.builds(models.MatchAny, any=st.lists(kinds, min_size=1))),
    # `except` is an alias that only a dictionary can name.
    matching(
        "kind", st.lists(kinds, min_size=1).map(lambda some: models.MatchExcept(**{"except": some}))
    ),
    matching("beds", st.builds(models.MatchValue, value=beds)),
    matching("beds", st.builds(models.MatchAny, any=st.lists(beds, min_size=1))),
    matching(
        "beds", st.lists(beds, min_size=1).map(lambda some: models.MatchExcept(**{"except": some}))
    ),
    matching("sold", st.builds(models.MatchValue, value=st.booleans())),
    matching("owner", st.integers(0, 6).map(lambda n: models.MatchValue(value=str(UUID(int=n))))),
    matching("offers[].bank", st.builds(models.MatchValue, value=st.sampled_from("xyz"))),
    ranging("price", numbers),
    ranging("beds", beds),
    ranging("listed_at", moments),
    ranging("offers[].rate", st.floats(0, 10)),
    st.builds(
        models.FieldCondition,
        key=st.just("place"),
        geo_radius=st.builds(models.GeoRadius, center=places, radius=st.floats(1e3, 5e5)),
    ),
    st.builds(models.FieldCondition, key=st.just("place"), geo_bounding_box=boxes()),
    st.builds(
        models.FieldCondition,
        key=st.just("offers"),
        values_count=st.builds(models.ValuesCount, gte=st.integers(0, 3)),
    ),
)
payload_keys = st.sampled_from(["note", "price", "offers", "absent", "kind"])
leaves = st.one_of(
    fields,
    st.builds(models.HasIdCondition, has_id=st.lists(st.sampled_from(IDS), max_size=150)),
    st.builds(models.IsEmptyCondition, is_empty=st.builds(models.PayloadField, key=payload_keys)),
    st.builds(models.IsNullCondition, is_null=st.builds(models.PayloadField, key=payload_keys)),
    st.builds(
        models.NestedCondition,
        nested=st.builds(
            models.Nested,
            key=st.just("offers"),
            filter=st.builds(
                models.Filter,
                must=st.tuples(
                    matching("bank", st.builds(models.MatchValue, value=st.sampled_from("xyz"))),
                    ranging("rate", st.floats(0, 10)),
                ).map(list),
            ),
        ),
    ),
)


def nest(conditions: st.SearchStrategy[Any]) -> st.SearchStrategy[models.Filter]:
    some = st.none() | st.lists(conditions, min_size=1, max_size=3)
    at_least = st.builds(
        models.MinShould,
        conditions=st.lists(conditions, min_size=1, max_size=4),
        min_count=st.integers(1, 3),
    )
    return st.builds(
        models.Filter, must=some, should=some, must_not=some, min_should=st.none() | at_least
    )


vectors = st.lists(st.floats(-1, 1, width=32), min_size=SIZE, max_size=SIZE).filter(
    lambda vector: np.linalg.norm(vector) > 1e-3  # else it has no direction
)
filters = nest(st.recursive(leaves, nest, max_leaves=4))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
