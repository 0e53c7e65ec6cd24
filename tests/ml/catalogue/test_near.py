"""What lies near is found by short cuts that never change what is found."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from domain.contract.filters import Circle, Labels
from domain.contract.snapshots import PropertyColumns
from ml.catalogue.candidates import Source
from ml.catalogue.catalogue import Catalogue
from ml.catalogue.filters import distance_km
from ml.twin.items import Items
from ml.twin.scoring import LoadedTwin
from tests.ml.worlds import make_columns, with_values

COUNT, NEWEST = 1500, 60
RADII = (0, 0.1, 1, 5, 20, 50, 51, 400, 5000)


@pytest.fixture(scope="module")
def properties() -> PropertyColumns:
    columns = make_columns(COUNT)
    return replace(
        columns,
        ids=tuple(UUID(int=row) for row in range(COUNT)),
        labels=(Labels("", None, ()),) * COUNT,
    )


@pytest.fixture(scope="module")
def seen(twin: LoadedTwin, properties: PropertyColumns) -> Items:
    return twin.items(properties)


@pytest.mark.parametrize("spread", [0.5, 5.0, 90.0])
@pytest.mark.parametrize("centre", [0.0, 47.0, 69.5, 75.0, 89.9, -33.0])
async def test_what_is_near_is_what_the_globe_says(
    properties: PropertyColumns, seen: Items, spread: float, centre: float
) -> None:
    """At the date line and the poles, too, and for rows that were added late."""
    drawn = np.random.default_rng(0)
    latitude = np.clip(centre + drawn.uniform(-spread, spread, COUNT), -90, 90)
    longitude = (drawn.uniform(-2 * spread, 2 * spread, COUNT) + 359.5) % 360 - 180
    columns = with_values(properties, latitude=latitude, longitude=longitude)
    catalogue = Catalogue()
    catalogue.load(columns.take(range(COUNT - NEWEST)), seen[: COUNT - NEWEST])
    catalogue.settle()
    catalogue.write(columns.take(range(COUNT - NEWEST, COUNT)), seen[COUNT - NEWEST :])
    for row, radius in enumerate(RADII):
        place = float(latitude[row]), float(longitude[row])
        found = catalogue.among(np.ones(COUNT, dtype=np.bool_)).candidates(
            np.eye(2, 16, dtype=np.float32), [Source(COUNT, near=(Circle(*place, radius),))]
        )
        inside = distance_km(*place, latitude, longitude) <= radius
        assert set(found.ids) == {columns.ids[one] for one in np.flatnonzero(inside)}
