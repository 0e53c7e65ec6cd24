"""What the embedded Qdrant refuses: the real server's errors, and what is not implemented."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from qdrant_client import AsyncQdrantClient, models
from qdrant_client import grpc as messages

pytestmark = pytest.mark.integration

NAME = "refusals"
VECTORS = models.VectorParams(size=4, distance=models.Distance.COSINE)
VECTOR = [1.0, 2.0, 3.0, 4.0]

Call = Callable[[AsyncQdrantClient], Awaitable[Any]]


@pytest.fixture
async def client(remote: AsyncQdrantClient) -> AsyncIterator[AsyncQdrantClient]:
    await remote.create_collection(NAME, vectors_config=VECTORS)
    await remote.upsert(NAME, [models.PointStruct(id=1, vector=VECTOR, payload={"a": 1})])
    yield remote
    await remote.delete_collection(NAME)


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


def filtered(**condition: Any) -> messages.Filter:
    return messages.Filter(must=[messages.Condition(**condition)])


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_collection("nowhere"),
        lambda client: client.query_points("nowhere", query=VECTOR),
        lambda client: client.count("nowhere"),
        lambda client: client.scroll("nowhere"),
        lambda client: client.retrieve("nowhere", [1]),
        lambda client: client.upsert("nowhere", [models.PointStruct(id=1, vector=VECTOR)]),
        lambda client: client.delete("nowhere", [1]),
        lambda client: client.create_payload_index("nowhere", "a", "integer"),
        lambda client: client.set_payload(NAME, {"a": 2}, points=[2]),
    ],
)
async def test_what_does_not_exist_is_not_found(client: AsyncQdrantClient, call: Call) -> None:
    code, details = await refusal(call(client))
    assert code == grpc.StatusCode.NOT_FOUND
    assert details.startswith("Not found: ")


async def test_deleting_a_missing_collection_changes_nothing(client: AsyncQdrantClient) -> None:
    assert await client.delete_collection("nowhere") is False


async def test_a_collection_is_created_once(client: AsyncQdrantClient) -> None:
    code, details = await refusal(client.create_collection(NAME, vectors_config=VECTORS))
    assert code == grpc.StatusCode.ALREADY_EXISTS
    assert f"`{NAME}` already exists" in details


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda client: client.query_points(NAME, query=[1.0]), "expected dim: 4, got 1"),
        (
            lambda client: client.upsert(
                NAME,
                [
                    models.PointStruct(id=2, vector=VECTOR),
                    models.PointStruct(id=3, vector=[1.0, 2.0]),
                ],
            ),
            "expected dim: 4, got 2",
        ),
        (lambda client: client.query_points(NAME, query=VECTOR, limit=0), "limit"),
        (lambda client: client.scroll(NAME, order_by="a"), "No range index"),
        (lambda client: client.retrieve(NAME, ["not-a-uuid"]), "not-a-uuid"),
        (
            lambda client: client.count(
                NAME,
                filtered(field=messages.FieldCondition(key="a[", match=messages.Match(integer=1))),
            ),
            "a[",
        ),
        (
            lambda client: client.create_collection("a/b", vectors_config=VECTORS),
            "collection_name",
        ),
        (
            lambda client: client.create_collection(
                "none", models.VectorParams(size=0, distance=models.Distance.DOT)
            ),
            "size",
        ),
        (lambda client: client.update_collection(NAME), "changes nothing"),
    ],
)
async def test_bad_input_is_refused_with_the_reason(
    client: AsyncQdrantClient, call: Call, reason: str
) -> None:
    code, details = await refusal(call(client))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert reason in details
    # Nothing of a refused request is stored.
    assert (await client.count(NAME)).count == 1


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        (lambda client: client.search_matrix_pairs(NAME), "Points.SearchMatrixPairs"),
        (lambda client: client.get_aliases(), "Collections.ListAliases"),
        (lambda client: client.create_snapshot(NAME), "Snapshots.Create"),
        (
            lambda client: client.query_points_groups(NAME, group_by="a", query=VECTOR),
            "Points.QueryGroups",
        ),
        (
            lambda client: client.update_collection(
                NAME, quantization_config=models.Disabled.DISABLED
            ),
            "QuantizationConfigDiff.disabled",
        ),
        (
            lambda client: client.update_collection(NAME, hnsw_config=models.HnswConfigDiff(m=8)),
            "UpdateCollection.hnsw_config",
        ),
        (lambda client: client.query_points(NAME, query=1), "VectorInput.id"),
        (lambda client: client.query_points(NAME, query=VECTOR, using="image"), "using"),
        (
            lambda client: client.query_points(
                NAME, query=models.RecommendQuery(recommend=models.RecommendInput(positive=[1]))
            ),
            "RecommendInput.strategy",
        ),
        (
            lambda client: client.query_points(
                NAME, prefetch=models.Prefetch(query=VECTOR), query=VECTOR
            ),
            "QueryPoints.prefetch",
        ),
        (
            lambda client: client.query_points(NAME, query=VECTOR, shard_key_selector="eu"),
            "QueryPoints.shard_key_selector",
        ),
        (
            lambda client: client.count(
                NAME, filtered(slice=messages.SliceCondition(total=2, index=1))
            ),
            "Condition.slice",
        ),
        (
            lambda client: client.count(
                NAME,
                filtered(field=messages.FieldCondition(key="a", match=messages.Match(text="x"))),
            ),
            "Match.text",
        ),
        (lambda client: client.retrieve(NAME, [1], with_vectors=["image"]), "named vectors"),
        (
            lambda client: client.upsert(
                NAME, [models.PointStruct(id=1, vector={"image": VECTOR})]
            ),
            "Vectors.vectors",
        ),
        (
            lambda client: client.upsert(NAME, [models.PointStruct(id=1, vector=[VECTOR, VECTOR])]),
            "Vector.multi_dense",
        ),
        (
            lambda client: client.create_payload_index(NAME, "a", models.PayloadSchemaType.TEXT),
            "FieldTypeText",
        ),
        (
            lambda client: client.create_collection("x", vectors_config={"image": VECTORS}),
            "VectorsConfig.params_map",
        ),
        (
            lambda client: client.create_collection(
                "x", VECTORS, sparse_vectors_config={"text": models.SparseVectorParams()}
            ),
            "CreateCollection.sparse_vectors_config",
        ),
        (
            lambda client: client.create_collection("x", VECTORS, shard_number=3),
            "shard_number",
        ),
    ],
)
async def test_what_is_missing_is_named(
    client: AsyncQdrantClient, call: Call, missing: str
) -> None:
    code, details = await refusal(call(client))
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert missing in details
    assert "x" not in {one.name for one in (await client.get_collections()).collections}


async def test_every_call_of_the_protocol_is_answered(client: AsyncQdrantClient) -> None:
    """A method nobody thought of names itself instead of failing oddly."""
    stub = client.grpc_points
    code, details = await refusal(stub.Discover(messages.DiscoverPoints(collection_name=NAME)))
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert "Points.Discover" in details
