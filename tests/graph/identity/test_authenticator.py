"""From the header to a user or service of a tenant, and for how long that is believed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.contract.vocabulary import Role
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.members import members
from domain.members.members import MemberInput
from domain.tenants.tenants import Tenant
from domain.users.users import User
from graph.identity import Authenticator, ClaimNames, IdentityConfig, authenticator, mint
from graph.identity.authenticator import RECHECKED_AFTER
from graph.identity.keys import MAX_AGE
from tests.factories import add_user
from tests.graph.identity.conftest import Clock, IssuerServer, SigningKey, ec_key, until

SECRET = "s" * 32
MINUTE = timedelta(minutes=1)


@pytest.fixture
def own(database: Database, clock: Clock) -> Authenticator:
    """It trusts the secret."""
    return Authenticator(IdentityConfig(SECRET), database, clock)


@pytest.fixture
async def trusting(
    server: IssuerServer, database: Database, clock: Clock
) -> AsyncIterator[Authenticator]:
    """It trusts the issuer."""
    found = Authenticator(IdentityConfig(issuer=server.issuer()), database, clock)
    yield found
    await found.close()


@pytest.fixture
async def ann(tenant: Tenant, database: Database) -> User:
    async with database.work(tenant.id) as work:
        return await add_user(work, external_id="auth0|ann", email="ann@example.com")


def token(tenant: Tenant, user_id: UUID, *roles: Role, lifetime: timedelta = MINUTE) -> str:
    return "Bearer " + mint(SECRET, tenant.id, user_id, roles, lifetime)


async def refusal(asked: Authenticator, header: str) -> str:
    with pytest.raises(DomainError) as refused:
        await asked.authenticate(header)
    assert refused.value.code == "UNAUTHENTICATED"
    return refused.value.message


async def change(database: Database, tenant: Tenant, **values: Any) -> None:
    async with database.work(tenant.id) as work:
        await members.upsert(work, [MemberInput(external_id="auth0|ann", **values)])


async def test_users_are_known_by_what_the_issuer_calls_them(
    trusting: Authenticator, server: IssuerServer, rsa_one: SigningKey, tenant: Tenant,
    other_tenant: Tenant, ann: User,
) -> None:  # fmt: skip
    for tenant_name in (tenant.slug, str(tenant.id), str(tenant.id).upper()):
        for name in ("auth0|ann", str(ann.id)):
            said = server.claims(tenant=tenant_name, sub=name)
            principal = await trusting.authenticate(f"Bearer {rsa_one.sign(said)}")
            assert (principal.tenant_id, principal.user_id) == (tenant.id, ann.id)
            assert (principal.role, principal.operations) == (Role.ANALYST, None)
            assert principal.expires_at == said["exp"].replace(microsecond=0)
    for changes, says in (
        ({"tenant": other_tenant.slug}, "user does not exist"),
        ({"tenant": "nowhere"}, "tenant is unknown"),
        ({"tenant": str(uuid4())}, "tenant is unknown"),
        ({"sub": "ann@example.com"}, "user does not exist"),
        ({"sub": str(uuid4())}, "user does not exist"),
    ):
        said = server.claims(**({"tenant": tenant.slug, "sub": "auth0|ann"} | changes))
        assert says in await refusal(trusting, f"Bearer {rsa_one.sign(said)}")


async def test_users_may_be_known_by_a_verified_email(
    server: IssuerServer, database: Database, rsa_one: SigningKey, tenant: Tenant, ann: User
) -> None:
    issuer = server.issuer(claims=ClaimNames(user="email"))
    asked = Authenticator(IdentityConfig(issuer=issuer), database)
    said = server.claims(tenant=tenant.slug, email="Ann@Example.com", email_verified=True)
    assert (await asked.authenticate(f"Bearer {rsa_one.sign(said)}")).user_id == ann.id
    # Who could choose an e-mail address must not become the bearer of an external id.
    said["email"] = "auth0|ann"
    assert "does not exist" in await refusal(asked, f"Bearer {rsa_one.sign(said)}")


async def test_a_token_without_a_role_has_its_users(
    own: Authenticator, database: Database, clock: Clock, tenant: Tenant, ann: User
) -> None:
    header = token(tenant, ann.id)
    assert (await own.authenticate(header)).role is Role.ANALYST
    await change(database, tenant, role=Role.VIEWER)
    clock.now += RECHECKED_AFTER
    assert (await own.authenticate(header)).role is Role.VIEWER


@pytest.mark.parametrize(
    ("named", "stored", "in_force"),
    [
        (Role.ADMIN, Role.VIEWER, Role.VIEWER),
        (Role.ADMIN, Role.ANALYST, Role.ANALYST),
        (Role.VIEWER, Role.ADMIN, Role.VIEWER),
        (Role.ANALYST, Role.ADMIN, Role.ANALYST),
        (Role.ADMIN, Role.ADMIN, Role.ADMIN),
    ],
)
async def test_the_lesser_of_the_tokens_and_the_users_role_is_in_force(
    own: Authenticator, database: Database, tenant: Tenant, ann: User,
    named: Role, stored: Role, in_force: Role,
) -> None:  # fmt: skip
    async with database.work(tenant.id) as work:
        await add_user(work, role=Role.ADMIN)
    await change(database, tenant, role=stored)
    assert (await own.authenticate(token(tenant, ann.id, named))).role is in_force


async def test_who_is_deactivated_or_deleted_is_out_soon(
    own: Authenticator, database: Database, clock: Clock, tenant: Tenant, ann: User
) -> None:
    header = token(tenant, ann.id)
    first = await own.authenticate(header)
    await change(database, tenant, active=False)
    clock.now += RECHECKED_AFTER - 1
    assert await own.authenticate(header) is first
    clock.now += 1
    assert "was deactivated" in await refusal(own, header)
    # A refusal is not kept.
    await change(database, tenant, active=True)
    assert (await own.authenticate(header)).user_id == ann.id
    async with database.work(tenant.id) as work:
        await members.remove(work, ann.id)
    clock.now += RECHECKED_AFTER
    assert "does not exist" in await refusal(own, header)


async def test_a_token_is_not_kept_beyond_its_end(
    own: Authenticator, clock: Clock, tenant: Tenant, ann: User
) -> None:
    skew = IdentityConfig(SECRET).clock_skew
    header = token(tenant, ann.id, lifetime=timedelta(seconds=4) - skew)
    await own.authenticate(header)
    assert next(iter(own._known.values())).until < clock.now + 5


async def test_as_many_as_fit_are_kept(
    own: Authenticator, database: Database, tenant: Tenant, ann: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(authenticator, "MAX_KNOWN", 2)
    headers = [token(tenant, ann.id, lifetime=MINUTE * n) for n in (1, 2, 3)]
    first, second = [await own.authenticate(header) for header in headers[:2]]
    assert await own.authenticate(headers[0]) is first
    await own.authenticate(headers[2])
    assert await own.authenticate(headers[0]) is first
    assert await own.authenticate(headers[1]) is not second
    assert not any(header.encode() in key for header in headers for key in own._known)


async def test_what_an_old_key_signed_is_forgotten_with_it(
    trusting: Authenticator, server: IssuerServer, rsa_one: SigningKey, clock: Clock,
    tenant: Tenant, ann: User,
) -> None:  # fmt: skip
    said = server.claims(tenant=tenant.slug, sub=str(ann.id))
    header = f"Bearer {rsa_one.sign(said)}"
    await trusting.authenticate(header)
    new = ec_key("ec-2")
    server.publish(new)
    clock.now += MAX_AGE + 1
    await trusting.authenticate(header)
    await until(lambda: trusting._keys.generation == 2)
    assert "does not publish" in await refusal(trusting, header)
    assert (await trusting.authenticate(f"Bearer {new.sign(said)}")).user_id == ann.id


async def test_a_service_has_no_user(own: Authenticator, tenant: Tenant) -> None:
    def signed(*roles: Role) -> str:
        return "Bearer " + mint(SECRET, tenant.id, "crm", roles, MINUTE, operations=["properties"])

    principal = await own.authenticate(signed(Role.ANALYST))
    assert (principal.tenant_id, principal.user) == (tenant.id, None)
    assert (principal.role, principal.operations) == (Role.ANALYST, frozenset({"properties"}))
    assert principal.expires_at > datetime.now(UTC)
    assert "must name its role" in await refusal(own, signed())


async def test_a_token_may_last_as_long_as_dates_do(
    own: Authenticator, tenant: Tenant, ann: User
) -> None:
    until_9999 = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - datetime.now(UTC)
    principal = await own.authenticate(token(tenant, ann.id, lifetime=until_9999))
    assert principal.expires_at.year == 9999
