from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from domain.contract.vocabulary import InteractionKind, Role
from domain.core.database import Database
from domain.core.work import Job
from domain.imports.report import ImportReport, StrictImportError
from domain.interactions.interactions import Interaction
from domain.jobs.index_outbox import Marked
from domain.properties.table import Property
from domain.tenants.tenants import Tenant
from domain.users.users import User
from tests.factories import take_marks

Load = Callable[..., Awaitable[ImportReport]]
Stored = Callable[..., Awaitable[dict[str, Property]]]

HEADER = "property,user,kind,occurred_at\n"


@pytest.fixture
async def houses(load: Load, enqueued: list[Job]) -> None:
    await load("external_id\nA\nB\nC\n")
    enqueued.clear()


@pytest.fixture
def people(database: Database, tenant: Tenant) -> Callable[[], Awaitable[dict[str, User]]]:
    async def people() -> dict[str, User]:
        async with database.work(tenant.id) as work:
            return {user.external_id: user for user in await work.session.scalars(select(User))}

    return people


@pytest.fixture
async def ann(database: Database, tenant: Tenant) -> User:
    async with database.work(tenant.id) as work:
        user = User(
            tenant_id=work.tenant_id, external_id="ann", email="Ann@Example.com", role=Role.ANALYST
        )
        work.session.add(user)
        await work.session.flush()
        return user


@pytest.fixture
def acts(database: Database, tenant: Tenant) -> Callable[..., Awaitable[list[Interaction]]]:
    """The tenant's interactions, oldest first."""

    async def acts(of: Tenant = tenant) -> list[Interaction]:
        async with database.work(of.id) as work:
            query = select(Interaction).order_by(Interaction.occurred_at, Interaction.kind)
            return list(await work.session.scalars(query))

    return acts


ActsOf = Callable[..., Awaitable[list[Interaction]]]
People = Callable[[], Awaitable[dict[str, User]]]


@pytest.mark.usefixtures("houses")
async def test_users_by_external_id_or_email(
    database: Database, tenant: Tenant, load_acts: Load, acts: ActsOf, ann: User, stored: Stored
) -> None:
    await take_marks(database, tenant)
    report = await load_acts(
        HEADER + "A,ann,view,2024-05-01\nA,ANN@example.com,save,2024-05-02T10:00:00+02:00\n"
        "B,ann,DEAL,2024-05-03\n"
    )
    assert (report.read, report.inserted, report.skipped) == (3, 3, 0)
    done = await acts()
    assert [(act.user_id, act.kind, act.occurred_at) for act in done] == [
        (ann.id, InteractionKind.VIEW, datetime(2024, 5, 1, tzinfo=UTC)),
        (ann.id, InteractionKind.SAVE, datetime(2024, 5, 2, 8, tzinfo=UTC)),
        (ann.id, InteractionKind.DEAL, datetime(2024, 5, 3, tzinfo=UTC)),
    ]
    found = await stored()
    assert [found[name].engagement for name in "ABC"] == [4, 10, 0]
    assert [found[name].owners for name in "ABC"] == [0, 1, 0]
    assert await take_marks(database, tenant) == {
        (Marked.PROPERTY, found["B"].id),
        (Marked.USER, ann.id),
    }


@pytest.mark.usefixtures("houses", "ann")
async def test_the_same_act_is_one(load_acts: Load, acts: ActsOf, enqueued: list[Job]) -> None:
    content = HEADER + "A,ann,VIEW,2024-05-01\nA,ann,VIEW,2024-05-01T00:00:00Z\n"
    first = await load_acts(content)
    before = await acts()
    enqueued.clear()
    again = await load_acts(content + "A,ann,VIEW,2024-05-02\n")
    assert (first.inserted, first.unchanged) == (1, 1)
    assert (again.inserted, again.unchanged) == (1, 2)
    assert before[0].id in {act.id for act in await acts()}
    enqueued.clear()
    assert (await load_acts(content)).unchanged == 2
    assert enqueued == []


@pytest.mark.usefixtures("houses", "ann")
async def test_of_thumbs_the_latest_counts(load_acts: Load, acts: ActsOf, stored: Stored) -> None:
    report = await load_acts(
        "property,user,kind,occurred_at,reason\nA,ann,THUMBS_DOWN,2024-05-02,too dear\n"
        "A,ann,THUMBS_UP,2024-05-01,nice\nB,ann,THUMBS_UP,2024-05-01,\n"
    )
    assert (report.inserted, report.updated, report.unchanged) == (2, 0, 1)
    opinions = {act.property_id: act for act in await acts()}
    found = await stored()
    assert opinions[found["A"].id].kind is InteractionKind.THUMBS_DOWN
    assert opinions[found["A"].id].reason == "too dear"
    assert [found[name].engagement for name in "AB"] == [0, 6]

    report = await load_acts(
        HEADER + "A,ann,THUMBS_UP,2024-05-01\nA,ann,THUMBS_UP,2024-05-03\n"
        "B,ann,THUMBS_DOWN,2024-04-01\n"
    )
    assert (report.inserted, report.updated, report.unchanged) == (0, 1, 2)
    opinions = {act.property_id: act for act in await acts()}
    found = await stored()
    assert len(opinions) == 2
    assert opinions[found["A"].id].kind is InteractionKind.THUMBS_UP
    assert opinions[found["A"].id].reason is None
    assert opinions[found["B"].id].kind is InteractionKind.THUMBS_UP
    assert [found[name].engagement for name in "AB"] == [6, 6]


@pytest.mark.usefixtures("houses", "ann")
async def test_bad_rows(load_acts: Load, people: People, enqueued: list[Job]) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    soon = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    content = (
        f"{HEADER}A,ann,LOOK,2024-05-01\nA,ann,VIEW,yesterday\nA,ann,VIEW,\n,ann,VIEW,2024-05-01\n"
        f"Z,ann,VIEW,2024-05-01\nA,bob,VIEW,2024-05-01\nZ,bob,VIEW,2024-05-01\n"
        f"A,ann,DEAL,{ahead}\nA,ann,DEAL,{soon}\n"
    )
    report = await load_acts(content)
    assert (report.read, report.inserted, report.skipped) == (9, 1, 8)
    kinds = "VIEW, SAVE, OUTREACH, DEAL, THUMBS_UP, THUMBS_DOWN, DISMISS"
    no_property = "no such property; import the properties first"
    no_user = "no such user; --create-users creates it"
    assert [(one.line, one.column, one.value, one.reason) for one in report.problems] == [
        (2, "kind", "LOOK", f"use one of {kinds}"),
        (
            3,
            "occurred_at",
            "yesterday",
            "not an ISO 8601 time; write e.g. 2024-05-01 or 2024-05-01T09:30:00Z",
        ),
        (4, "occurred_at", "", "is missing, and every row needs it"),
        (5, "property", "", "is missing, and every row needs it"),
        (6, "property", "Z", no_property),
        (7, "user", "bob", no_user),
        (8, "property", "Z", no_property),
        (8, "user", "bob", no_user),
        (9, "occurred_at", ahead, "lies in the future"),
    ]
    assert report.by_reason[f"property: {no_property}"] == 2

    enqueued.clear()
    with pytest.raises(StrictImportError, match="7 of 9 rows are bad"):
        await load_acts(content, strict=True, create_users=True)
    assert (await people()).keys() == {"ann"}
    assert enqueued == []


@pytest.mark.usefixtures("houses", "ann")
async def test_create_users(load_acts: Load, people: People, acts: ActsOf) -> None:
    report = await load_acts(
        "property,user,kind,occurred_at,simulated\nA,bob,VIEW,2024-05-01,\n"
        "A,Eve@x.com,VIEW,2024-05-01,true\nB,eve@x.com,VIEW,2024-05-02,true\n"
        "A,mix,VIEW,2024-05-03,true\nA,mix,VIEW,2024-05-04,false\nZ,nobody,VIEW,2024-05-01,\n"
        "A,ann@example.com,VIEW,2024-05-01,\n",
        create_users=True,
    )
    assert (report.inserted, report.skipped, report.users_created) == (6, 1, 3)
    found = await people()
    assert found.keys() == {"ann", "bob", "Eve@x.com", "mix"}
    assert {name: user.email for name, user in found.items()} == {
        "ann": "Ann@Example.com", "bob": None, "Eve@x.com": "Eve@x.com", "mix": None,
    }  # fmt: skip
    assert {name: user.simulated for name, user in found.items()} == {
        "ann": False, "bob": False, "Eve@x.com": True, "mix": False,
    }  # fmt: skip
    assert {name: user.role for name, user in found.items()} == {
        "ann": Role.ANALYST, "bob": Role.VIEWER, "Eve@x.com": Role.VIEWER, "mix": Role.VIEWER,
    }  # fmt: skip
    assert sum(act.simulated for act in await acts()) == 3
    assert sum(act.user_id == found["Eve@x.com"].id for act in await acts()) == 2
    assert "3 users created" in report.lines()


@pytest.mark.usefixtures("houses", "ann")
async def test_a_role_is_given_to_created_users_alone(load_acts: Load, people: People) -> None:
    await load_acts(
        HEADER + "A,ann,VIEW,2024-05-01\nA,bob,VIEW,2024-05-01\n",
        create_users=True,
        role=Role.ADMIN,
    )
    assert {name: user.role for name, user in (await people()).items()} == {
        "ann": Role.ANALYST, "bob": Role.ADMIN,
    }  # fmt: skip


@pytest.mark.usefixtures("houses")
async def test_map_set_and_json_lines(load_acts: Load, acts: ActsOf, people: People) -> None:
    report = await load_acts(
        '{"house": "A", "who": 17, "when": "2024-05-01T00:00:00"}\n',
        "acts.jsonl.gz",
        mapping={"property": "house", "user": "who", "occurred_at": "when"},
        constants={"kind": "view", "simulated": "true"},
        create_users=True,
    )
    assert report.inserted == 1
    (act,) = await acts()
    assert (act.kind, act.simulated) == (InteractionKind.VIEW, True)
    assert (await people())["17"].simulated


@pytest.mark.usefixtures("houses", "ann")
async def test_other_tenants_properties_and_users_do_not_exist(
    load_acts: Load, acts: ActsOf, load: Load, other_tenant: Tenant
) -> None:
    report = await load_acts(HEADER + "A,ann,VIEW,2024-05-01\n", into=other_tenant)
    assert (report.inserted, report.skipped) == (0, 1)
    assert {one.column for one in report.problems} == {"property", "user"}
    await load("external_id\nA\n", into=other_tenant)
    report = await load_acts(
        HEADER + "A,ann@example.com,VIEW,2024-05-01\nB,ann,VIEW,2024-05-01\n",
        into=other_tenant,
        create_users=True,
    )
    assert (report.inserted, report.users_created, report.skipped) == (1, 1, 1)
    assert len(await acts(other_tenant)) == 1
    assert await acts() == []


@pytest.mark.usefixtures("houses")
async def test_an_external_id_wins_over_an_email(
    database: Database, tenant: Tenant, load_acts: Load, acts: ActsOf, ann: User
) -> None:
    async with database.work(tenant.id) as work:
        namesake = User(tenant_id=tenant.id, external_id="ann@example.com", role=Role.VIEWER)
        work.session.add(namesake)
    await load_acts(
        HEADER + "A,ann@example.com,VIEW,2024-05-01\nA,ANN@example.com,VIEW,2024-05-02\n"
    )
    assert [act.user_id for act in await acts()] == [namesake.id, ann.id]


async def test_many_acts_mark_everything(
    database: Database, tenant: Tenant, load: Load, load_acts: Load, stored: Stored
) -> None:
    numbers = range(5001)
    await load("external_id\n" + "".join(f"{number}\n" for number in numbers))
    await take_marks(database, tenant)
    report = await load_acts(
        HEADER + "".join(f"{number},u{number},SAVE,2024-05-01\n" for number in numbers),
        create_users=True,
    )
    assert (report.inserted, report.users_created) == (5001, 5001)
    assert await take_marks(database, tenant) == {(Marked.EVERYTHING, tenant.id)}
    assert {one.engagement for one in (await stored()).values()} == {3}
