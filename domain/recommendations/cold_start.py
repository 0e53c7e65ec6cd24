"""Lists without a model: the tenant's engagement, and what the investor says is wanted."""

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, or_, select

from domain import buy_boxes, property_search
from domain.filters import PropertyFilter
from domain.properties import Property
from domain.property_rows import PropertyValues
from domain.shortlists import Key
from domain.snapshots import BuyBox
from domain.work import Work

ENGAGEMENT = "engagement"
"""What ``model_version`` says where no model ranked."""

HALF_ENGAGEMENT = 25.0
"""The engagement, in views, that scores one half."""


def cold_score(found: PropertyValues, box: BuyBox | None) -> float:
    """The score in [0, 1] of a property for an investor without approvals.

    It is e / (e + 25) for an engagement of e views; with a buy box, the mean of that and the share
    of the stated criteria that the property meets.
    """
    liked = found.engagement / (found.engagement + HALF_ENGAGEMENT)
    if box is None:
        return liked
    share = len(buy_boxes.met(box, found)) / len(buy_boxes.stated(box))
    return (liked + share) / 2


@dataclass(frozen=True, slots=True)
class ColdItem:
    """A property on a list without a model, and where it stands."""

    row: PropertyValues
    key: Key


class ColdListing:
    """The properties that match, by falling ``cold_score``, ties by id; see ``Listing``.

    Args:
        work: opens a unit of work.
        where: which properties.
        box: what the investor says is wanted.
        exclude: which properties not.
    """

    def __init__(
        self,
        work: Callable[[], AbstractAsyncContextManager[Work]],
        where: PropertyFilter,
        box: BuyBox | None,
        exclude: Collection[UUID],
    ) -> None:
        self._work = work
        # Without a buy box the engagement gives the same order, and has an index.
        self._score: ColumnElement[float] = Property.engagement.expression
        if box is not None:
            liked = Property.engagement / (Property.engagement + HALF_ENGAGEMENT)
            self._score = (liked + buy_boxes.met_share(box)) / 2.0
        self._query = select(Property, self._score).where(*property_search.matching(where))
        if exclude:
            self._query = self._query.where(property_search.excluding(exclude))

    async def behind(self, key: Key | None, count: int) -> list[ColdItem]:
        """The first ``count`` behind a key, or of all."""
        query = self._query.order_by(self._score.desc(), Property.id).limit(count)
        if key is not None:
            score = -key.place
            tied = and_(self._score == score, Property.id > key.id)
            query = query.where(or_(self._score < score, tied))
        return await self._read(query)

    async def before(self, key: Key, count: int) -> list[ColdItem]:
        """The last ``count`` before a key, in the list's order."""
        score = -key.place
        tied = and_(self._score == score, Property.id < key.id)
        query = (
            self._query.where(or_(self._score > score, tied))
            .order_by(self._score, Property.id.desc())
            .limit(count)
        )
        return (await self._read(query))[::-1]

    async def _read(self, query: Select[Property, float]) -> list[ColdItem]:
        async with self._work() as work:
            rows = await work.session.execute(query)
            return [ColdItem(row[0], Key(0, -float(row[1]), row[0].id)) for row in rows]
