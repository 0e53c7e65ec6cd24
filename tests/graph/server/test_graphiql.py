"""The development page: local files alone, a strict policy, and a token for locals only."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from graphql import parse, validate

from domain.contract.vocabulary import InteractionKind
from domain.core.database import Database
from domain.tenants import tenants
from graph.schema import build_schema
from graph.server.graphiql import ASSETS, ready_queries
from runtime import Runtime
from tests.factories import add_interaction, add_property, add_user

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def config_of(page: httpx.Response) -> dict[str, Any]:
    match = re.search(r'<script id="config" type="application/json">(.*)</script>', page.text)
    assert match is not None
    config: dict[str, Any] = json.loads(match[1])
    return config


@pytest.fixture
async def sample(database: Database) -> str:
    """An invented investor, in a tenant that comes before all others."""
    tenant_id = uuid4()
    async with database.work(tenant_id) as work:
        await tenants.create(work, f"a-{tenant_id.hex}")
        user = await add_user(work, simulated=True, name="Ada </script><b>")
        house, *_ = [await add_property(work) for _ in range(5)]
        await add_interaction(work, user.id, house.id, InteractionKind.SAVE)
    return str(user.name)


async def test_the_page_signs_in_as_a_sample_investor(
    client: httpx.AsyncClient, sample: str
) -> None:
    page = await client.get("/graphql", headers=HTML)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    config = config_of(page)
    assert config["investor"] == sample
    headers = {"Authorization": f"Bearer {config['token']}"}
    schema = build_schema()._schema
    for tab in config["tabs"]:
        assert validate(schema, parse(tab["query"])) == []
        if "subscription" in tab["query"]:
            continue  # It would not end.
        body = {"query": tab["query"], "variables": json.loads(tab["variables"])}
        answer = (await client.post("/graphql", json=body, headers=headers)).json()
        # There is no model in this tenant, and none is needed.
        assert "errors" not in answer
        if "mutation Discovery" in tab["query"]:
            loses_what_is_saved_contacted_and_sold(answer["data"])


def loses_what_is_saved_contacted_and_sold(steps: dict[str, Any]) -> None:
    """Checks that the feed shows one house less after each step, and ``history: ANY`` all."""
    assert steps.pop("sold") == {"errors": []}
    found = {name: step["interaction"]["user"] for name, step in steps.items()}
    feeds = {name: user["feed"] for name, user in found.items()}
    counts = {"viewed": 4, "saved": 3, "contacted": 2, "afterwards": 1}
    assert {name: feed["totalCount"] for name, feed in feeds.items()} == counts
    assert {name: len(feed["edges"]) for name, feed in feeds.items()} == counts
    assert [user["everything"]["totalCount"] for user in found.values()] == [4] * 4


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example"])
async def test_a_foreign_name_gets_no_token(
    client: httpx.AsyncClient, sample: str, host: str
) -> None:
    page = await client.get("/graphql", headers=HTML | {"Host": host})
    assert config_of(page)["token"] is None
    assert sample not in page.text


async def test_external_services_get_no_token(
    rt: Runtime, client: httpx.AsyncClient, sample: str
) -> None:
    object.__setattr__(rt.services, "embedded", False)
    try:
        page = await client.get("/graphql", headers=HTML)
    finally:
        object.__setattr__(rt.services, "embedded", True)
    assert config_of(page)["token"] is None
    assert sample not in page.text


async def test_the_page_loads_local_files_alone(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql", headers=HTML)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in page.text.replace("http-equiv", "")
    named = re.findall(r'(?:src|href)="(/graphql/assets/[^"]+)"', page.text)
    assert {Path(url).name for url in named} == set(ASSETS)


async def test_only_listed_files_are_served(client: httpx.AsyncClient) -> None:
    served = await client.get("/graphql/assets/start.js")
    assert served.status_code == 200
    assert "javascript" in served.headers["content-type"]
    for name in ("index.html", "package.json", "..%2fapp.py", "%2e%2e/app.py", "react", ""):
        assert (await client.get(f"/graphql/assets/{name}")).status_code == 404, name


async def test_programs_get_no_page(client: httpx.AsyncClient) -> None:
    response = await client.get("/graphql", headers={"Accept": "*/*"})
    assert response.status_code == 400


def test_ready_queries_without_a_sample() -> None:
    assert len(ready_queries(())) == 9
