"""Importing a text as a file, each time in a unit of work of its own."""

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from domain.core.database import Database
from domain.imports.interactions import import_interactions
from domain.imports.options import ImportOptions
from domain.imports.properties import import_properties
from domain.imports.report import ImportReport
from domain.imports.sources import FileSource
from domain.properties.table import Property
from domain.tenants.tenants import Tenant

Load = Callable[..., Awaitable[ImportReport]]


def _arguments(path: Path, given: dict[str, Any]) -> tuple[FileSource, ImportOptions]:
    """The file and how to read it, out of a test's keywords."""
    names = ImportOptions.__dataclass_fields__
    options = {name: given.pop(name) for name in list(given) if name in names}
    return FileSource(path, given.pop("encoding", None)), ImportOptions(**options)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes, str], Path]:
    def write(content: str | bytes, name: str) -> Path:
        data = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def load(database: Database, tenant: Tenant, write: Callable[..., Path]) -> Load:
    """Import properties from a text."""

    async def load(
        content: str | bytes, name: str = "file.csv", *, into: Tenant = tenant, **options: Any
    ) -> ImportReport:
        async with database.work(into.id) as work:
            return await import_properties(
                work, *_arguments(write(content, name), options), **options
            )

    return load


@pytest.fixture
def load_acts(database: Database, tenant: Tenant, write: Callable[..., Path]) -> Load:
    """Import interactions from a text."""

    async def load(
        content: str | bytes, name: str = "file.csv", *, into: Tenant = tenant, **options: Any
    ) -> ImportReport:
        async with database.work(into.id) as work:
            return await import_interactions(
                work, *_arguments(write(content, name), options), **options
            )

    return load


@pytest.fixture
def stored(database: Database, tenant: Tenant) -> Callable[..., Awaitable[dict[str, Property]]]:
    """The tenant's properties by external id."""

    async def stored(of: Tenant = tenant) -> dict[str, Property]:
        async with database.work(of.id) as work:
            found = await work.session.scalars(select(Property))
            return {one.external_id: one for one in found}

    return stored
