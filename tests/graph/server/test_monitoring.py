"""The dashboard and the alert rules ask for what the server tells."""

import httpx
import pytest

from deploy.monitoring.expressions import Expression, expressions, labels, metrics, panels, rules
from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.jobs import job_runs
from domain.model_registry import drift, model_versions
from domain.tenants.tenants import Tenant
from runtime import Runtime
from settings import Settings
from tests.factories import Town
from tests.graph.conftest import SignIn
from tests.graph.server.page import Page
from tests.graph.server.test_metrics_page import add_version, page_of

OF_PROMETHEUS = {"up"}
EVERYWHERE = {"instance", "job"}


@pytest.fixture
async def page(
    rt: Runtime,
    settings: Settings,
    database: Database,
    tenant: Tenant,
    town: Town,
    sign_in: SignIn,
    client: httpx.AsyncClient,
) -> Page:
    """A page of a server that has done a little of everything."""
    session = sign_in(town.tenant, town.southerners[0], Role.ADMIN)
    await session.data("{ recommendations { edges { node { reasons { __typename } } } } }")
    await client.post("/graphql", json={"query": "{ me { id } }"})
    async with database.work(tenant.id) as work:
        version = await add_version(work)
        await model_versions.begin_filling(work, version.id)
        await model_versions.complete(work, version.id)
        await model_versions.activate(work, version.id)
        await drift.record(work, version.id, {"price": 0.1}, 0.1)
        run = await job_runs.request(work, job_runs.REINDEX)
        await job_runs.start(work, run.id)
        await job_runs.succeed(work, run.id, {})
    return await page_of(rt, settings)


async def test_all_that_is_asked_for_is_told(page: Page) -> None:
    told = {label for name in page.names for one in page.labels(name) for label in one}
    asked = list(expressions())
    assert len(asked) > 30
    for expression in asked:
        for name in metrics(expression) - OF_PROMETHEUS:
            assert name in page.names or page.types.get(name.removesuffix("_total")), (
                f"{expression.place}: no server tells {name}"
            )
        unknown = labels(expression) - told - EVERYWHERE
        assert not unknown, f"{expression.place}: nothing has the label {unknown}"


async def test_all_that_is_told_of_the_database_is_watched(page: Page) -> None:
    asked = {name for expression in expressions() for name in metrics(expression)}
    told = {name for name, kind in page.types.items() if name.startswith("twin_") and kind}
    unwatched = {name for name in told if not any(one.startswith(name) for one in asked)}
    assert unwatched <= {"twin_tenants", "twin_job_seconds_gsum", "twin_job_seconds_gcount"}


def test_every_alert_says_what_to_do_and_panels_do_not_overlap() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken.get((x, y))}"
                taken[x, y] = panel["title"]


def test_the_check_finds_names_labels_and_mistakes() -> None:
    text = """sum by (a) (rate(one_total{b="c"}[5m])) / on (d) max_over_time(two[1h:5m])
        and (-three offset 5m > 1 or absent(four))"""
    assert metrics(Expression("here", text)) == {"one_total", "two", "three", "four"}
    assert labels(Expression("here", text)) == {"a", "b", "d"}
    with pytest.raises(ValueError, match="here: "):
        metrics(Expression("here", "sum by (a (rate(x[5m]))"))
