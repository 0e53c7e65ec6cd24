"""Snapshots of properties: many rows as the columns that the twin reads."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import ARRAY, ColumnElement, Float, Integer, Uuid, any_, cast, extract, select
from sqlalchemy.orm import InstrumentedAttribute

from domain.contract.filters import Labels
from domain.contract.snapshots import NUMERIC_COLUMNS, PropertyColumns
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.reading import Row, Statement, parameter
from domain.core.work import Work
from domain.properties.rows import PropertyValues
from domain.properties.table import Property

SNAPSHOT: tuple[InstrumentedAttribute[Any] | ColumnElement[Any], ...] = (
    Property.id,
    Property.property_type,
    Property.listing_status,
    Property.canonical_zipcode,
    Property.city,
    # Else it would come as a decimal number, digit by digit.
    cast(extract("epoch", Property.listed_at), Float(53)).label("listed_at"),
    Property.owners,
    *(getattr(Property, name) for name in NUMERIC_COLUMNS),
)
"""What ``columns`` reads, in its order."""

_TYPES = {kind: position for position, kind in enumerate(PropertyType)}
_STATUSES = {status: position for position, status in enumerate(ListingStatus)}


def columns(rows: Sequence[Sequence[Any]]) -> PropertyColumns:
    """Turn rows of ``SNAPSHOT`` into columns; what the rows hold beyond that is left."""
    width = len(SNAPSHOT)
    ids, types, statuses, zipcode, city, listed_at, owners, *numeric = (
        list(zip(*rows, strict=True))[:width] if rows else [()] * width
    )
    return PropertyColumns(
        ids=ids,
        numeric=np.array(numeric, dtype=np.float64).T.copy(),
        property_type=np.array([_TYPES.get(one, -1) for one in types], dtype=np.int8),
        listing_status=np.array([_STATUSES.get(one, -1) for one in statuses], dtype=np.int8),
        zipcode=zipcode,
        city=city,
        listed_at=np.array(listed_at, dtype=np.float64),
        owners=np.array(owners, dtype=np.int32),
    )


_numbers = attrgetter(*NUMERIC_COLUMNS)


def columns_of(properties: Sequence[PropertyValues]) -> PropertyColumns:
    """Turn loaded properties into columns."""
    return columns(
        [
            (
                item.id,
                item.property_type,
                item.listing_status,
                item.canonical_zipcode,
                item.city,
                item.listed_at.timestamp() if item.listed_at else None,
                item.owners,
                *_numbers(item),
            )
            for item in properties
        ]
    )


LABELS: tuple[InstrumentedAttribute[Any], ...] = (
    Property.external_id,
    Property.state,
    Property.search,
)
"""What ``Labels`` are made of, in its order."""


_LABELLED = select(*SNAPSHOT, *LABELS)
_BY_ID = Statement(_LABELLED.where(Property.id == any_(parameter("ids", ARRAY(Uuid())))))
_NEXT = _LABELLED.order_by(Property.id).limit(parameter("batch", Integer()))
_FIRST = Statement(_NEXT)
_AFTER = Statement(_NEXT.where(Property.id > parameter("after", Uuid())))


async def snapshot(work: Work, property_ids: Sequence[UUID]) -> PropertyColumns:
    """The columns and labels of those ids that exist, in no particular order."""
    return _labelled(await work.fetch(_BY_ID, ids=list(property_ids)))


async def ids(work: Work) -> set[UUID]:
    """The ids of all properties of the tenant."""
    return set(await work.session.scalars(select(Property.id)))


async def snapshot_after(
    work: Work, after: UUID | None = None, batch: int = 2000
) -> PropertyColumns:
    """The next properties of the tenant by id, with labels; none at the end."""
    if after is None:
        return _labelled(await work.fetch(_FIRST, batch=batch))
    return _labelled(await work.fetch(_AFTER, after=after, batch=batch))


def label(external_id: str, state: str | None, search: str) -> Labels:
    """The labels of a row of ``LABELS``."""
    words = dict.fromkeys(search.split(" "))
    words.pop("", None)
    return Labels(external_id, state, tuple(words))


def _labelled(rows: Sequence[Row]) -> PropertyColumns:
    width = len(SNAPSHOT)
    return replace(columns(rows), labels=tuple(label(*row[width:]) for row in rows))


async def snapshots(work: Work, batch: int = 2000) -> AsyncIterator[PropertyColumns]:
    """All properties of the tenant in batches, by id, each batch read when it is asked for."""
    after: UUID | None = None
    while len(found := await snapshot_after(work, after, batch)):
        yield found
        after = found.ids[-1]
