"""The sample on a fresh machine, and after a first start that was interrupted."""

import pytest
from sqlalchemy import func, select

import runtime
from cli.first_start import INVESTOR, SLUG, prepare_sample
from cli.supervision import ServingError
from domain import model_versions, property_search, tenants, users
from domain.database import Database
from domain.properties import Property
from domain.tenants import Tenant


async def find(database: Database) -> Tenant:
    async with database.work(None) as work:
        return await tenants.by_slug(work, SLUG)


def test_an_interrupted_first_start_is_finished_by_the_next(
    environment: None,
    services: runtime.Services,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = services.database_url
    with pytest.raises(ServingError, match="new start retries"):
        prepare_sample(url, investors=12, training=["--epochs=0"])
    first = capfd.readouterr().err
    assert "epochs must be at least 1" in first
    assert "Sample: " in first

    prepare_sample(url, investors=12, training=["--epochs=1"])
    second = capfd.readouterr()
    assert "Sample: " not in second.err
    assert "Version 1 answers now: 21,436 properties" in second.out

    prepare_sample(url)
    assert capfd.readouterr() == ("", "")


async def test_the_sample_says_what_is_simulated(database: Database) -> None:
    tenant = await find(database)
    async with database.work(tenant.id) as work:
        (version,) = await model_versions.page(work, 100)
        assert tenant.active_model_version_id == version.id
        assert await property_search.count(work) == 21_436
        investor = await users.find(work, INVESTOR)
        assert investor.simulated
        sources = await work.session.scalars(
            select(func.distinct(Property.provenance["listing_status"]["source"].astext))
        )
        assert list(sources) == ["simulated"]
