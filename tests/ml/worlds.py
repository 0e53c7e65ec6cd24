"""Small worlds with known answers, made of NumPy columns or of tensors alone."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any
from uuid import UUID

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from domain.contract.snapshots import (
    NUMERIC_COLUMNS,
    BuyBox,
    InteractionLog,
    InvestorHistory,
    PropertyColumns,
)
from domain.contract.vocabulary import InteractionKind, ListingStatus, PropertyType
from ml.twin.features import ATTRIBUTE_NAMES
from ml.twin.items import EARTH_RADIUS_KM, Items
from ml.twin.reranker import Reranker
from ml.twin.towers import DIMENSIONS

KINDS = list(InteractionKind)


def make_columns(count: int, seed: int = 0) -> PropertyColumns:
    """Plausible properties around Seattle, a tenth of their values missing."""
    rng = np.random.default_rng(seed)
    names = {name: position for position, name in enumerate(NUMERIC_COLUMNS)}
    numeric = rng.normal(1.0, 0.2, (count, len(NUMERIC_COLUMNS)))
    for name, values in {
        "listing_price": rng.lognormal(13, 0.5, count).round(-3),
        "bedrooms": rng.integers(1, 6, count),
        "bathrooms": rng.integers(2, 8, count) / 2,
        "square_feet": rng.lognormal(7.5, 0.4, count).round(),
        "lot_square_feet": rng.lognormal(9, 0.6, count).round(),
        "year_built": rng.integers(1900, 2020, count),
        "latitude": rng.uniform(47.2, 47.8, count),
        "longitude": rng.uniform(-122.5, -121.5, count),
    }.items():
        numeric[:, names[name]] = values
    numeric[rng.random(numeric.shape) < 0.1] = np.nan
    zipcodes = rng.choice(["98101", "98102", "98103", ""], count)
    cities = rng.choice(["Seattle", "Renton", ""], count)
    return PropertyColumns(
        ids=tuple(UUID(bytes=rng.bytes(16)) for _ in range(count)),
        numeric=numeric,
        property_type=rng.integers(-1, len(PropertyType), count).astype(np.int8),
        listing_status=rng.integers(-1, len(ListingStatus), count).astype(np.int8),
        zipcode=tuple(str(value) or None for value in zipcodes),
        city=tuple(str(value) or None for value in cities),
        listed_at=np.where(rng.random(count) < 0.1, np.nan, rng.integers(0, 10**9, count)),
        owners=rng.integers(0, 2, count).astype(np.int32),
    )


def make_checkerboard() -> tuple[PropertyColumns, InteractionLog]:
    """Investors who buy by colour: the even like what lies on black, the odd what lies on white.

    The squares are 4 km wide and colour is no feature, so only reading locations finely tells them
    apart. Everything is seen equally often: popularity knows nothing.
    """
    rng = np.random.default_rng(1)
    count, users, each = 400, 100, 24
    columns = make_columns(count, seed=1)
    square = rng.integers(0, 3, (count, 2))
    columns.numeric[:, :] = np.nan
    columns.numeric[:, NUMERIC_COLUMNS.index("latitude")] = (
        47.5 + (square[:, 0] * 4 + rng.uniform(0.5, 3.5, count)) / 111.2
    )
    columns.numeric[:, NUMERIC_COLUMNS.index("longitude")] = (
        -122 + (square[:, 1] * 4 + rng.uniform(0.5, 3.5, count)) / 75.1
    )
    columns.property_type[:] = 0
    columns.listing_status[:] = 0
    colour = square.sum(axis=1) % 2
    user = np.repeat(np.arange(users), each)
    item = np.concatenate(
        [rng.choice(np.flatnonzero(colour == one % 2), each, replace=False) for one in range(users)]
    )
    order = rng.permutation(len(user))
    log = InteractionLog(
        users=tuple(UUID(int=one) for one in range(users)),
        user=user[order].astype(np.int32),
        property=item[order].astype(np.int32),
        kind=np.full(len(user), KINDS.index(InteractionKind.SAVE), dtype=np.int8),
        occurred_at=np.arange(len(user), dtype=np.float64) * 3600.0,
    )
    return columns, log


def make_history(
    columns: PropertyColumns,
    rows: list[int] | NDArray[np.intp],
    kinds: Sequence[str],
    as_of: float = 1e9,
    buy_box: BuyBox | None = None,
) -> InvestorHistory:
    """The given kinds on the given rows, newest first, a day apart."""
    codes = [KINDS.index(InteractionKind(kind)) for kind in kinds]
    return InvestorHistory(
        user_id=UUID(int=7),
        properties=columns.take(rows),
        kind=np.array(codes, dtype=np.int8),
        occurred_at=as_of - 86_400.0 * np.arange(len(codes), dtype=np.float64),
        as_of=as_of,
        buy_box=buy_box,
    )


def with_values(columns: PropertyColumns, **values: Any) -> PropertyColumns:
    """The same properties with other numbers in the named columns."""
    numeric = columns.numeric.copy()
    for name, value in values.items():
        numeric[:, NUMERIC_COLUMNS.index(name)] = value
    return replace(columns, numeric=numeric)


def point(latitude: float, longitude: float) -> Tensor:
    """A place on the sphere, float32 (3,) in kilometres."""
    north, east = np.radians((latitude, longitude))
    at = (np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north))
    return torch.tensor(EARTH_RADIUS_KM * np.array(at), dtype=torch.float32)


def make_items(shape: tuple[int, ...], seed: int, missing: float = 0.2) -> Items:
    """Items of any look within some 100 km; that share of their values is missing."""
    draw = torch.Generator().manual_seed(seed)

    def gone(*size: int) -> Tensor:
        return torch.rand(size, generator=draw) < missing

    known = ~gone(*shape, len(ATTRIBUTE_NAMES))
    place = point(47.5, -122.0) + 30 * torch.randn((*shape, 3), generator=draw)
    kind = torch.randint(0, len(PropertyType), shape, generator=draw)
    return Items(
        attributes=1.5 * torch.randn((*shape, len(ATTRIBUTE_NAMES)), generator=draw) * known,
        known=known,
        position=place.masked_fill(gone(*shape)[..., None], torch.nan),
        spacing=torch.randn(shape, generator=draw),
        property_type=kind.masked_fill(gone(*shape), -1),
        taken=gone(*shape).float(),
        embedding=torch.nn.functional.normalize(
            torch.randn((*shape, DIMENSIONS), generator=draw), dim=-1
        ),
        prior=torch.randn(shape, generator=draw),
    )


def joined(*some: Items) -> Items:
    """Items one after the other along their second dimension, that of the history."""
    return Items(
        *(torch.cat([getattr(one, field.name) for one in some], dim=1) for field in fields(Items))
    )


def make_reranker(seed: int, spread: float = 0.3) -> Reranker:
    """Weights anywhere around the starting ones, for promises that hold whatever was learned."""
    reranker = Reranker().requires_grad_(False).eval()
    draw = torch.Generator().manual_seed(seed)
    for weights in reranker.parameters():
        weights.add_(spread * torch.randn(weights.shape, generator=draw))
    return reranker


def make_streets() -> tuple[PropertyColumns, InteractionLog]:
    """Investors who each buy on one street, where houses are alike.

    House n is of street n % 6 and investor n of street n % 6. A street has a price and a type of
    its own, lies ten kilometres from the next, and is a kilometre long.
    """
    rng = np.random.default_rng(4)
    count, users, each = 240, 48, 14
    street = np.arange(count) % 6
    price = 200_000 * 1.6**street * rng.lognormal(0, 0.05, count)
    columns = with_values(
        make_columns(count, seed=4),
        listing_price=price,
        estimated_value=price * rng.lognormal(0, 0.05, count),
        latitude=47.0 + 0.09 * street + rng.uniform(0, 0.009, count),
        longitude=-122.0,
    )
    columns.property_type[:] = street % 5
    columns.owners[:] = 0
    user = np.repeat(np.arange(users), each)
    item = np.concatenate(
        [rng.choice(np.flatnonzero(street == n % 6), each, replace=False) for n in range(users)]
    )
    order = rng.permutation(len(user))
    return columns, InteractionLog(
        users=tuple(UUID(int=n) for n in range(users)),
        user=user[order].astype(np.int32),
        property=item[order].astype(np.int32),
        kind=np.full(len(user), KINDS.index(InteractionKind.SAVE), dtype=np.int8),
        occurred_at=np.arange(len(user), dtype=np.float64) * 36_000.0,
    )
