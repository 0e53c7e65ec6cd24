"""Facets: how many of the matching properties have each value, for the filters of a user interface.

The counts of a facet leave out the filter's own part about it, so that they say what choosing
another of its values would find; all other parts hold.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    Select,
    Text,
    cast,
    func,
    literal,
    select,
    tuple_,
    union_all,
)

from domain.contract.filters import PropertyFilter
from domain.contract.property_search import MOST_VALUES, PRICE, VALUE_FACETS, Counts, Facet, without
from domain.core.work import Work
from domain.properties.search import matching
from domain.properties.table import Property

PARTS: dict[str, Any] = {
    "property_types": Property.property_type,
    "listing_statuses": Property.listing_status,
    "zipcodes": Property.canonical_zipcode,
    "cities": Property.city,
    "states": Property.state,
    "bedrooms": Property.bedrooms,
}
"""What each of ``VALUE_FACETS`` counts the values of."""

assert tuple(PARTS) == VALUE_FACETS

MOST_GROUPED = 31
"""Columns of one pass: PostgreSQL's GROUPING says them apart by the bits of an integer."""


async def count_facets(
    work: Work, where: PropertyFilter, facets: Sequence[Facet]
) -> dict[Facet, Counts]:
    """The facets of the properties that match, in one query.

    Facets that are counted among the same properties share one pass over them, ``MOST_GROUPED`` at
    a time; those that differ only in how many values are wanted are counted once.
    """
    among: dict[PropertyFilter, list[Facet]] = {}
    for facet in dict.fromkeys(map(_whole, facets)):
        among.setdefault(without(where, facet.part), []).append(facet)
    chunks = [
        (narrowed, some[start : start + MOST_GROUPED])
        for narrowed, some in among.items()
        for start in range(0, len(some), MOST_GROUPED)
    ]
    passes = [_one_pass(number, *chunk) for number, chunk in enumerate(chunks)]
    counted = (union_all(*passes) if len(passes) > 1 else passes[0]).subquery()
    facet_of = (counted.c.number, counted.c.sets)
    missing_first = (counted.c.value.is_not(None), counted.c.count.desc(), counted.c.value)
    placed = select(
        *counted.c,
        func.row_number().over(partition_by=facet_of, order_by=missing_first).label("place"),
        func.sum(counted.c.count).over(partition_by=facet_of).label("total"),
    ).subquery()
    # The missing come first, so that they are never cut off.
    rows = await work.session.execute(
        select(*placed.c).where(placed.c.place <= MOST_VALUES + 1).order_by(placed.c.place)
    )
    found: dict[tuple[int, int], list[Any]] = {}
    for row in rows:
        found.setdefault((row.number, row.sets), []).append(row)
    rows_of = {
        facet: found.get((number, _sets(place, len(some))), [])
        for number, (_, some) in enumerate(chunks)
        for place, facet in enumerate(some)
    }
    return {facet: _counts(facet, rows_of[_whole(facet)]) for facet in facets}


def _whole(facet: Facet) -> Facet:
    """The facet with all the values that may be asked for, from which fewer are cut."""
    return facet._replace(first=MOST_VALUES)


def _one_pass(number: int, where: PropertyFilter, facets: Sequence[Facet]) -> Select[Any]:
    """Count the facets among the properties that match."""
    values = [_value(facet).label(f"value_{place}") for place, facet in enumerate(facets)]
    # Made once, inside: a grouped expression with parameters is never the same one outside.
    matched = select(*values).where(*matching(where)).subquery()
    columns = list(matched.c)
    # In one collation, so that ties fall the same way on any server.
    texts = [cast(column, Text).collate("C") for column in columns]
    return select(
        literal(number).label("number"),
        func.grouping(*columns).label("sets"),
        func.coalesce(*texts, None).label("value"),
        func.count().label("count"),
    ).group_by(func.grouping_sets(*(tuple_(column) for column in columns)))


def _sets(place: int, count: int) -> int:
    """What GROUPING says where the column of that place alone is grouped by: its bit is 0."""
    return (1 << count) - 1 - (1 << (count - 1 - place))


def _value(facet: Facet) -> ColumnElement[Any]:
    if facet.part == PRICE:
        thresholds = cast(list(facet.boundaries), ARRAY(Float(53)))
        return func.width_bucket(Property.listing_price, thresholds)
    value: ColumnElement[Any] = PARTS[facet.part]
    return value


def _counts(facet: Facet, rows: Sequence[Any]) -> Counts:
    total = int(rows[0].total) if rows else 0
    missing = sum(row.count for row in rows if row.value is None)
    known = [(row.value, row.count) for row in rows if row.value is not None]
    if facet.part == PRICE:
        bands = dict(known)
        known = [(str(band), bands.get(str(band), 0)) for band in range(len(facet.boundaries) + 1)]
        return Counts(tuple(known), missing, 0)
    first = tuple(known[: facet.first])
    return Counts(first, missing, total - missing - sum(count for _, count in first))
