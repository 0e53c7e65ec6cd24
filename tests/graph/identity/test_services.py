"""Services over HTTP: what their token names, and not a field more."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from graph.identity import mint
from graph.schema import build_schema
from runtime import Runtime
from tests.factories import add_property, add_user
from tests.graph.conftest import user_id

ALLOWED = ["properties", "recommendations", "me", "property", "upsertProperties"]


@pytest.fixture
def ask(rt: Runtime, client: httpx.AsyncClient, tenant: Tenant) -> Any:
    lifetime = timedelta(minutes=1)
    token = mint(
        rt.services.jwt_secret, tenant.id, "crm", [Role.ANALYST], lifetime, operations=ALLOWED
    )

    async def post(query: str, **variables: Any) -> dict[str, Any]:
        response = await client.post(
            "/graphql",
            json={"query": query, "variables": variables},
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/graphql-response+json",
            },
        )
        body: dict[str, Any] = response.json()
        return body | {"status": response.status_code}

    return post


async def test_a_service_calls_what_its_token_names(
    ask: Any, tenant: Tenant, database: Database
) -> None:
    async with database.work(tenant.id) as work:
        await add_property(work)
        user = await add_user(work)
    body = await ask(
        """query ($user: ID!) { __typename properties { totalCount }
            recommendations(userId: $user) { edges { node { user { id } } } } }""",
        user=user_id(user.id),
    )
    assert body["data"]["properties"]["totalCount"] == 1
    assert body["data"]["recommendations"]["edges"][0]["node"]["user"]["id"] == user_id(user.id)
    body = await ask("{ properties { edges { node { feedback { sentiment } } } } }")
    assert body["data"]["properties"]["edges"] == [{"node": {"feedback": None}}]
    assert "errors" not in body
    body = await ask(
        'mutation { upsertProperties(input: {properties: [{externalId: "a"}]}) { created } }'
    )
    assert body["data"]["upsertProperties"]["created"] == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("{ users { totalCount } }", "users"),
        ("{ properties { totalCount } u: users { totalCount } }", "users"),
        ("{ ...A } fragment A on Query { ... { users { totalCount } } }", "users"),
        ('mutation { deleteProperty(input: {propertyId: "x"}) { errors { code } } }',
         "deleteProperty"),
    ],
)  # fmt: skip
async def test_nothing_runs_if_one_field_is_not_named(ask: Any, query: str, field: str) -> None:
    body = await ask(query)
    assert body["status"] == 403
    assert "data" not in body
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    assert f"{field!r}; it is limited to: me, properties" in error["message"]


async def test_a_service_names_the_user_it_means(ask: Any) -> None:
    (error,) = (await ask("{ recommendations { edges { cursor } } }"))["errors"]
    assert error["extensions"] == {"code": "INVALID_INPUT", "field": ["userId"]}
    (error,) = (await ask("{ me { id } }"))["errors"]
    assert error["extensions"] == {"code": "FORBIDDEN"}


def test_no_two_root_types_share_a_field() -> None:
    schema = build_schema()._schema
    kinds = (schema.query_type, schema.mutation_type, schema.subscription_type)
    names = [name for kind in kinds if kind for name in kind.fields]
    # Else a token for the one would be a token for the other.
    assert len(names) == len(set(names))
