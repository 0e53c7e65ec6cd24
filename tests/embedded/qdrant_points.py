"""Points with every kind of payload, and random filters and vectors for them."""

import random
from math import cos, sin, tau
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import strategies as st
from qdrant_client import models

SIZE = 8
COUNT = 150
START = np.datetime64("2024-01-01T00:00:00")
KINDS = ["CONDO", "TOWNHOUSE", "LAND", "MULTI_FAMILY"]


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


def polygon(*corners: tuple[float, float]) -> models.GeoPolygon:
    """What lies within a ring of corners: (latitude, longitude)."""
    ring = [models.GeoPoint(lat=latitude, lon=longitude) for latitude, longitude in corners]
    return models.GeoPolygon(exterior=models.GeoLineString(points=[*ring, ring[0]]))


@st.composite
def polygons(draw: st.DrawFn) -> models.GeoPolygon:
    """A ring around a centre that does not cross itself: of others, local mode tells otherwise."""
    count = draw(st.integers(3, 6))
    latitude, longitude = draw(st.tuples(st.floats(-2, 2), st.floats(-2, 2)))
    # Less than half a turn from each corner to the next.
    turns = [(number + draw(st.floats(0, 0.4))) / count for number in range(count)]
    radii = draw(st.lists(st.floats(0.1, 3), min_size=count, max_size=count))
    return polygon(
        *(
            (latitude + radius * sin(tau * turn), longitude + radius * cos(tau * turn))
            for turn, radius in zip(turns, radii, strict=True)
        )
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
    matching(
        "kind",
        st.builds(models.MatchPrefix, prefix=st.sampled_from(["C", "TOWN", "LAND", "X", "c"])),
    ),
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
    st.builds(models.FieldCondition, key=st.just("place"), geo_polygon=polygons()),
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
