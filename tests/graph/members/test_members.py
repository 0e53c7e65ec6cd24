"""Who belongs to a tenant, over the API: listing, provisioning and forgetting users."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from domain.contract.vocabulary import InteractionKind, Role
from domain.core.database import Database
from domain.core.work import Work
from domain.jobs.index_outbox import Marked
from domain.members import members
from domain.properties import table
from domain.tenants.tenants import Tenant
from domain.users.users import User
from graph.core.nodes import parse_id
from tests.factories import add_interaction, add_property, add_user, take_marks
from tests.graph.conftest import Session, SignIn, user_id

UPSERT = """mutation ($users: [UserInput!]!) { upsertUsers(input: {users: $users}) {
    results { outcome user { id externalId email name role active simulated } }
    errors { code message path } } }"""
DELETE = """mutation ($id: ID!) { deleteUser(input: {userId: $id}) {
    deletedUserId errors { code message path } } }"""
LIST = """query ($filter: UserFilter, $first: Int, $after: String, $last: Int, $before: String) {
    users(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
        totalCount edges { cursor node { externalId } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


@pytest.fixture
async def admin(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    async with database.work(tenant.id) as work:
        user = await add_user(work, external_id="root", role=Role.ADMIN, email="root@example.com")
    return sign_in(tenant, user.id, Role.ADMIN)


async def upsert(session: Session, *users: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = (await session.data(UPSERT, users=users))["upsertUsers"]
    return answer


async def refusal(session: Session, *users: dict[str, Any]) -> tuple[str, str, list[str]]:
    answer = await upsert(session, *users)
    (error,) = answer["errors"]
    assert answer["results"] == []
    return error["code"], error["message"], error["path"]


async def test_users_are_created_changed_and_left_alone(admin: Session) -> None:
    ann = {"externalId": "ann", "email": "Ann@example.com", "name": "Ann", "role": "ANALYST"}
    created, plain = (await upsert(admin, ann, {"externalId": "bob"}))["results"]
    assert created["outcome"] == plain["outcome"] == "CREATED"
    assert created["user"] == ann | {
        "id": created["user"]["id"], "active": True, "simulated": False
    }  # fmt: skip
    assert (plain["user"]["role"], plain["user"]["email"]) == ("VIEWER", None)

    (same,) = (await upsert(admin, {"externalId": "ann", "role": None, "active": None}))["results"]
    assert same == {"outcome": "UNCHANGED", "user": created["user"]}
    (changed,) = (await upsert(admin, {"externalId": "ann", "name": None, "role": "VIEWER"}))[
        "results"
    ]
    assert changed["outcome"] == "UPDATED"
    assert changed["user"] == created["user"] | {"name": None, "role": "VIEWER"}


async def test_a_user_is_deactivated_and_activated_again(
    admin: Session, tenant: Tenant, sign_in: SignIn
) -> None:
    found = (await upsert(admin, {"externalId": "ann", "active": False}))["results"][0]
    assert (found["outcome"], found["user"]["active"]) == ("CREATED", False)
    ann = sign_in(tenant, UUID(int=0), Role.ANALYST)
    again = (await upsert(admin, {"externalId": "ann", "active": False}))["results"][0]
    assert again["outcome"] == "UNCHANGED"
    back = (await upsert(admin, {"externalId": "ann", "active": True}))["results"][0]
    assert (back["outcome"], back["user"]["active"]) == ("UPDATED", True)
    assert (await ann.error("{ me { id } }"))["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(("named", "in_force"), [(Role.VIEWER, "VIEWER"), (Role.ADMIN, "ANALYST")])
async def test_me_shows_the_role_in_force(
    admin: Session, tenant: Tenant, sign_in: SignIn, named: Role, in_force: str
) -> None:
    (ann,) = (await upsert(admin, {"externalId": "ann", "role": "ANALYST"}))["results"]
    shown = ann["user"]["id"]
    session = sign_in(tenant, parse_id(shown, "User"), named)
    found = await session.data("query ($id: ID!) { me { role } user(id: $id) { role } }", id=shown)
    assert found == {"me": {"role": in_force}, "user": {"role": "ANALYST"}}


@pytest.mark.parametrize(
    ("user", "says", "path"),
    [
        ({"externalId": ""}, "is missing", ["0", "externalId"]),
        ({"externalId": "x" * 201}, "longer than 200", ["0", "externalId"]),
        ({"externalId": "a\x00"}, "zero byte", ["0", "externalId"]),
        ({"externalId": "a", "email": "nobody"}, "e-mail", ["0", "email"]),
        ({"externalId": "a", "email": "a@b@c"}, "e-mail", ["0", "email"]),
        ({"externalId": "a", "email": "a @b"}, "e-mail", ["0", "email"]),
        ({"externalId": "a", "email": "@b"}, "e-mail", ["0", "email"]),
        ({"externalId": "a", "email": "a@" + "b" * 260}, "longer than 254", ["0", "email"]),
        ({"externalId": "a", "email": "ROOT@example.com"}, "that of user 'root'", ["0", "email"]),
        ({"externalId": "root", "role": "ANALYST"}, "last active admin", ["0", "role"]),
        ({"externalId": "root", "active": False}, "last active admin", ["0", "active"]),
    ],
)  # fmt: skip
async def test_what_breaks_a_rule_changes_nothing(
    admin: Session, user: dict[str, Any], says: str, path: list[str]
) -> None:
    code, message, found = await refusal(admin, user, {"externalId": "fine"})
    assert (code, found) == ("INVALID_INPUT", ["users", *path])
    assert says in message
    assert (await admin.data(LIST))["users"]["totalCount"] == 1


async def test_items_of_one_request_do_not_collide(admin: Session) -> None:
    twice = ({"externalId": "a"}, {"externalId": "a"})
    assert (await refusal(admin, *twice))[2] == ["users", "1", "externalId"]
    same = ({"externalId": "a", "email": "x@y"}, {"externalId": "b", "email": "X@y"})
    assert (await refusal(admin, *same))[2] == ["users", "1", "email"]
    many = [{"externalId": f"user-{n}"} for n in range(101)]
    assert "at most 100" in (await refusal(admin, *many))[1]


async def test_an_admin_may_go_when_another_comes(admin: Session) -> None:
    swapped = await upsert(
        admin, {"externalId": "root", "role": "VIEWER"}, {"externalId": "new", "role": "ADMIN"}
    )
    assert [one["user"]["role"] for one in swapped["results"]] == ["VIEWER", "ADMIN"]


async def test_an_admin_lost_at_the_same_moment_is_nobodys_fault(
    admin: Session, tenant: Tenant, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_admin = members._has_admin

    async def then_lost(work: Work) -> bool:
        found = await has_admin(work)
        # As an import may, which does not wait for the lock.
        async with database.work(tenant.id) as other:
            await other.session.execute(update(User).values(role=Role.VIEWER))
        return found

    monkeypatch.setattr(members, "_has_admin", then_lost)
    code, message, path = await refusal(admin, {"externalId": "ann"})
    assert (code, path) == ("INVALID_INPUT", ["users"])
    assert "last active admin" in message


async def test_deleting_a_user_forgets_what_it_did(
    admin: Session, tenant: Tenant, database: Database
) -> None:
    async with database.work(tenant.id) as work:
        ann = await add_user(work, email="ann@example.com")
        house = await add_property(work)
        await add_interaction(work, ann.id, house.id, InteractionKind.DEAL)
        await work.session.refresh(house)
        assert (house.engagement, house.owners) == (10.0, 1)

    wanted = user_id(ann.id)
    assert (await admin.data(DELETE, id=wanted))["deleteUser"]["deletedUserId"] == wanted
    async with database.work(tenant.id) as work:
        left = await table.get(work, house.id)
        assert (left.engagement, left.owners) == (0.0, 0)
    assert (Marked.USER, ann.id) in await take_marks(database, tenant)
    (error,) = (await admin.data(DELETE, id=wanted))["deleteUser"]["errors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["userId"])
    (error,) = (await admin.data(DELETE, id=user_id(admin.user_id)))["deleteUser"]["errors"]
    assert "last active admin" in error["message"]
    assert (await admin.data("{ me { externalId } }"))["me"]["externalId"] == "root"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST])
async def test_only_admins_provision_and_viewers_do_not_list(
    tenant: Tenant, database: Database, sign_in: SignIn, role: Role
) -> None:
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    session = sign_in(tenant, user.id, role)
    assert (await refusal(session, {"externalId": "a"}))[0] == "FORBIDDEN"
    (error,) = (await session.data(DELETE, id=user_id(uuid4())))["deleteUser"]["errors"]
    assert error["code"] == "FORBIDDEN"
    if role is Role.VIEWER:
        assert (await session.error(LIST))["code"] == "FORBIDDEN"
    else:
        assert (await session.data(LIST))["users"]["totalCount"] == 1


async def test_pages_hold_everybody_once(admin: Session) -> None:
    names = [f"user-{n}" for n in range(7)]
    await upsert(admin, *({"externalId": name} for name in names))
    seen, after = [], None
    while True:
        page = (await admin.data(LIST, first=3, after=after))["users"]
        seen += [edge["node"]["externalId"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasPreviousPage"] is (len(seen) > 3)
        if not page["pageInfo"]["hasNextPage"]:
            break
        # Who comes between two pages is found at the end.
        if len(seen) == 3:
            await upsert(admin, {"externalId": "late"})
    assert (seen[0], sorted(seen[1:-1]), seen[-1]) == ("root", names, "late")
    last = (await admin.data(LIST, last=2, before=after))["users"]
    assert [edge["node"]["externalId"] for edge in last["edges"]] == seen[-3:-1]
    assert last["pageInfo"]["hasPreviousPage"]


async def names_of(session: Session, **where: Any) -> list[str]:
    page = (await session.data(LIST, first=100, filter=where))["users"]
    found = [edge["node"]["externalId"] for edge in page["edges"]]
    assert page["totalCount"] == len(found)
    return sorted(found)


async def test_users_are_found_by_what_they_are(admin: Session) -> None:
    await upsert(
        admin,
        {"externalId": "a_1", "name": "Ann Miller", "email": "ann@example.com", "role": "ANALYST"},
        {"externalId": "b%2", "name": "Bob", "email": "bob@miller.example", "active": False},
    )
    assert await names_of(admin, text="MILLER") == ["a_1", "b%2"]
    assert await names_of(admin, text="_") == ["a_1"]
    assert await names_of(admin, text="%") == ["b%2"]
    assert await names_of(admin, active=False) == ["b%2"]
    assert await names_of(admin, roles=["ADMIN", "ANALYST"]) == ["a_1", "root"]
    assert await names_of(admin, text="miller", active=True, roles=["VIEWER"]) == []
    assert await names_of(admin, roles=["ANALYST"] * 100) == ["a_1"]
    error = await admin.error(LIST, filter={"roles": ["ADMIN"] * 100_000})
    assert (error["code"], error["field"]) == ("INVALID_INPUT", ["filter", "roles"])
    for text in ("x" * 201, "a\x00"):
        error = await admin.error(LIST, filter={"text": text})
        assert (error["code"], error["field"]) == ("INVALID_INPUT", ["filter", "text"])


@pytest.mark.parametrize("cursor", ["", "x", "é", "W10=", "WyJ1c2VycyIsMSwyXQ==", "x" * 5000])
async def test_cursors_of_other_lists_are_refused(admin: Session, cursor: str) -> None:
    for name in ("after", "before"):
        error = await admin.error(LIST, **{name: cursor})
        assert (error["code"], error["field"]) == ("INVALID_INPUT", [name])
