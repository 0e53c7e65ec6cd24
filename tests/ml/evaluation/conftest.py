"""A small tenant whose investors buy near what they own, and a twin that needs no training."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from domain.contract.snapshots import NUMERIC_COLUMNS, InteractionLog, PropertyColumns
from domain.contract.vocabulary import InteractionKind, PropertyType
from ml.evaluation.evaluate import Evaluation, evaluate
from ml.evaluation.protocols import Query, Rows

KINDS = list(InteractionKind)
DOWN = InteractionKind.THUMBS_DOWN
_KIND_CODES = {kind: code for code, kind in enumerate(KINDS)}


def properties(
    latitude: list[float] | NDArray[np.float64],
    longitude: list[float] | NDArray[np.float64],
    city: list[str | None] | None = None,
    zipcode: list[str | None] | None = None,
    **numbers: list[float] | NDArray[np.float64],
) -> PropertyColumns:
    """Houses at the given places, without any other number than those given."""
    count = len(latitude)
    numeric = np.full((count, len(NUMERIC_COLUMNS)), np.nan)
    for name, values in {"latitude": latitude, "longitude": longitude, **numbers}.items():
        numeric[:, NUMERIC_COLUMNS.index(name)] = values
    return PropertyColumns(
        ids=tuple(UUID(int=1000 + row) for row in range(count)),
        numeric=numeric,
        property_type=np.full(count, list(PropertyType).index(PropertyType.CONDO), dtype=np.int8),
        listing_status=np.full(count, -1, dtype=np.int8),
        zipcode=tuple(zipcode or [None] * count),
        city=tuple(city or [None] * count),
        listed_at=np.zeros(count),
        owners=np.full(count, 9, dtype=np.int32),
    )


def interactions(*acts: tuple[int, int, InteractionKind]) -> InteractionLog:
    """User, property and kind of each act, a second apart."""
    user, row, kind = zip(*acts, strict=True)
    return InteractionLog(
        users=tuple(UUID(int=number) for number in range(max(user) + 1)),
        user=np.array(user, dtype=np.int32),
        property=np.array(row, dtype=np.int32),
        kind=np.array([_KIND_CODES[one] for one in kind], dtype=np.int8),
        occurred_at=np.arange(len(acts), dtype=np.float64),
    )


class NearestTwin:
    """Likes what lies near much that is liked in the history, and not what lies near a dislike."""

    def __init__(self, columns: PropertyColumns, log: InteractionLog, seed: int) -> None:
        self.place = np.stack((columns.column("latitude"), columns.column("longitude")), axis=1)
        # Near on the map is near on the sphere.
        vectors = np.insert(4 * (self.place - self.place.mean(axis=0)), 2, 1.0, axis=1)
        self.embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
            np.float32
        )
        self.history: list[dict[str, Any]] = [
            {"epoch": epoch, "loss": 1 / epoch + seed, "metrics": {"ndcg@10": 0.2 + epoch / 100}}
            for epoch in (1, 2, 3)
        ]
        self.seconds = 0.5

    def scores(self, query: Query) -> NDArray[np.float64]:
        """Closeness to all that is liked less, manifold, that to what is not."""
        known = query.investor.properties
        place = np.stack((known.column("latitude"), known.column("longitude")), axis=1)
        close = 1 / (np.linalg.norm(self.place[:, None] - place, axis=2) + 0.01)
        score = close @ np.where(query.investor.kind == _KIND_CODES[DOWN], -5.0, 1.0)
        return np.asarray(np.where(score > np.quantile(score, 0.2), score, -np.inf))

    def affinity(self, query: Query, rows: Rows) -> NDArray[np.float64]:
        """The share of properties with a smaller score."""
        scores = self.scores(query)
        return np.asarray(np.searchsorted(np.sort(scores), scores[rows]) / len(scores))

    def listed(self, query: Query, diversity: float, k: int) -> Rows:
        """Every second, third and so on of the best."""
        scores = np.where(query.candidates, self.scores(query), -np.inf)
        best = np.argsort(-scores, kind="stable")[: int(np.isfinite(scores).sum())]
        return best[:: 1 + int(2 * diversity)][:k]


@pytest.fixture(scope="session")
def tenant() -> tuple[PropertyColumns, InteractionLog]:
    """300 properties in four towns; sixty investors buy forty each over time in towns of theirs."""
    rng = np.random.default_rng(0)
    town = rng.integers(0, 4, 300)
    columns = properties(
        town // 2 * 0.2 + rng.uniform(0, 0.1, 300),
        town % 2 * 0.2 + rng.uniform(0, 0.1, 300),
        city=[f"town {one}" for one in town],
        listing_price=rng.lognormal(5, 1, 300),
        bedrooms=rng.integers(1, 5, 300).astype(float),
    )
    acts = [
        (user, int(row), InteractionKind.DEAL)
        for user in range(60)
        for row in rng.choice(np.flatnonzero(town == user % 4), 40, replace=False)
    ]
    return columns, interactions(*(acts[place] for place in rng.permutation(len(acts))))


@pytest.fixture(scope="session")
def evaluation(tenant: tuple[PropertyColumns, InteractionLog]) -> Evaluation:
    """Of ``NearestTwin`` on the tenant, two seeds."""
    return evaluate(*tenant, NearestTwin, seeds=(0, 1), config={"epochs": 3, "note": "<b>"})
