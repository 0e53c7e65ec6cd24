"""Imports over the API: the record of them, and undoing one."""

from pathlib import Path
from typing import Any

import pytest

from domain.contract.vocabulary import InteractionKind, Role
from domain.core.database import Database
from domain.imports.missing import DeletionLimit
from domain.imports.properties import import_properties
from domain.imports.sources import FileSource
from domain.interactions import interactions
from domain.properties import rows
from domain.properties.input import PropertyInput
from domain.properties.upsert import upsert
from domain.tenants.tenants import Tenant
from graph.core.nodes import global_id
from graph.imports import mutations
from tests.factories import add_user
from tests.graph.conftest import Session, SignIn, property_id

LIST = """query ($filter: ImportFilter, $first: Int, $after: String, $last: Int, $before: String) {
    imports(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        totalCount edges { cursor node {
            id kind source sha256 format mapping options actor undoneAt undoneBy undoable
            counts { read inserted updated unchanged skipped deleted deletedInteractions
                usersCreated } } }
        pageInfo { hasNextPage endCursor } } }"""
UNDO = """mutation ($id: ID!) { undoImport(input: {importId: $id}) {
    import { id undoneBy undoable }
    propertiesRestored propertiesReverted propertiesRemoved
    interactionsRestored interactionsReverted interactionsRemoved usersRemoved
    left { kind name reason fields } leftCount
    errors { code message path } } }"""


@pytest.fixture
async def admin(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work, role=Role.ADMIN)
    return sign_in(tenant, user.id, Role.ADMIN)


@pytest.fixture
async def imported(database: Database, tenant: Tenant, tmp_path: Path) -> list[str]:
    """Two imports, of which the second deletes one of three properties; ids, oldest first."""
    path = tmp_path / "houses.csv"
    ids: list[str] = []
    for content in ("A,Kent,2\nB,Kent,2\nC,Kent,2\n", "A,Renton,3\nB,Kent,2\nD,Kent,1\n"):
        path.write_text("external_id,city,bedrooms\n" + content)
        async with database.work(tenant.id) as work:
            report = await import_properties(
                work,
                FileSource(path),
                delete_missing=True,
                delete_at_most=DeletionLimit.parse("1"),
                actor="cli:ann",
            )
        assert report.import_id is not None
        ids.append(global_id("Import", report.import_id))
    return ids


async def undo(session: Session, import_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await session.data(UNDO, id=import_id))["undoImport"]
    return answer


async def test_imports_are_listed_newest_first(admin: Session, imported: list[str]) -> None:
    found = (await admin.data(LIST))["imports"]
    assert found["totalCount"] == 2
    nodes = [edge["node"] for edge in found["edges"]]
    assert [one["id"] for one in nodes] == imported[::-1]
    newest = nodes[0]
    assert (newest["kind"], newest["source"], newest["actor"]) == (
        "PROPERTY", "houses.csv", "cli:ann"
    )  # fmt: skip
    assert newest["counts"] == {
        "read": 3, "inserted": 1, "updated": 1, "unchanged": 1, "skipped": 0, "deleted": 1,
        "deletedInteractions": 0, "usersCreated": 0,
    }  # fmt: skip
    assert newest["options"]["delete_at_most"] == "1"
    assert (newest["undoneAt"], newest["undoable"], len(newest["sha256"])) == (None, True, 64)

    page = (await admin.data(LIST, first=1))["imports"]
    assert page["pageInfo"]["hasNextPage"]
    rest = (await admin.data(LIST, after=page["pageInfo"]["endCursor"]))["imports"]
    assert [edge["node"]["id"] for edge in rest["edges"]] == imported[:1]


async def test_an_import_is_undone_but_for_what_changed_since(
    database: Database, tenant: Tenant, admin: Session, imported: list[str]
) -> None:
    async with database.work(tenant.id) as work:
        await upsert(work, [PropertyInput(external_id="A", bedrooms=4)])
    answer = await undo(admin, imported[1])
    assert answer["errors"] == []
    assert answer["import"] == {
        "id": imported[1], "undoneBy": f"user:{admin.user_id}", "undoable": False
    }  # fmt: skip
    assert (answer["propertiesRestored"], answer["propertiesRemoved"]) == (1, 1)
    assert answer["left"] == [
        {"kind": "PROPERTY", "name": "A", "reason": "changed since", "fields": ["bedrooms"]}
    ]
    assert answer["leftCount"] == 1
    found = (await admin.data(LIST, filter={"undone": False}))["imports"]
    assert [edge["node"]["id"] for edge in found["edges"]] == imported[:1]
    (error,) = (await undo(admin, imported[1]))["errors"]
    assert (error["code"], error["path"]) == ("INVALID_INPUT", ["importId"])
    assert "was undone at" in error["message"]


async def test_a_restored_property_is_the_same_to_clients(
    database: Database, tenant: Tenant, admin: Session, tmp_path: Path
) -> None:
    async with database.work(tenant.id) as work:
        written = await upsert(work, [PropertyInput(external_id="A", city="Kent")])
        house = written[0].property_id
        await interactions.record(work, admin.user_id, house, InteractionKind.SAVE)
    query = """query ($id: ID!) { property(id: $id) { externalId city engagement
        provenance { field sourceSystem observedAt } } }"""
    before = await admin.data(query, id=property_id(house))
    path = tmp_path / "other.csv"
    path.write_text("external_id\nB\n")
    limit = DeletionLimit.parse("100%")
    async with database.work(tenant.id) as work:
        report = await import_properties(
            work, FileSource(path), delete_missing=True, delete_at_most=limit
        )
        assert await rows.get_many(work, [house]) == {}
    assert report.import_id is not None
    answer = await undo(admin, global_id("Import", report.import_id))
    assert (answer["propertiesRestored"], answer["interactionsRestored"]) == (1, 1)
    assert await admin.data(query, id=property_id(house)) == before


async def test_roles(tenant: Tenant, admin: Session, sign_in: SignIn, imported: list[str]) -> None:
    analyst = sign_in(tenant, admin.user_id, Role.ANALYST)
    viewer = sign_in(tenant, admin.user_id, Role.VIEWER)
    assert (await analyst.data(LIST))["imports"]["totalCount"] == 2
    assert (await viewer.error(LIST))["code"] == "FORBIDDEN"
    node = "query ($id: ID!) { node(id: $id) { ... on Import { source } } }"
    assert (await viewer.error(node, id=imported[0]))["code"] == "FORBIDDEN"
    assert (await analyst.data(node, id=imported[0]))["node"] == {"source": "houses.csv"}
    for session in (analyst, viewer):
        (error,) = (await undo(session, imported[1]))["errors"]
        assert error["code"] == "FORBIDDEN"


async def test_a_large_import_is_undone_by_the_command(
    admin: Session, imported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutations, "UNDO_LIMIT", 2)
    answer = await undo(admin, imported[0])
    (error,) = answer["errors"]
    assert error["code"] == "INVALID_INPUT"
    assert "run `twin import undo --tenant" in error["message"]
    assert answer["import"] is None
