"""Properties within a polygon, in SQL: those that its ring winds around.

What a polygon says reaches PostgreSQL as arrays, so that all polygons are one statement. An
expression for each of its lines would be another text, and another plan kept, for each polygon.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, ColumnElement, Float, Integer, func, literal_column, select
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.types import TypeEngine

from domain.contract.filters import Polygon
from domain.properties.table import Property

Bind = Callable[[str, TypeEngine[Any]], ColumnElement[Any]]
"""Makes of a name and its type a value of a statement."""

_FLOAT, _FLOATS, _INTEGERS = Float(53), ARRAY(Float(53)), ARRAY(Integer())


def values(polygon: Polygon) -> dict[str, Any]:
    """What ``within`` takes of a polygon, by name.

    Between two neighbouring latitudes of corners lies a band, which no line begins or ends in: a
    property is compared with the lines across its own band alone, a few instead of all. ``borders``
    are the latitudes, rising; the lines across a band are those from ``first`` to ``last``, from 1,
    each with where it starts, how far it goes, and whether upwards (1) or downwards (-1).
    """
    starts = np.array(polygon.ring(), dtype=np.float64)
    ends = np.roll(starts, -1, axis=0)
    lowest, highest = np.minimum(starts, ends)[:, 0], np.maximum(starts, ends)[:, 0]
    borders = np.unique(starts[:, 0])
    across = (lowest <= borders[:-1, None]) & (borders[:-1, None] < highest)
    band, line = np.nonzero(across)
    last = np.searchsorted(band, np.arange(len(borders) - 1), side="right")
    south, west = starts[line].T
    north_by, east_by = (ends - starts)[line].T
    (southernmost, westernmost), (northernmost, easternmost) = starts.min(0), starts.max(0)
    return {
        "polygon_south": float(southernmost),
        "polygon_west": float(westernmost),
        "polygon_north": float(northernmost),
        "polygon_east": float(easternmost),
        "polygon_borders": borders.tolist(),
        "polygon_first": [1, *(last[:-1] + 1).tolist()] if len(last) else [],
        "polygon_last": last.tolist(),
        "line_south": south.tolist(),
        "line_west": west.tolist(),
        "line_north_by": north_by.tolist(),
        "line_east_by": east_by.tolist(),
        "line_direction": np.where(north_by >= 0, 1.0, -1.0).tolist(),
    }


def within(bind: Bind) -> list[ColumnElement[bool]]:
    """A property lies within the polygon of such values: conditions that all must hold."""
    latitude, longitude = Property.latitude, Property.longitude

    def array(name: str, kind: TypeEngine[Any] = _FLOATS) -> Any:
        # In brackets, or a subscript would be read as part of the type.
        return Grouping(bind(name, kind))

    band = func.width_bucket(latitude, array("polygon_borders"))
    first, last = array("polygon_first", _INTEGERS)[band], array("polygon_last", _INTEGERS)[band]
    line = func.generate_series(first, last).column_valued("line")
    direction = array("line_direction")[line]
    # Above 0 where the property lies to the left of a line that goes upwards.
    turn = (
        array("line_east_by")[line] * (latitude - array("line_south")[line])
        - (longitude - array("line_west")[line]) * array("line_north_by")[line]
    )
    zero = literal_column("0", _FLOAT)
    # Counted are the lines to its east: 1 for each that goes upwards, -1 for each downwards.
    windings = (
        select(func.coalesce(func.sum(direction), zero))
        .where(direction * turn > zero)
        .correlate(Property)
        .scalar_subquery()
    )
    return [
        # The box can use an index; the ring decides.
        latitude.between(bind("polygon_south", _FLOAT), bind("polygon_north", _FLOAT)),
        longitude.between(bind("polygon_west", _FLOAT), bind("polygon_east", _FLOAT)),
        windings != zero,
    ]
