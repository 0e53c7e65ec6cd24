"""Small worlds with known answers, and an index on the real, embedded Qdrant."""

from collections.abc import Callable, Sequence
from uuid import UUID

import hypothesis
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from domain.snapshots import NUMERIC_COLUMNS, InteractionLog, InvestorHistory, PropertyColumns
from domain.vocabulary import InteractionKind, ListingStatus, PropertyType
from ml.artifacts import Artifact
from ml.calibration import Calibration
from ml.features import FeatureStatistics
from ml.index import EmbeddingIndex
from ml.model import TwoTower
from runtime import Runtime

# How long an example takes says more about what else the machine does than about the code.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


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
        kind=np.full(len(user), list(InteractionKind).index(InteractionKind.SAVE), dtype=np.int8),
        occurred_at=np.arange(len(user), dtype=np.float64) * 3600.0,
    )
    return columns, log


def make_history(
    columns: PropertyColumns,
    rows: list[int] | NDArray[np.intp],
    kinds: Sequence[str],
    as_of: float = 1e9,
) -> InvestorHistory:
    """The given kinds on the given rows, newest first, a day apart."""
    codes = [list(InteractionKind).index(InteractionKind(kind)) for kind in kinds]
    return InvestorHistory(
        user_id=UUID(int=7),
        properties=columns.take(rows),
        kind=np.array(codes, dtype=np.int8),
        occurred_at=as_of - 86_400.0 * np.arange(len(codes), dtype=np.float64),
        as_of=as_of,
    )


@pytest.fixture(scope="session")
def history() -> Callable[..., InvestorHistory]:
    """See ``make_history``."""
    return make_history


@pytest.fixture(scope="session")
def columns() -> PropertyColumns:
    """Two hundred properties."""
    return make_columns(200)


@pytest.fixture(scope="session")
def checkerboard() -> tuple[PropertyColumns, InteractionLog]:
    """See ``make_checkerboard``."""
    return make_checkerboard()


@pytest.fixture(scope="session")
def artifact(columns: PropertyColumns) -> Artifact:
    """An untrained twin for ``columns``: its geometry is random, its promises hold all the same."""
    statistics = FeatureStatistics.fit(columns, 2024)
    torch.manual_seed(3)
    model = TwoTower(statistics.kilometres_per_unit()).eval().requires_grad_(False)
    return Artifact(model, statistics, Calibration(scale=4.0, bias=-1.0))


@pytest.fixture(scope="session")
async def index(rt: Runtime) -> EmbeddingIndex:
    """The index of the session's embedded Qdrant."""
    await rt.index.ensure_collections()
    return rt.index
