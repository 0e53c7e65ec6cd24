"""``PropertyFeed`` on PostgreSQL: properties for the processes that hold them in memory.

A hundred thousand rows and more go through the event loop of a server that answers requests
meanwhile. So PostgreSQL packs a batch into one row, a value for each column: numbers as the bytes
of an array, texts as JSON. The driver hands those on as they are, and a thread makes columns of
them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from math import nan
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Float,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Text,
    Uuid,
    any_,
    cast,
    extract,
    func,
    literal,
    select,
)

from domain.contract.snapshots import NUMERIC_COLUMNS, Changes, PropertyColumns
from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.database import Database
from domain.core.reading import Statement, parameter
from domain.jobs import property_log
from domain.properties.snapshots import columns, label
from domain.properties.table import Property

BATCH = 10_000
"""Properties of a batch: a few megabytes."""

_FLOAT = Float(53)
_TEXTS = ("canonical_zipcode", "city", "external_id", "state", "search")


def _number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column as a float that is not null."""
    if isinstance(value.type, Boolean):
        value = cast(value, Integer)
    return func.float8send(func.coalesce(cast(value, _FLOAT), literal(nan, _FLOAT)))


def _position(value: ColumnElement[Any], kind: Sequence[str]) -> ColumnElement[Any]:
    """The position of a value in its vocabulary, -1 where it is null."""
    known = cast([str(one) for one in kind], ARRAY(Text))
    found = func.coalesce(func.array_position(known, cast(value, Text)), 0) - 1
    return func.int2send(cast(found, SmallInteger))


def _packed(wanted: Select[tuple[Property]]) -> Statement:
    """The statement that packs rows into one: the ids, then the columns; all null if none."""
    row = wanted.subquery("property").c
    packed = (
        _position(row.property_type, list(PropertyType)),
        _position(row.listing_status, list(ListingStatus)),
        _number(extract("epoch", row.listed_at)),
        func.int4send(row.owners),
        *(_number(row[name]) for name in NUMERIC_COLUMNS),
    )
    return Statement(
        select(
            func.array_agg(row.id),
            *(func.string_agg(one, literal(b"", LargeBinary)) for one in packed),
            *(cast(func.json_agg(row[name]), Text) for name in _TEXTS),
        )
    )


_COLUMNS = select(
    *(
        getattr(Property, name)
        for name in (
            *("id", "property_type", "listing_status", "listed_at", "owners"),
            *NUMERIC_COLUMNS,
            *_TEXTS,
        )
    )
)
_BY_ID = _packed(_COLUMNS.where(Property.id == any_(parameter("ids", ARRAY(Uuid())))))
_NEXT = _COLUMNS.order_by(Property.id).limit(BATCH)
_FIRST = _packed(_NEXT)
_AFTER = _packed(_NEXT.where(Property.id > parameter("after", Uuid())))
_COUNT = Statement(select(func.count()).select_from(Property))


class DatabaseFeed:
    """``PropertyFeed`` on the database. Each batch is read in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self, tenant_id: UUID) -> str:
        """See ``PropertyFeed``."""
        async with self._database.read(tenant_id) as reading:
            return await property_log.position(reading)

    async def count(self, tenant_id: UUID) -> int:
        """See ``PropertyFeed``."""
        async with self._database.read(tenant_id) as reading:
            ((count,),) = await reading.fetch(_COUNT)
        return int(count)

    async def batches(self, tenant_id: UUID) -> AsyncIterator[PropertyColumns]:
        """See ``PropertyFeed``."""
        found = await self._read(tenant_id, _FIRST)
        while len(found):
            yield found
            found = await self._read(tenant_id, _AFTER, after=found.ids[-1])

    async def changes(self, tenant_id: UUID, since: str) -> Changes | None:
        """See ``PropertyFeed``."""
        async with self._database.read(tenant_id) as reading:
            logged = await property_log.since(reading, since)
            if logged is None:
                return None
            if not logged.property_ids:
                return Changes(logged.position, columns([]), ())
            # A later statement: what it reads may be newer than the position, never older.
            (row,) = await reading.fetch(_BY_ID, ids=logged.property_ids)
        found = await asyncio.to_thread(_unpacked, row)
        deleted = set(logged.property_ids).difference(found.ids)
        return Changes(logged.position, found, tuple(deleted))

    async def _read(self, tenant_id: UUID, statement: Statement, **values: Any) -> PropertyColumns:
        async with self._database.read(tenant_id) as reading:
            (row,) = await reading.fetch(statement, **values)
        return await asyncio.to_thread(_unpacked, row)


def _unpacked(row: Sequence[Any]) -> PropertyColumns:
    ids, *packed = row
    if ids is None:
        return columns([])
    types, statuses, listed_at, owners, *numeric = packed[: -len(_TEXTS)]
    zipcode, city, *labels = map(json.loads, packed[-len(_TEXTS) :])
    return PropertyColumns(
        ids=tuple(ids),
        numeric=np.stack([_array(one, np.float64) for one in numeric], axis=1),
        property_type=_array(types, np.int16).astype(np.int8),
        listing_status=_array(statuses, np.int16).astype(np.int8),
        zipcode=tuple(zipcode),
        city=tuple(city),
        listed_at=_array(listed_at, np.float64),
        owners=_array(owners, np.int32),
        labels=tuple(map(label, *labels)),
    )


def _array(sent: bytes, kind: type[np.generic]) -> NDArray[Any]:
    """Numbers as PostgreSQL sends them, which is in network byte order."""
    found = np.dtype(kind)
    return np.frombuffer(sent, found.newbyteorder(">")).astype(found)
