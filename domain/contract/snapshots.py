"""Frozen inputs and outputs of the model, and what the domain asks of one.

Nothing here knows a database or a tensor library: NumPy columns go from the domain to ``ml`` and
plain values come back, so that no ORM object leaves the domain.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from domain.contract.filters import Labels, PropertyFilter, Range
from domain.contract.property_search import PropertyMemory
from domain.contract.ranked_lists import Kin, Ranked, RankedList
from domain.contract.vocabulary import PropertyType

NUMERIC_COLUMNS: tuple[str, ...] = (
    "listing_price",
    "estimated_value",
    "cap_rate",
    "cash_on_cash_return",
    "bedrooms",
    "bathrooms",
    "square_feet",
    "lot_square_feet",
    "year_built",
    "latitude",
    "longitude",
    "days_on_market",
    "condition_score",
    "renovation_needed",
    "confidence",
)
"""The property columns that reach the model as numbers, in the order of ``numeric``."""

HISTORY_LIMIT = 128
"""How many of an investor's newest interactions the model reads; the domain loads no more."""


class OutdatedIndexError(RuntimeError):
    """The tenant's part of the index was written by another version of this program."""


class IndexUnavailableError(RuntimeError):
    """The index has to answer, because nothing in memory can, and does not."""


class ModelKey(NamedTuple):
    """One version of one tenant's twin. Names a vector space: two keys are never compared."""

    tenant_id: UUID
    version_id: UUID


@dataclass(frozen=True, slots=True, eq=False)
class PropertyColumns:
    """n properties as columns.

    Attributes:
        ids: n property ids.
        numeric: float64 (n, 15), the columns of ``NUMERIC_COLUMNS``, NaN where missing.
        property_type: int8 (n,), position in ``PropertyType``, -1 where missing.
        listing_status: int8 (n,), position in ``ListingStatus``, -1 where missing.
        zipcode: n strings or None.
        city: n strings or None.
        listed_at: float64 (n,), seconds since 1970 UTC, NaN where missing.
        owners: int32 (n,), how many of the tenant's investors made a deal on it.
        labels: n labels, or none where the columns are not for the index.
    """

    ids: tuple[UUID, ...]
    numeric: NDArray[np.float64]
    property_type: NDArray[np.int8]
    listing_status: NDArray[np.int8]
    zipcode: tuple[str | None, ...]
    city: tuple[str | None, ...]
    listed_at: NDArray[np.float64]
    owners: NDArray[np.int32]
    labels: tuple[Labels, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> NDArray[np.float64]:
        """The numeric column ``name`` or ``price_per_square_foot``, float64 (n,).

        Raises ValueError for an unknown name.
        """
        if name == "price_per_square_foot":
            price, area = self.column("listing_price"), self.column("square_feet")
            # As ``Property.price_per_square_foot``: of at least one each.
            return np.where((price >= 1) & (area >= 1), price, np.nan) / np.fmax(area, 1)
        return self.numeric[:, NUMERIC_COLUMNS.index(name)]

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> "PropertyColumns":
        """The given rows, in the given order."""
        index = np.asarray(rows, dtype=np.intp)
        return PropertyColumns(
            ids=tuple(self.ids[i] for i in index),
            numeric=self.numeric[index],
            property_type=self.property_type[index],
            listing_status=self.listing_status[index],
            zipcode=tuple(self.zipcode[i] for i in index),
            city=tuple(self.city[i] for i in index),
            listed_at=self.listed_at[index],
            owners=self.owners[index],
            labels=tuple(self.labels[i] for i in index) if self.labels else (),
        )


def joined(parts: Sequence[PropertyColumns]) -> PropertyColumns:
    """The rows of all parts, at least one, without labels."""
    return PropertyColumns(
        ids=tuple(chain.from_iterable(one.ids for one in parts)),
        numeric=np.concatenate([one.numeric for one in parts]),
        property_type=np.concatenate([one.property_type for one in parts]),
        listing_status=np.concatenate([one.listing_status for one in parts]),
        zipcode=tuple(chain.from_iterable(one.zipcode for one in parts)),
        city=tuple(chain.from_iterable(one.city for one in parts)),
        listed_at=np.concatenate([one.listed_at for one in parts]),
        owners=np.concatenate([one.owners for one in parts]),
    )


class Changes(NamedTuple):
    """What changed of a tenant's properties since a position of its feed.

    Attributes:
        position: where to read on; its text means something to the feed alone.
        columns: what changed and exists, with labels, in no particular order.
        deleted: the ids of what changed and does not exist.
    """

    position: str
    columns: PropertyColumns
    deleted: tuple[UUID, ...]


class PropertyFeed(Protocol):
    """How a process loads a tenant's properties into memory, and keeps up with what changes.

    Ask for the position, then load the batches, then ask again and again for the changes since the
    last position. Whatever was committed is in one of them. What is committed between the position
    and its batch is in both.
    """

    async def position(self, tenant_id: UUID) -> str:
        """The position of now: what is committed later is a change since then."""
        ...

    async def count(self, tenant_id: UUID) -> int:
        """The number of the tenant's properties."""
        ...

    def batches(self, tenant_id: UUID) -> AsyncIterator[PropertyColumns]:
        """All properties of the tenant by id, with labels, converted off the event loop."""
        ...

    async def changes(self, tenant_id: UUID, since: str) -> Changes | None:
        """What was committed since a position, of which nothing is lost and little told again.

        Returns None if that can no longer be told, because the position is too old or too much
        changed: take a new position and load everything anew.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class InteractionLog:
    """m interactions of a tenant, oldest first, against the rows of one PropertyColumns.

    Attributes:
        users: the distinct user ids; ``user`` points into it.
        user: int32 (m,), position in ``users``.
        property: int32 (m,), row of the property.
        kind: int8 (m,), position in ``InteractionKind``.
        occurred_at: float64 (m,), seconds since 1970 UTC, ascending.
    """

    users: tuple[UUID, ...]
    user: NDArray[np.int32]
    property: NDArray[np.int32]
    kind: NDArray[np.int8]
    occurred_at: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True, slots=True)
class BuyBox:
    """What an investor says is wanted. Empty tuples and None say nothing of that side."""

    property_types: tuple[PropertyType, ...] = ()
    zipcodes: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    price: Range | None = None
    bedrooms: Range | None = None


@dataclass(frozen=True, slots=True, eq=False)
class InvestorHistory:
    """What one investor did, newest first: the whole state of the investor.

    Attributes:
        user_id: the investor.
        properties: the h properties acted on, one row an interaction (rows may repeat).
        kind: int8 (h,), position in ``InteractionKind``.
        occurred_at: float64 (h,), seconds since 1970 UTC, descending.
        as_of: seconds since 1970 UTC, by the database's clock; recency is measured from here.
        buy_box: what the investor says is wanted, None if nothing was said.
    """

    user_id: UUID
    properties: PropertyColumns
    kind: NDArray[np.int8]
    occurred_at: NDArray[np.float64]
    as_of: float
    buy_box: BuyBox | None = None

    def __len__(self) -> int:
        return len(self.kind)


class CauseKind(StrEnum):
    """What in an investor's history speaks for a property."""

    HISTORY = "HISTORY"
    NEARNESS = "NEARNESS"
    PRICE = "PRICE"
    SIZE = "SIZE"
    PROPERTY_TYPE = "PROPERTY_TYPE"
    BUY_BOX = "BUY_BOX"


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that raises a property's score.

    Attributes:
        kind: what it is.
        strength: how far the score, in log-odds, falls without it; greater than 0.
        property_id: for HISTORY, the property acted on that speaks for it the most; for NEARNESS,
            the one nearest to it on the map; else None.
        distance_km: for NEARNESS, how far that one is; else None.
    """

    kind: CauseKind
    strength: float
    property_id: UUID | None = None
    distance_km: float | None = None


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A version's weights (safetensors bytes) and its JSON metadata, as the database keeps them."""

    weights: bytes
    metadata: Mapping[str, Any]


ModelLoader = Callable[[ModelKey], Awaitable[StoredModel]]
"""Fetches a version from the database."""


class Twin(PropertyMemory, Protocol):
    """What the domain needs of a model. Every call names the version, or the tenant."""

    def holds(self, model: ModelKey) -> bool:
        """Whether the version's searches are made in memory just now."""
        ...

    def properties(self, tenant_id: UUID, ids: Sequence[UUID]) -> PropertyColumns | None:
        """What a tenant's properties said a moment ago, without labels, in the order of the ids.

        None unless all of them are in memory.
        """
        ...

    async def rank(
        self,
        model: ModelKey,
        investor: InvestorHistory,
        where: PropertyFilter,
        exclude: Collection[UUID],
        diversity: float = 0.0,
        floors: Sequence[float] = (),
    ) -> RankedList:
        """The investor's list of some hundred properties, best first, ties by id.

        The filter and the exclusions hold inside the searches.

        With a ``diversity`` above 0, up to 1, the list has at most three hundred. Its order is that
        of maximal marginal relevance (Carbonell and Goldstein 1998), and scores need not fall.

        Args:
            model: the version.
            investor: for whom.
            where: which properties.
            exclude: which not.
            diversity: see above.
            floors: the score floors of the list, where this is not its first page: with them, a
                property's key depends on that property alone, unless diversity is asked for.

        Raises:
            ValueError: for an investor without any interaction of positive weight.
            OutdatedIndexError: until the tenant is reindexed, where the index answers.
            IndexUnavailableError: as all that search.
        """
        ...

    async def similar(
        self,
        model: ModelKey,
        anchor: PropertyColumns,
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
        diversity: float = 0.0,
    ) -> Sequence[Ranked]:
        """The ``limit`` indexed properties most like the one row of ``anchor``, best first.

        With a ``diversity`` above 0 the list ends after three hundred, in an order as for ``rank``;
        a longer list begins with the shorter one.
        """
        ...

    async def nearest(
        self,
        model: ModelKey,
        vector: NDArray[np.float32],
        where: PropertyFilter,
        exclude: Collection[UUID],
        limit: int,
        diversity: float = 0.0,
    ) -> Sequence[Ranked]:
        """The ``limit`` indexed properties nearest to a unit vector (16,); else as ``similar``."""
        ...

    async def score(
        self, model: ModelKey, investors: Sequence[InvestorHistory], properties: PropertyColumns
    ) -> NDArray[np.float64]:
        """Calibrated affinity in [0, 1], float64 (investors, n): the score of ``rank``.

        Raises ValueError for an investor without any interaction of positive weight.
        """
        ...

    async def explain(
        self, model: ModelKey, investor: InvestorHistory, properties: PropertyColumns
    ) -> list[tuple[Cause, ...]]:
        """What speaks for each property, strongest first; empty where nothing does.

        Raises ValueError for an investor without any interaction of positive weight.
        """
        ...

    async def audience(
        self,
        model: ModelKey,
        found: PropertyColumns,
        exclude: Sequence[Collection[UUID]],
        above: Sequence[float | None],
    ) -> list[tuple[list[UUID], float]]:
        """For each of n properties the investors with an interest most like it, at most 200.

        Args:
            model: the version.
            found: the properties.
            exclude: for each, which investors not.
            above: for each, how far to look if that is known, as this returned it before.

        Returns:
            For each the investors, and how far was looked.
        """
        ...

    async def kin(
        self, model: ModelKey, user_id: UUID, exclude: Collection[UUID], above: float | None
    ) -> Kin:
        """Of the 200 investors with an interest most like one of an investor's, how alike all are.

        Two investors are alike as their interests are: of each interest of either, the cosine with
        the nearest one of the other; the mean over the one's and the mean over the other's, half
        each; mapped to [0, 1]. It is symmetric. ``above`` is as for ``audience``.
        """
        ...

    async def embed(self, model: ModelKey, properties: PropertyColumns) -> NDArray[np.float32]:
        """L2-normalised embeddings, float32 (n, 16). Finite for any input."""
        ...
