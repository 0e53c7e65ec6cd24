"""The index written and compared from the command line."""

import json

import pytest

from domain.core.database import Database
from runtime import Runtime
from tests.cli.conftest import Twin
from tests.factories import Town
from tests.jobs.reindexing.indexing import Place

pytestmark = pytest.mark.slow


@pytest.fixture
async def place(rt: Runtime, database: Database, town: Town) -> Place:
    """A tenant with a version in the index, whose second changed unnoticed and third is lost."""
    made = await Place.found(rt, database, town)
    await made.set_price(made.town.south[1], 5e6, marked=False)
    await rt.index.delete_properties_everywhere(made.id, made.town.south[2:3])
    await made.set_price(made.town.south[3], 5e6)
    return made


def test_what_differs_is_counted_and_then_written(twin: Twin, place: Place) -> None:
    wrong = twin("reindex", "--tenant", place.tenant.slug, "--check")
    assert wrong.exit_code == 1
    assert wrong.stdout.startswith(
        "Version 1: of 72 properties and investors compared, 2 properties are missing or differ, "
        "0 are left over, "
    )
    (found,) = json.loads(
        twin("reindex", "--tenant", place.tenant.slug, "--check", "--json").stdout
    )
    assert (found["version"], found["compared"]) == (1, 72)
    assert found["properties"] == sorted(map(str, place.town.south[1:3]))
    # The sample finds that one is not as it should be.
    written = twin("reindex", "--tenant", place.tenant.slug)
    assert written.stdout == (
        "Version 1, full: 60 properties and 12 investors written, 0 properties removed; "
        "100.00% of the database's properties are in the index.\n"
    )
    again = twin("reindex", "--tenant", place.tenant.slug)
    assert again.stdout.startswith("Version 1, incremental: 0 properties and 12 investors written")
    full = twin("reindex", "--tenant", place.tenant.slug, "--full", "--json")
    (done,) = json.loads(full.stdout)
    assert (done["version"], done["mode"], done["written"], done["verified"]) == (1, "full", 60, 1)
    right = twin("reindex", "--tenant", place.tenant.slug, "--check")
    assert (right.exit_code, right.stdout) == (
        0,
        "Version 1: of 72 properties and investors compared, 0 properties are missing or differ, "
        "0 are left over, 0 investors differ.\n",
    )
