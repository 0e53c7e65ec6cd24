"""The migrations lead to the tables that the models describe, and back."""

import asyncio
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import runtime
from embedded import ensure
from settings import Settings


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> runtime.Services:
    """Services whose database holds no table."""
    data_dir: Path = tmp_path_factory.mktemp("empty")
    ensure(data_dir, redis=False, qdrant=False)
    return runtime.services(
        Settings(_env_file=None, data_dir=data_dir, redis_url="redis://-", qdrant_url="http://-")
    )


def tables(found: runtime.Services) -> set[str]:
    async def read() -> set[str]:
        assert found.migration_database_url is not None
        engine = create_async_engine(found.migration_database_url)
        async with engine.connect() as connection:
            names = await connection.scalars(
                text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            )
            result = set(names)
        await engine.dispose()
        return result

    return asyncio.run(read())


def test_up_down_and_up_again(empty: runtime.Services) -> None:
    runtime.migrate(empty)
    full = tables(empty)
    assert {"tenants", "properties", "interactions"} < full
    runtime.migrate(empty, "base")
    assert tables(empty) == {"alembic_version"}
    runtime.migrate(empty)
    assert tables(empty) == full


def test_models_and_migrations_agree(empty: runtime.Services) -> None:
    runtime.migrate(empty)
    config = Config(runtime.ALEMBIC_INI)
    config.attributes["services"] = empty
    command.check(config)
