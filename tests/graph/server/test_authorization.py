"""The Authorization header of a request, and what is said where it does not do."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from domain.contract.vocabulary import Role
from domain.tenants.tenants import Tenant
from graph.identity import mint
from runtime import Runtime
from tests.factories import add_user
from tests.graph.conftest import Session, user_id

ME = "{ me { id externalId email name role } }"


async def ask(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.post("/graphql", json={"query": query}, headers=headers)


async def test_without_a_token_an_id_is_not_even_looked_at(client: httpx.AsyncClient) -> None:
    for query in ('{ property(id: "x") { id } }', "{ properties(first: 1) { totalCount } }"):
        (error,) = (await ask(client, query)).json()["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_token_names_who_asks(analyst: Session) -> None:
    answer = await analyst.data(ME)
    assert answer["me"]["id"] == user_id(analyst.user_id)


def claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "sub": str(uuid4()),
        "tenant": str(uuid4()),
        "roles": ["analyst"],
        "iat": now,
        "exp": now + timedelta(minutes=1),
    } | changes


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": LONG_AGO, "iat": LONG_AGO}, "expired"),
        ({"iat": datetime.now(UTC) + timedelta(hours=1)}, "not valid yet"),
        *(({name: None}, name) for name in ("sub", "tenant", "exp", "iat")),
        ({"tenant": str(uuid4())}, "tenant is unknown"),
        ({"roles": ["owner"]}, "'roles' names none of"),
    ],
)
async def test_bad_claims_are_refused(
    rt: Runtime, client: httpx.AsyncClient, changes: dict[str, Any], says: str
) -> None:
    values = {name: value for name, value in claims(**changes).items() if value is not None}
    token = jwt.encode(values, rt.services.jwt_secret, algorithm="HS256")
    (error,) = (await ask(client, ME, Authorization=f"Bearer {token}")).json()["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    assert says in error["message"]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "Send a token"),
        ("", "Send a token"),
        ("Basic abc", "Bearer <token>"),
        ("Bearer", "malformed"),
        ("Bearer x.y.z", "malformed"),
        ("Bearer " + jwt.encode(claims(), "x" * 40, algorithm="HS256"), "not signed"),
        ("Bearer " + jwt.encode(claims(), "", algorithm="none"), "algorithm"),
        ("Bearer " + jwt.encode(claims(), "x" * 64, algorithm="HS512"), "algorithm"),
    ],
)
async def test_without_a_trusted_token_nothing_is_read(
    client: httpx.AsyncClient, header: str | None, says: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    for query in (ME, "mutation { deleteProperty(input: {propertyId: 7}) { errors { code } } }"):
        body = (await ask(client, query, **headers)).json()
        assert body["data"] is None
        assert body["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        assert says in body["errors"][0]["message"]
    assert (await ask(client, "{ __typename }", **headers)).json()["data"] is not None


async def test_the_strongest_of_several_roles_counts(
    rt: Runtime, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    async with rt.database.work(tenant.id) as work:
        user = await add_user(work)
    roles = [Role.VIEWER, Role.ADMIN]
    token = mint(rt.services.jwt_secret, tenant.id, user.id, roles, timedelta(minutes=1))
    query = f'{{ user(id: "{user_id(uuid4())}") {{ id }} }}'
    (error,) = (await ask(client, query, Authorization=f"Bearer {token}")).json()["errors"]
    assert error["extensions"]["code"] == "NOT_FOUND"
