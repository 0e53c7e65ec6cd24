"""Commands for who is in the database: tenants, users and their tokens."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

import settings
from cli.console import JsonOption, say, say_json, table
from cli.lazy import group
from cli.session import TenantOption, read_in_tenant, read_list, run_in_tenant, run_on_database
from domain.contract.vocabulary import Role
from domain.users import quick_lists

if TYPE_CHECKING:
    from domain.core.database import Database
    from domain.core.work import Work
    from runtime import Services

tenants = group("The firms on this server.")
users = group("The members of a tenant.")


@tenants.command("create")
def create_tenant(
    slug: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens.")],
    name: Annotated[str | None, typer.Option(help="The slug if not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Add a tenant."""

    async def body(database: "Database", _: "Services") -> dict[str, Any]:
        from domain.tenants import tenants

        async with database.work(uuid4()) as work:
            made = await tenants.create(work, slug, name)
            await work.session.refresh(made, ["created_at"])
        return {field: getattr(made, field) for field in ("id", "slug", "name", "created_at")}

    made = run_on_database(body)
    if as_json:
        say_json(made)


@tenants.command("list")
def list_tenants(as_json: JsonOption = False) -> None:
    """Print the slug and name of each tenant."""
    found = read_list(quick_lists.tenants)
    if as_json:
        say_json(found)
    else:
        table(("slug", "name"), ((tenant["slug"], tenant["name"]) for tenant in found))


@tenants.command("policy")
def policy(
    tenant: TenantOption,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", help="RULE=VALUE, or RULE= for the default; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a tenant's policy, after setting the given rules.

    The rules are for training, gates, drift, and how long versions and changes are kept.
    """
    wanted = dict(_rule(one) for one in given or ())

    async def body(work: "Work", _: "Services") -> dict[str, float]:
        from domain.tenants import policies

        found = await policies.change(work, wanted) if wanted else await policies.get(work)
        return policies.to_json(found)

    found = (run_in_tenant if wanted else read_in_tenant)(tenant, body)
    if as_json:
        say_json(found)
    else:
        table(("rule", "value"), ((name, f"{value:g}") for name, value in found.items()))


def _rule(given: str) -> tuple[str, float | None]:
    name, equals, value = given.partition("=")
    try:
        if equals:
            return name, float(value) if value else None
    except ValueError:
        pass
    raise typer.BadParameter(f"{given!r}: write RULE=NUMBER", param_hint="--set")


@users.command("list")
def list_users(tenant: TenantOption, as_json: JsonOption = False) -> None:
    """Print the external id, role, name and email of each user."""
    found = read_list(lambda connection: quick_lists.users(connection, tenant))
    if as_json:
        say_json(found)
        return
    columns = ("external id", "role", "name", "email")
    table(
        columns,
        (
            (user["external_id"], user["role"], user["name"] or None, user["email"] or None)
            for user in found
        ),
    )


_USER = (
    "id", "external_id", "role", "name", "email", "simulated", "created_at", "deactivated_at",
)  # fmt: skip


@users.command("upsert")
def upsert_user(
    tenant: TenantOption,
    external_id: Annotated[str, typer.Argument(help="The id in the tenant's own systems.")],
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    name: Annotated[str | None, typer.Option(help="Name.")] = None,
    role: Annotated[
        Role | None, typer.Option(help="Role; a new user without one is a viewer.")
    ] = None,
    active: Annotated[bool | None, typer.Option(help="Whether it may sign in.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Create or change a user: the way to a tenant's first admin."""
    given = {"email": email, "name": name, "role": role, "active": active}
    said = {field: value for field, value in given.items() if value is not None}

    async def body(work: "Work", _: "Services") -> dict[str, Any]:
        from pydantic import ValidationError

        from domain.core.errors import invalid
        from domain.core.input_rules import explain
        from domain.members import members

        try:
            item = members.MemberInput(external_id=external_id, **said)
        except ValidationError as error:
            detail = error.errors()[0]
            raise invalid(f"{detail['loc'][0]} {detail['input']!r}: {explain(detail)}") from None
        (written,) = await members.upsert(work, [item])
        await work.session.refresh(written.user)
        shown = {field: getattr(written.user, field) for field in _USER}
        return shown | {"outcome": written.outcome.lower()}

    written = run_in_tenant(tenant, body)
    if as_json:
        say_json(written)
    else:
        columns = ("external_id", "role", "outcome")
        table([name.replace("_", " ") for name in columns], [[written[name] for name in columns]])


def token(
    tenant: TenantOption,
    user: Annotated[str | None, typer.Option(help="Email or external id.")] = None,
    service: Annotated[
        str | None, typer.Option(help="Name of a service, instead of a user.")
    ] = None,
    operations: Annotated[
        str | None, typer.Option(help="Root fields that the service may call, separated by commas.")
    ] = None,
    role: Annotated[Role, typer.Option(help="Role of the service.")] = Role.ANALYST,
    hours: Annotated[
        float, typer.Option(min=0.01, max=87_600, help="Hours until the token expires.")
    ] = 24.0,
    as_json: JsonOption = False,
) -> None:
    """Print a bearer token for a user or for a service."""
    if (user is None) == (service is None):
        raise typer.BadParameter("give --user or --service, one of them")
    if (service is None) != (operations is None):
        raise typer.BadParameter("--service and --operations go together")
    if settings.load().oidc_issuer is not None:
        raise settings.SettingsError("OIDC_ISSUER is set: tokens come from there alone")
    allowed = None if operations is None else _root_fields(operations)

    async def body(work: "Work", found: "Services") -> str:
        from domain.users import users
        from graph.identity import mint

        secret, lifetime = found.jwt_secret, timedelta(hours=hours)
        if service is not None:
            return mint(secret, work.tenant_id, service, [role], lifetime, operations=allowed)
        member = await users.find(work, user or "")
        # Without a role of its own the token follows what an admin makes of the user.
        return mint(secret, work.tenant_id, member.id, [], lifetime)

    signed = read_in_tenant(tenant, body)
    if as_json:
        import jwt

        claims = jwt.decode(signed, options={"verify_signature": False})
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        say_json({"token": signed, "expires_at": expires_at})
    else:
        say(signed)


def _root_fields(listed: str) -> list[str]:
    from graph.core.strawberry_internals import graphql_schema
    from graph.schema import build_schema

    schema = graphql_schema(build_schema())
    kinds = (schema.query_type, schema.mutation_type, schema.subscription_type)
    known = {name for kind in kinds if kind for name in kind.fields}
    wanted = [name.strip() for name in listed.split(",")]
    for name in wanted:
        if name not in known:
            raise typer.BadParameter(
                f"{name!r} is no root field; use some of: {', '.join(sorted(known))}",
                param_hint="--operations",
            )
    return wanted
