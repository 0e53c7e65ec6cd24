"""Upserts and deletion over HTTP: all or nothing, and for analysts alone."""

from typing import Any

import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.tenants.tenants import Tenant
from tests.factories import add_property, add_user
from tests.graph.conftest import Session, SignIn, property_id

UPSERT = """
mutation ($input: UpsertPropertiesInput!) {
  upsertProperties(input: $input) {
    created updated unchanged
    results { outcome property { id externalId } }
    properties { externalId listingPrice city provenance { field sourceSystem } }
    errors { code message path }
  }
}
"""
DELETE = """
mutation ($input: DeletePropertyInput!) {
  deleteProperty(input: $input) { deletedPropertyId errors { code path } }
}
"""


@pytest.fixture
async def analyst(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    return sign_in(tenant, user.id)


async def upsert(session: Session, *properties: dict[str, Any]) -> dict[str, Any]:
    answer = await session.data(UPSERT, input={"properties": properties})
    payload: dict[str, Any] = answer["upsertProperties"]
    return payload


async def total(session: Session) -> int:
    count: int = (await session.data("{ properties { totalCount } }"))["properties"]["totalCount"]
    return count


async def test_properties_are_created_updated_and_left_alone(analyst: Session) -> None:
    one = {"externalId": "A", "listingPrice": 100.0, "city": "Kent", "sourceSystem": "mls"}
    two = {"externalId": "B", "propertyType": "LAND", "listedAt": "2024-05-01T00:00:00Z"}
    payload = await upsert(analyst, one, two)
    assert (payload["created"], payload["updated"], payload["unchanged"]) == (2, 0, 0)
    assert [item["property"]["externalId"] for item in payload["results"]] == ["A", "B"]
    # What is absent stays, null empties.
    payload = await upsert(analyst, two, {"externalId": "A", "listingPrice": None})
    assert [item["outcome"] for item in payload["results"]] == ["UNCHANGED", "UPDATED"]
    changed = payload["properties"][1]
    assert (changed["listingPrice"], changed["city"]) == (None, "Kent")
    assert {"field": "city", "sourceSystem": "mls"} in changed["provenance"]
    assert payload["errors"] == []


async def test_nothing_is_written_if_one_breaks_a_rule(analyst: Session) -> None:
    good = {"externalId": "A"}
    payload = await upsert(
        analyst,
        good,
        {"externalId": "B", "latitude": 91, "capRate": 7.5},
        {"externalId": ""},
        {"externalId": "C", "city": "\x00"},
        {"externalId": "D", "yearBuilt": 12},
    )
    assert {tuple(error["path"]) for error in payload["errors"]} == {
        ("properties", "1", "latitude"),
        ("properties", "1", "capRate"),
        ("properties", "2", "externalId"),
        ("properties", "3", "city"),
        ("properties", "4", "yearBuilt"),
    }
    assert {error["code"] for error in payload["errors"]} == {"INVALID_INPUT"}
    assert payload["results"] == []
    payload = await upsert(analyst, good, good)
    assert [error["path"] for error in payload["errors"]] == [["properties", "1", "externalId"]]
    payload = await upsert(analyst, *({"externalId": str(n)} for n in range(501)))
    assert [error["path"] for error in payload["errors"]] == [["properties"]]
    assert await total(analyst) == 0


async def test_five_hundred_at_a_time(analyst: Session) -> None:
    payload = await upsert(analyst, *({"externalId": str(n), "bedrooms": n} for n in range(500)))
    assert payload["created"] == 500
    assert [item["property"]["externalId"] for item in payload["results"]] == [
        str(n) for n in range(500)
    ]


async def test_a_property_is_deleted_once(
    analyst: Session, tenant: Tenant, database: Database
) -> None:
    async with database.work(tenant.id) as work:
        house = property_id((await add_property(work)).id)
    gone = (await analyst.data(DELETE, input={"propertyId": house}))["deleteProperty"]
    assert gone == {"deletedPropertyId": house, "errors": []}
    again = (await analyst.data(DELETE, input={"propertyId": house}))["deleteProperty"]
    assert again["errors"] == [{"code": "NOT_FOUND", "path": ["propertyId"]}]


async def test_viewers_write_nothing(tenant: Tenant, database: Database, sign_in: SignIn) -> None:
    async with database.work(tenant.id) as work:
        house = await add_property(work)
        user = await add_user(work)
    viewer = sign_in(tenant, user.id, Role.VIEWER)
    payload = await upsert(viewer, {"externalId": "A"})
    assert [error["code"] for error in payload["errors"]] == ["FORBIDDEN"]
    answer = await viewer.data(DELETE, input={"propertyId": property_id(house.id)})
    assert answer["deleteProperty"]["errors"][0]["code"] == "FORBIDDEN"
    assert await total(viewer) == 1
