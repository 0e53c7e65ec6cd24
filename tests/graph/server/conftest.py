"""Somebody with a token."""

import pytest

from domain.core.database import Database
from domain.tenants.tenants import Tenant
from tests.factories import add_user
from tests.graph.conftest import Session, SignIn


@pytest.fixture
async def analyst(tenant: Tenant, database: Database, sign_in: SignIn) -> Session:
    """An analyst of a fresh tenant."""
    async with database.work(tenant.id) as work:
        user = await add_user(work)
    return sign_in(tenant, user.id)
