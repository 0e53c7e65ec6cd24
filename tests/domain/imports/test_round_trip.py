"""Whatever the rules allow comes out of the database as it went into the file."""

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.canonical import identifier, value_of
from domain.core.database import Database
from domain.core.outcome import Outcome
from domain.imports.missing import DeletionLimit
from domain.imports.properties import import_properties
from domain.imports.report import ImportReport
from domain.imports.sources import FileSource
from domain.properties.input import PROPERTY_COLUMNS, PropertyInput
from domain.properties.table import Property
from domain.properties.upsert import STAMPED, upsert
from domain.tenants.tenants import Tenant
from tests.drawing import few


def number(low: float, high: float) -> SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200
).map(str.strip)
fractions = number(0, 1)
VALUES: dict[str, SearchStrategy[Any]] = {
    "latitude": number(-90, 90),
    "longitude": number(-180, 180),
    "property_type": st.sampled_from(PropertyType),
    "listing_status": st.sampled_from(ListingStatus),
    "listing_price": number(0, 1e12),
    "estimated_value": number(0, 1e12),
    "cap_rate": number(-1, 1),
    "cash_on_cash_return": number(-100, 100),
    "bedrooms": st.integers(0, 10_000),
    "bathrooms": number(0, 10_000),
    "square_feet": number(0, 1e11),
    "lot_square_feet": number(0, 1e11),
    "year_built": st.integers(1000, 2200),
    "days_on_market": st.integers(0, 100_000),
    "condition_score": fractions,
    "renovation_needed": st.booleans(),
    "listed_at": st.datetimes(
        datetime(1900, 1, 2),
        datetime(2199, 12, 30),
        timezones=st.timezones(),
        allow_imaginary=False,
    ),
    "confidence": fractions,
}
items = st.fixed_dictionaries(
    # A row that holds a sentence and nothing else is a remark.
    {
        "external_id": texts.filter(
            lambda text: value_of(identifier(text)) and len(text.split()) < 4
        )
    },
    optional={
        name: VALUES.get(name, texts.map(lambda text: text or None)) | st.none()
        for name in PROPERTY_COLUMNS[1:]
    },
).map(PropertyInput.model_validate)
batches = st.lists(items, max_size=5, unique_by=lambda item: item.external_id)


def as_csv(batch: list[PropertyInput]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, PROPERTY_COLUMNS)
    writer.writeheader()
    writer.writerows(item.model_dump() for item in batch)
    return file.getvalue().encode()


def as_json_lines(batch: list[PropertyInput]) -> bytes:
    rows = (item.model_dump(mode="json", exclude_unset=True) for item in batch)
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode() or b"\n"


@pytest.mark.parametrize("name", ["file.csv", "file.jsonl"])
@few(40)
@given(batch=batches.filter(bool))
async def test_file_to_database(
    database: Database, tenant: Tenant, tmp_path: Path, name: str, batch: list[PropertyInput]
) -> None:
    path = tmp_path / name
    path.write_bytes(as_csv(batch) if name == "file.csv" else as_json_lines(batch))
    async with database.work(tenant.id) as work:
        report: ImportReport = await import_properties(
            work,
            FileSource(path),
            delete_missing=True,
            delete_at_most=DeletionLimit(100, percent=True),
        )
        assert report.valid == len(batch), report.lines()
        # A full file written from the same rows through the API is what is there already.
        results = await upsert(work, batch)
        assert {result.outcome for result in results} == {Outcome.UNCHANGED}
    async with database.work(tenant.id) as work:
        for item, result in zip(batch, results, strict=True):
            found = await work.session.get(Property, (tenant.id, result.property_id))
            assert found is not None
            for column in PROPERTY_COLUMNS if name == "file.csv" else item.model_fields_set:
                assert getattr(found, column) == getattr(item, column), column
            held = {column for column in STAMPED if getattr(found, column) is not None}
            assert found.provenance.keys() == held
