"""Lists without a model: the tenant's engagement, and what the investor says is wanted."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select

from domain import buy_boxes, property_search
from domain.properties import Property
from domain.snapshots import BuyBox, PropertyFilter
from domain.work import Work

ENGAGEMENT = "engagement"
"""What ``model_version`` says where no model ranked."""

HALF_ENGAGEMENT = 25.0
"""The engagement, in views, that scores one half."""


def cold_score(found: Property, box: BuyBox | None) -> float:
    """The score in [0, 1] of a property for an investor without approvals.

    It is e / (e + 25) for an engagement of e views; with a buy box, the mean of that and the share
    of the stated criteria that the property meets.
    """
    liked = found.engagement / (found.engagement + HALF_ENGAGEMENT)
    if box is None:
        return liked
    share = len(buy_boxes.met(box, found)) / len(buy_boxes.stated(box))
    return (liked + share) / 2


async def cold_page(
    work: Work,
    where: PropertyFilter,
    box: BuyBox | None,
    limit: int,
    exclude: Collection[UUID],
    after: tuple[float, UUID] | None = None,
) -> list[tuple[Property, float]]:
    """Up to ``limit`` matching properties by falling ``cold_score``, ties by id.

    Args:
        work: the unit of work.
        where: which properties.
        box: what the investor says is wanted.
        limit: how many.
        exclude: which properties not.
        after: go on behind the property of this key and id.

    Returns:
        Each property with its key in the list's order.
    """
    # Without a buy box the engagement gives the same order, and has an index.
    key: ColumnElement[float] = Property.engagement.expression
    if box is not None:
        liked = Property.engagement / (Property.engagement + HALF_ENGAGEMENT)
        key = (liked + buy_boxes.met_share(box)) / 2.0
    query = (
        select(Property, key)
        .where(*property_search.matching(where))
        .order_by(key.desc(), Property.id)
        .limit(limit)
    )
    if exclude:
        query = query.where(Property.id.not_in(exclude))
    if after is not None:
        score, property_id = after
        query = query.where(or_(key < score, and_(key == score, Property.id > property_id)))
    return [(row[0], float(row[1])) for row in await work.session.execute(query)]
