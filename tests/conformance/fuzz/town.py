"""Two trained tenants in a folder: one to attack, and one that must not notice."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from graphql import build_schema

import runtime
from domain.contract.vocabulary import Role
from domain.tenants import tenants
from domain.users import users
from graph.core.nodes import global_id
from graph.identity import mint
from settings import Settings
from tests.conformance.fuzz.messages import World
from tests.factories import Town, build_town, train

SCHEMA = Path(__file__).parents[3] / "schema.graphql"
SESSION = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Towns:
    """The attacker's world, without cursors, and a token of the bystander's."""

    world: World
    bystander: str


def build_towns(data_dir: Path) -> Towns:
    """Start the services in the folder, and fill them."""
    settings = Settings(_env_file=None, data_dir=data_dir)
    found = runtime.services(settings)
    runtime.migrate(found)
    return asyncio.run(_fill(settings, found))


async def _fill(settings: Settings, found: runtime.Services) -> Towns:
    async with runtime.connect(settings, found) as rt:
        towns = [await _town(rt, name) for name in ("attacked", "bystander")]
    return describe(found.jwt_secret, *towns)


async def _town(rt: runtime.Runtime, name: str) -> Town:
    tenant_id = uuid4()
    async with rt.database.work(tenant_id) as work:
        tenant = await tenants.create(work, name)
    town = await build_town(rt.database, tenant)
    await train(rt, tenant)
    async with rt.database.work(tenant_id) as work:
        # Tokens of all roles can only narrow what their users may do.
        for user in await users.list_all(work):
            user.role = Role.ADMIN
    return town


def describe(jwt_secret: str, attacked: Town, bystander: Town) -> Towns:
    """What an attacker knows of two towns."""
    users = [*attacked.southerners, *attacked.northerners]
    tokens = [
        mint(jwt_secret, attacked.tenant.id, user, [role], SESSION)
        for role, user in zip((*Role, *Role), users, strict=False)
    ]
    world = World(
        schema=build_schema(SCHEMA.read_text(encoding="utf-8")),
        tokens=tuple(tokens),
        ids={
            "Property": tuple(global_id("Property", one) for one in attacked.south),
            "User": tuple(global_id("User", one) for one in users),
        },
        foreign_ids=tuple(global_id("Property", one) for one in bystander.south),
        cursors=(),
    )
    owner = bystander.southerners[0]
    return Towns(world, mint(jwt_secret, bystander.tenant.id, owner, [Role.VIEWER], SESSION))
