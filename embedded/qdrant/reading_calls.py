"""The calls of the service qdrant.Points that read."""

from __future__ import annotations  # Edge's unions of types exist in its stubs alone

from typing import TYPE_CHECKING

import qdrant_edge as edge
from qdrant_client import grpc as messages

from embedded.qdrant.collections import CollectionStore
from embedded.qdrant.filters import read_filter, read_timestamp
from embedded.qdrant.points import (
    read_dense,
    read_id,
    read_payload_selector,
    read_vectors_selector,
    write_facet,
    write_id,
    write_record,
    write_scored,
)
from embedded.qdrant.refusal import bad_input, only, unimplemented

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

_DEFAULT_LIMIT = 10
# Accepted and without effect: one shard on one node is always consistent, and answers in time.
_HARMLESS = ("read_consistency", "timeout")


class ReadingCalls:
    """Retrieve, query, count, facet and scroll."""

    def __init__(self, store: CollectionStore) -> None:
        self._store = store

    def get(self, request: messages.GetPoints) -> messages.GetResponse:
        """Points by id; unknown ids are left out."""
        only(request, "collection_name", "ids", "with_payload", "with_vectors", *_HARMLESS)
        ids: list[edge.PointId] = [read_id(one) for one in request.ids]
        with_payload = read_payload_selector(request.with_payload, default=True)
        with_vectors = read_vectors_selector(request.with_vectors)
        with self._store.get(request.collection_name).shard() as shard:
            records = shard.retrieve(ids, with_payload, with_vectors)
        response = messages.GetResponse()
        for record in records:
            write_record(record, response.result.add())
        return response

    def query(self, request: messages.QueryPoints) -> messages.QueryResponse:
        """The nearest points to a vector."""
        query = _read_query_request(request)
        with self._store.get(request.collection_name).shard() as shard:
            points = shard.query(query)
        response = messages.QueryResponse()
        _write_hits(request, points, response.result)
        return response

    def query_batch(self, request: messages.QueryBatchPoints) -> messages.QueryBatchResponse:
        """Several queries on one collection, planned together."""
        only(request, "collection_name", "query_points", *_HARMLESS)
        queries = edge.QueryBatchRequest([_read_query_request(one) for one in request.query_points])
        with self._store.get(request.collection_name).shard() as shard:
            batches = shard.query_batch(queries)
        response = messages.QueryBatchResponse()
        for one, points in zip(request.query_points, batches, strict=True):
            _write_hits(one, points, response.result.add().result)
        return response

    def count(self, request: messages.CountPoints) -> messages.CountResponse:
        """The number of points a filter matches."""
        only(request, "collection_name", "filter", "exact", *_HARMLESS)
        counting = edge.CountRequest(
            exact=request.exact if request.HasField("exact") else True,
            filter=read_filter(request.filter) if request.HasField("filter") else None,
        )
        with self._store.get(request.collection_name).shard() as shard:
            count = shard.count(counting)
        return messages.CountResponse(result=messages.CountResult(count=count))

    def facet(self, request: messages.FacetCounts) -> messages.FacetResponse:
        """The values of an indexed field, with the number of points that have each."""
        only(request, "collection_name", "key", "filter", "limit", "exact", *_HARMLESS)
        counting = edge.FacetRequest(
            key=request.key,
            limit=request.limit if request.HasField("limit") else _DEFAULT_LIMIT,
            exact=request.exact,
            filter=read_filter(request.filter) if request.HasField("filter") else None,
        )
        with self._store.get(request.collection_name).shard() as shard:
            found = shard.facet(counting)
        response = messages.FacetResponse()
        for hit in found.hits:
            write_facet(hit, response.hits.add())
        return response

    def scroll(self, request: messages.ScrollPoints) -> messages.ScrollResponse:
        """A page of points, by id or by an indexed field."""
        only(
            request,
            "collection_name",
            "filter",
            "offset",
            "limit",
            "with_payload",
            "with_vectors",
            "order_by",
            *_HARMLESS,
        )
        page = edge.ScrollRequest(
            offset=read_id(request.offset) if request.HasField("offset") else None,
            limit=_read_limit(request),
            filter=read_filter(request.filter) if request.HasField("filter") else None,
            with_payload=read_payload_selector(request.with_payload, default=True),
            with_vector=read_vectors_selector(request.with_vectors),
            order_by=_read_order(request.order_by) if request.HasField("order_by") else None,
        )
        with self._store.get(request.collection_name).shard() as shard:
            records, following = shard.scroll(page)
        response = messages.ScrollResponse(
            next_page_offset=None if following is None else write_id(following)
        )
        for record in records:
            write_record(record, response.result.add())
        return response


def _read_limit(request: messages.QueryPoints | messages.ScrollPoints) -> int:
    limit = request.limit if request.HasField("limit") else _DEFAULT_LIMIT
    if limit < 1:
        raise bad_input("limit: value 0 invalid, must be 1 or larger")
    return limit


def _read_query_request(request: messages.QueryPoints) -> edge.QueryRequest:
    only(
        request,
        "collection_name",
        "query",
        "using",
        "filter",
        "params",
        "score_threshold",
        "limit",
        "offset",
        "with_payload",
        "with_vectors",
        *_HARMLESS,
    )
    if request.using:
        raise unimplemented("QueryPoints.using (named vectors)")
    limit = _read_limit(request)
    return edge.QueryRequest(
        limit=limit,
        offset=request.offset,
        query=_read_query(request.query, limit) if request.HasField("query") else None,
        filter=read_filter(request.filter) if request.HasField("filter") else None,
        score_threshold=request.score_threshold if request.HasField("score_threshold") else None,
        params=_read_params(request.params) if request.HasField("params") else None,
        with_payload=read_payload_selector(request.with_payload, default=False),
        with_vector=read_vectors_selector(request.with_vectors),
    )


def _write_hits(
    request: messages.QueryPoints,
    points: list[edge.ScoredPoint],
    hits: RepeatedCompositeFieldContainer[messages.ScoredPoint],
) -> None:
    with_vector = read_vectors_selector(request.with_vectors)
    for point in points:
        write_scored(point, hits.add(), with_vector=with_vector)


def _read_query(message: messages.Query, limit: int) -> edge.Query | edge.Mmr:
    kind = message.WhichOneof("variant")
    if kind == "nearest":
        return edge.Query.Nearest(read_dense(message.nearest))
    if kind == "nearest_with_mmr":
        mmr = message.nearest_with_mmr.mmr
        diversity = mmr.diversity if mmr.HasField("diversity") else 0.5
        if not 0.0 <= diversity <= 1.0:
            raise bad_input(f"diversity: value {diversity} invalid, must be from 0 to 1")
        return edge.Mmr(
            read_dense(message.nearest_with_mmr.nearest),
            lambda_=1.0 - diversity,
            candidates_limit=mmr.candidates_limit if mmr.HasField("candidates_limit") else limit,
        )
    if kind == "recommend":
        return _read_recommend(message.recommend)
    if kind is None:
        raise bad_input("a query has no variant")
    raise unimplemented(f"Query.{kind}")


def _read_recommend(message: messages.RecommendInput) -> edge.Query:
    only(message, "positive", "negative", "strategy")
    if message.strategy != messages.RecommendStrategy.BestScore:
        raise unimplemented("RecommendInput.strategy other than BestScore")
    if not message.positive:
        raise bad_input("recommend: at least one positive vector is needed")
    return edge.Query.RecommendBestScore(
        edge.RecommendQuery(
            [read_dense(one) for one in message.positive],
            [read_dense(one) for one in message.negative],
        )
    )


def _read_params(message: messages.SearchParams) -> edge.SearchParams:
    only(message, "hnsw_ef", "exact", "quantization", "indexed_only", "acorn")
    quantization = message.quantization
    has = quantization.HasField
    return edge.SearchParams(
        hnsw_ef=message.hnsw_ef if message.HasField("hnsw_ef") else None,
        exact=message.exact,
        indexed_only=message.indexed_only,
        quantization=edge.QuantizationSearchParams(
            ignore=quantization.ignore,
            rescore=quantization.rescore if has("rescore") else None,
            oversampling=quantization.oversampling if has("oversampling") else None,
        )
        if message.HasField("quantization")
        else None,
        acorn=edge.AcornSearchParams(
            enable=message.acorn.enable,
            max_selectivity=message.acorn.max_selectivity
            if message.acorn.HasField("max_selectivity")
            else None,
        )
        if message.HasField("acorn")
        else None,
    )


def _read_order(message: messages.OrderBy) -> edge.OrderBy:
    descending = message.direction == messages.Direction.Desc
    kind = message.start_from.WhichOneof("value")
    start: int | float | str | None = None
    if kind == "timestamp":
        start = read_timestamp(message.start_from.timestamp)
    elif kind is not None:
        start = getattr(message.start_from, kind)
    return edge.OrderBy(
        message.key,
        direction=edge.Direction.Desc if descending else edge.Direction.Asc,
        start_from=start,
    )
