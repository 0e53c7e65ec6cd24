"""Stating what is wanted over HTTP: it counts in the next answer."""

from typing import Any

import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn, property_id, user_id

SET = """
mutation ($input: SetBuyBoxInput!) {
  setBuyBox(input: $input) {
    user {
      id
      buyBox { propertyTypes zipcodes cities price { min max } bedrooms { min max } }
      recommendations { edges { node { property { id } reasons { kind } } } }
    }
    errors { code message path }
  }
}
"""
NOTHING: dict[str, Any] = {
    "propertyTypes": [],
    "zipcodes": [],
    "cities": [],
    "price": None,
    "bedrooms": None,
}


@pytest.fixture
async def viewer(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work, role=Role.VIEWER)
    return sign_in(tenant, user.id, Role.VIEWER)


async def set_box(session: Session, **said: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await session.data(SET, input=said))["setBuyBox"]
    return answer


async def test_what_is_said_is_kept_counts_at_once_and_can_be_taken_back(
    tenant: Tenant, database: Database, viewer: Session
) -> None:
    async with database.work(tenant.id) as work:
        loved = await add_property(work, engagement=75.0)
        wanted = await add_property(work, city="Renton")
    answer = await set_box(viewer, cities=["Renton", "Renton"], price={"min": 1}, bedrooms=None)
    assert answer["errors"] == []
    user = answer["user"]
    assert user["id"] == user_id(viewer.user_id)
    assert user["buyBox"] == NOTHING | {"cities": ["Renton"], "price": {"min": 1, "max": None}}
    listed = [edge["node"] for edge in user["recommendations"]["edges"]]
    # 0.75 and one of the two criteria met; no engagement and both met.
    assert [one["property"]["id"] for one in listed] == [
        property_id(loved.id),
        property_id(wanted.id),
    ]
    assert [reason["kind"] for reason in listed[1]["reasons"]] == ["BUY_BOX", "NO_ACTIVE_MODEL"]

    whole = {
        "propertyTypes": ["CONDO", "LAND"],
        "zipcodes": ["98103"],
        "cities": [],
        "price": {"min": 100_000.5, "max": 200_000},
        "bedrooms": {"min": 2, "max": 2},
    }
    assert (await set_box(viewer, **whole))["user"]["buyBox"] == whole
    me = "{ me { buyBox { bedrooms { min max } } } }"
    assert (await viewer.data(me))["me"]["buyBox"] == {"bedrooms": {"min": 2, "max": 2}}
    empty: dict[str, Any] = {"propertyTypes": [], "zipcodes": None, "price": {"min": None}}
    assert (await set_box(viewer, **empty))["user"]["buyBox"] is None
    assert (await viewer.data(me))["me"]["buyBox"] is None


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"zipcodes": ["98103"] + [str(n) for n in range(50)]}, ["zipcodes"]),
        ({"cities": ["Kent", "x" * 101]}, ["cities", "1"]),
        ({"zipcodes": ["9\x008"]}, ["zipcodes", "0"]),
        ({"price": {"min": 2, "max": 1}}, ["price", "min"]),
        ({"price": {"max": -1}}, ["price", "max"]),
        ({"bedrooms": {"min": 4, "max": 3}}, ["bedrooms", "min"]),
        ({"userId": "7"}, ["userId"]),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    viewer: Session, said: dict[str, Any], path: list[str]
) -> None:
    answer = await set_box(viewer, **said)
    assert answer["user"] is None
    assert [(one["code"], one["path"]) for one in answer["errors"]] == [("INVALID_INPUT", path)]
    assert len(answer["errors"][0]["message"]) < 300


async def test_a_viewer_says_for_itself_and_an_analyst_for_anybody(
    tenant: Tenant, database: Database, viewer: Session, sign_in: SignIn
) -> None:
    async with database.work(tenant.id) as work:
        analyst = sign_in(tenant, (await add_user(work)).id, Role.ANALYST)
    theirs = {"cities": ["Kent"], "userId": user_id(viewer.user_id)}
    assert (await set_box(analyst, **theirs))["user"]["id"] == user_id(viewer.user_id)
    assert (await viewer.data("{ me { buyBox { cities } } }"))["me"]["buyBox"] == {
        "cities": ["Kent"]
    }
    assert (await analyst.data("{ me { buyBox { cities } } }"))["me"]["buyBox"] is None
    refused = await set_box(viewer, cities=["Kent"], userId=user_id(analyst.user_id))
    assert [(one["code"], one["path"]) for one in refused["errors"]] == [("FORBIDDEN", ["userId"])]
    unknown = await set_box(analyst, cities=["Kent"], userId=user_id(tenant.id))
    assert [(one["code"], one["path"]) for one in unknown["errors"]] == [("NOT_FOUND", ["userId"])]
