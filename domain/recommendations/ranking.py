"""What a list is ranked by, and what it is made of."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from domain.contract.filters import PropertyFilter
from domain.contract.snapshots import InvestorHistory, ModelKey, PropertyColumns
from domain.contract.vocabulary import INTERACTION_WEIGHTS, InteractionKind
from domain.core.errors import not_found
from domain.core.reading import Reader
from domain.interactions import histories
from domain.properties.rows import PropertyValues
from domain.recommendations.cold_start import ENGAGEMENT
from domain.recommendations.listings import digest
from domain.recommendations.paging import Cursor, ListSnapshot, expired
from domain.recommendations.reasons import Reason

_WEIGHTS = np.array([INTERACTION_WEIGHTS[kind] for kind in InteractionKind])


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """What an investor's list is ranked by; it is the same for all pages of the list.

    Attributes:
        tenant_id: the tenant.
        history: the investor, as known when the first page was asked for.
        where: which properties are wanted.
        exclude: what was not to be recommended then.
        excluded_since: what is not to be recommended any more.
        model: the version that ranks; None if the tenant's engagement and the buy box do.
        model_active: whether a version answers the investor.
        state: a digest of all that decides the order but the properties themselves.
    """

    tenant_id: UUID
    history: InvestorHistory
    where: PropertyFilter
    exclude: frozenset[UUID]
    excluded_since: frozenset[UUID]
    model: ModelKey | None
    model_active: bool
    state: str

    @property
    def user_id(self) -> UUID:
        """The investor."""
        return self.history.user_id

    @property
    def version(self) -> str:
        """What answers for the ranking: the version's id, or ``ENGAGEMENT``."""
        return str(self.model.version_id) if self.model else ENGAGEMENT

    def snapshot(self, diversity: float) -> ListSnapshot:
        """The list in that diversity, but for its floors."""
        return ListSnapshot(self.version, self.history.as_of, self.state, (), diversity)


@dataclass(frozen=True, slots=True, eq=False)
class Recommendation:
    """A property on an investor's list, with its calibrated score in [0, 1] and rank from 1."""

    property: PropertyValues
    score: float
    rank: int
    cursor: Cursor
    ranking: Ranking


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well a property fits an investor.

    Attributes:
        score: calibrated to [0, 1] where a model judged.
        model_version: the version that did; None where none did.
        reason: why none did, and what the score follows instead; None where one did.
    """

    score: float
    model_version: UUID | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class SimilarProperty:
    """A property like another.

    ``similarity``, in [0, 1], is the mapped cosine; where no model ranked, ``cold_start.likeness``.
    """

    property: PropertyValues
    similarity: float
    cursor: Cursor


def has_approvals(history: InvestorHistory) -> bool:
    """Whether the investor did anything that speaks for a property, which a model needs."""
    return bool((_WEIGHTS[history.kind] > 0).any())


async def ranking_of(
    reader: Reader,
    user_id: UUID,
    where: PropertyFilter,
    after: Cursor | None,
    in_memory: histories.Known,
    excluding: frozenset[InteractionKind],
) -> Ranking:
    """What the list of an investor is ranked by, or was when its first page was asked for.

    ``in_memory`` and ``excluding`` are as for ``histories.investors``.

    Raises:
        DomainError: NOT_FOUND for the user; CURSOR_EXPIRED if the list cannot go on.
    """
    begun_at = datetime.fromtimestamp(after.snapshot.as_of, UTC) if after else None
    known = await histories.investors(reader, [user_id], begun_at, in_memory, excluding)
    if user_id not in known.histories:
        raise not_found("user", ("userId",))
    history, answering = known.histories[user_id], known.versions[user_id]
    as_of = datetime.fromtimestamp(history.as_of, UTC)
    excluded = known.excluded[user_id]
    if after is None:
        version_id = answering if has_approvals(history) else None
    else:
        buy_box_set_at = known.buy_box_set_at[user_id]
        if buy_box_set_at is not None and buy_box_set_at > as_of:
            raise expired("The buy box was changed")
        version_id = None if after.snapshot.version == ENGAGEMENT else answering
        if version_id is not None and not has_approvals(history):
            raise expired("The feedback that this list follows was taken back")
    state = ""
    if version_id is not None:
        state = state_of(history.properties, history.kind.tobytes(), history.occurred_at.tobytes())
    exclude = frozenset(one for one, known_since in excluded.items() if known_since <= as_of)
    return Ranking(
        tenant_id=reader.tenant_id,
        history=history,
        where=where,
        exclude=exclude,
        excluded_since=frozenset(excluded) - exclude,
        model=ModelKey(reader.tenant_id, version_id) if version_id else None,
        model_active=answering is not None,
        state=state,
    )


def state_of(columns: PropertyColumns, *further: bytes) -> str:
    """A digest of all that a model reads of properties acted on or asked about, and of more."""
    texts = repr((columns.zipcode, columns.city)).encode()
    arrays = (columns.numeric, columns.property_type, columns.listing_status, columns.listed_at)
    return digest(
        b"".join([one.bytes for one in columns.ids]),
        texts,
        *(one.tobytes() for one in arrays),
        *further,
    )
