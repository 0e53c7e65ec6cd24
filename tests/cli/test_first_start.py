"""The sample on a fresh machine, and after a first start that was interrupted."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import func, select

import runtime
from cli.first_start import INVESTOR, SLUG, prepare_sample
from cli.supervision import ServingError
from domain import indexing, model_versions, policies, property_search, tenants, users
from domain.database import Database
from domain.properties import Property
from domain.tenants import Tenant
from sample.king_county import load_houses
from tests.conftest import without_jobs

pytestmark = pytest.mark.slow

MOST_HOUSES = 400
HOUSES = len(load_houses().thinned(MOST_HOUSES))


async def find(database: Database) -> Tenant:
    async with database.work(None) as work:
        return await tenants.by_slug(work, SLUG)


async def open_gates(database_url: str) -> None:
    """One epoch on few investors makes no good twin."""
    async with without_jobs(database_url) as database:
        tenant = await find(database)
        async with database.work(tenant.id) as work:
            rules = {"least_f1": 0, "least_accuracy": 0, "ndcg_tolerance": 1}
            await policies.change(work, rules | {"least_approvals": 1, "least_investors": 1})


def prepare(url: str, training: Sequence[str]) -> None:
    prepare_sample(url, investors=6, most_houses=MOST_HOUSES, training=training)


def test_an_interrupted_first_start_is_finished_by_the_next(
    environment: None,
    services: runtime.Services,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = services.database_url
    with pytest.raises(ServingError, match="new start retries"):
        prepare(url, training=["--epochs=0"])
    first = capfd.readouterr().err
    assert "epochs must be at least 1" in first
    assert "Sample: " in first
    asyncio.run(open_gates(url))

    prepare(url, training=["--epochs=1"])
    second = capfd.readouterr()
    assert "Sample: " not in second.err
    assert f"Version 1 answers now: {HOUSES:,} properties" in second.out

    prepare_sample(url)
    assert capfd.readouterr() == ("", "")


async def test_the_sample_says_what_is_simulated(database: Database) -> None:
    tenant = await find(database)
    async with database.work(tenant.id) as work:
        (version,) = await model_versions.page(work, 100)
        assert tenant.active_model_version_id == version.id
        assert await property_search.count(work) == HOUSES
        # The import marked everything, and the training put everything into the index.
        assert (await indexing.waiting(work)).marks == 0
        investor = await users.find(work, INVESTOR)
        assert investor.simulated
        sources = await work.session.scalars(
            select(func.distinct(Property.provenance["listing_status"]["source"].astext))
        )
        assert list(sources) == ["simulated"]
