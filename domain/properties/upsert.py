"""The one way properties are written from outside: new ones inserted, changed ones updated.

A file import stages its rows in a temporary table and the API sends its few as JSON; the same two
statements read either. An upsert that found its conflicts with ON CONFLICT DO UPDATE would lock
and stamp every row of a file; these touch only what differs.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from domain.changes.changes import Noun, Operation, record
from domain.core import clock
from domain.core.errors import invalid
from domain.core.outcome import Outcome
from domain.core.work import Work
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.properties.input import PROPERTY_COLUMNS, PropertyInput
from domain.properties.table import Property
from domain.tenants import tenants

UPSERT_LIMIT = 500
"""How many properties one call to ``upsert`` takes."""

ABOUT_THE_SOURCE = ("source_system", "confidence")
STAMPED = tuple(c for c in PROPERTY_COLUMNS if c not in ("external_id", *ABOUT_THE_SOURCE))
"""The columns whose provenance is kept."""

GIVEN = {column: 1 << position for position, column in enumerate(PROPERTY_COLUMNS)}
"""The bit of each column in ``given``, which says what a row sets; 0 is a row to be left out."""

ROW = ("line", "given", "id", "provenance", *PROPERTY_COLUMNS)
"""The columns of a source of rows: those of a file, its values' stamps, an id if it is new."""

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
_SQL_TYPES = {"line": "bigint", "given": "integer", "id": "uuid", "provenance": "jsonb"} | {
    column: Property.__table__.c[column].type.compile(dialect=_POSTGRESQL)
    for column in PROPERTY_COLUMNS
}
_RANDOM_BITS = 0xFFF << 64 | (1 << 62) - 1

RECORDED = (*PROPERTY_COLUMNS[1:], "zipcode_cut")
"""The columns whose previous values are recorded when they change."""

ROW_DEFINITION = ", ".join(f"{column} {_SQL_TYPES[column]}" for column in ROW)


@lru_cache(maxsize=1024)
def given(columns: frozenset[str]) -> int:
    """The bits of the columns that a row sets."""
    return sum(GIVEN[column] for column in columns)


def _is_given(column: str) -> str:
    return f"item.given & {GIVEN[column]} <> 0"


def _differs(column: str) -> str:
    return f"{_is_given(column)} AND item.{column} IS DISTINCT FROM existing.{column}"


_FOUND_CUT = f"({_is_given('zipcode')} AND item.zipcode_cut AND NOT existing.zipcode_cut)"


def held(item: PropertyInput) -> tuple[str, ...]:
    """The columns whose values the item has, and a stamp is due."""
    values = item.__dict__
    return tuple([column for column in STAMPED if values[column] is not None])


def stamps(
    columns: Iterable[str], source: str, confidence: float | None, observed_at: str
) -> dict[str, dict[str, Any]]:
    """The provenance of the values of those columns; ``observed_at`` is ISO 8601."""
    stamp = {"source": source, "confidence": confidence, "observed_at": observed_at}
    return dict.fromkeys(columns, stamp)


def new_ids() -> Iterator[str]:
    """Yield UUIDs of version 7, which begin with the time, as 32 hexadecimal digits.

    Rows of a file so become neighbours in the indexes, which large imports spend their time on.
    """
    while True:
        # The system's randomness is slow in small pieces.
        milliseconds, block = time.time_ns() // 1_000_000, os.urandom(10 * 1024)
        stem = milliseconds << 80 | 0x7 << 76 | 0x2 << 62
        for start in range(0, len(block), 10):
            yield f"{stem | int.from_bytes(block[start : start + 10]) & _RANDOM_BITS:032x}"


async def now(work: Work) -> str:
    """The time for stamps."""
    return (await clock.now(work)).isoformat(timespec="seconds")


def update_changed(rows: str, among: str = "true") -> str:
    """The statement that updates the properties that differ from the rows of a source.

    Only columns that are given count. A changed value gets a new stamp, one that became empty
    loses its stamp, and the others keep theirs.

    Args:
        rows: the source as SQL: a table or query with the columns of ``ROW`` and, not null,
            ``Property.zipcode_cut``.
        among: SQL that holds for the ``existing`` properties that can be meant.

    Returns:
        SQL with the parameter tenant_id. Of the rows it wrote it returns the ``id`` and what
        ``recorded`` records: the previous values of what changed, ``before``, and the previous
        ``provenance``.
    """
    values = ", ".join(
        f"{column} = CASE WHEN {_is_given(column)} THEN item.{column} ELSE existing.{column} END"
        for column in PROPERTY_COLUMNS[1:]
    )
    emptied = ", ".join(
        f"CASE WHEN {_is_given(column)} AND item.{column} IS NULL THEN '{column}' END"
        for column in STAMPED
    )
    same = ", ".join(
        f"CASE WHEN {_differs(column)} THEN NULL ELSE '{column}' END" for column in STAMPED
    )
    differs = " OR ".join(
        (*(f"({_differs(column)})" for column in PROPERTY_COLUMNS[1:]), _FOUND_CUT)
    )
    previous = ", ".join(f"'{column}', previous.{column}" for column in RECORDED)
    # A ZIP code and whether it lost its zeros are recorded together, or neither.
    zipcode = "(previous.zipcode, previous.zipcode_cut)", "(existing.zipcode, existing.zipcode_cut)"
    compared = {
        column: zipcode
        if column.startswith("zipcode")
        else (f"previous.{column}", f"existing.{column}")
        for column in RECORDED
    }
    unchanged = ", ".join(
        f"CASE WHEN {before} IS NOT DISTINCT FROM {after} THEN '{column}' END"
        for column, (before, after) in compared.items()
    )
    return f"""
        UPDATE properties AS existing
        SET {values},
            zipcode_cut = CASE WHEN {_is_given("zipcode")} THEN item.zipcode_cut OR
                (existing.zipcode_cut AND item.zipcode = existing.zipcode)
                ELSE existing.zipcode_cut END,
            provenance = (existing.provenance - ARRAY[{emptied}]) ||
                (item.provenance - ARRAY[{same}]),
            updated_at = now()
        FROM {rows} AS item, properties AS previous
        WHERE existing.tenant_id = CAST(:tenant_id AS uuid)
        AND existing.external_id = item.external_id AND {among}
        AND item.given <> 0 AND ({differs})
        AND previous.tenant_id = CAST(:tenant_id AS uuid) AND previous.id = existing.id
        RETURNING existing.id, jsonb_build_object({previous}) - ARRAY[{unchanged}] AS before,
            previous.provenance
    """  # noqa: S608  (made of column names)


def recorded(changed: str, *, import_id: str = "NULL") -> str:
    """The statement that records what ``update_changed`` overwrote.

    Args:
        changed: the name of the common table expression that it is.
        import_id: SQL for the import's id; NULL for a write of the API.
    """
    return record(Noun.PROPERTY, Operation.UPDATE, changed, import_id=import_id)


def insert_new(rows: str, among: str = "true") -> str:
    """The statement that inserts the rows of a source whose external id is new.

    It comes after ``update_changed``, which it would give all its rows to compare. The arguments
    are the same; it returns the ids of the rows it wrote.
    """
    columns = ", ".join(PROPERTY_COLUMNS)
    values = ", ".join(f"item.{column}" for column in PROPERTY_COLUMNS)
    return f"""
        INSERT INTO properties (tenant_id, id, {columns}, zipcode_cut, provenance)
        SELECT CAST(:tenant_id AS uuid), item.id, {values}, item.zipcode_cut, item.provenance
        FROM {rows} AS item
        WHERE item.given <> 0 AND NOT EXISTS (
            SELECT FROM properties AS existing
            WHERE existing.tenant_id = CAST(:tenant_id AS uuid)
            AND existing.external_id = item.external_id AND {among}
        )
        RETURNING id
    """  # noqa: S608  (made of column names)


async def lock(work: Work) -> None:
    """Wait for the turn to write properties: two writers of the same rows could deadlock."""
    await tenants.lock(work, "properties")


@dataclass(frozen=True, slots=True)
class Upserted:
    """A property after its upsert."""

    property_id: UUID
    outcome: Outcome


_JSON_SOURCE = f"""(
    SELECT *, false AS zipcode_cut
    FROM json_to_recordset(CAST(:rows AS json)) AS sent({ROW_DEFINITION})
)"""  # noqa: S608
# Looks the few up by the index, whatever the server believes of the tenant's size.
_AMONG = "existing.external_id = ANY(CAST(:external_ids AS text[]))"
_INSERT = text(insert_new(_JSON_SOURCE, _AMONG))
_UPDATE = text(
    f"""
    WITH changed AS ({update_changed(_JSON_SOURCE, _AMONG)}),
        recorded AS ({recorded("changed")})
    SELECT id FROM changed
    """  # noqa: S608
)
_IDS = text("SELECT external_id, id FROM properties WHERE external_id = ANY(:external_ids)")


async def upsert(
    work: Work, items: Sequence[PropertyInput], *, source: str = "api"
) -> list[Upserted]:
    """Create or update properties by external id; fields that an item does not set are kept.

    Args:
        work: the unit of work.
        items: at most ``UPSERT_LIMIT``, each external id once.
        source: stamps the values of items that name no source system.

    Returns:
        What became of each item, in order.

    Raises:
        DomainError: INVALID_INPUT for too many items or an external id that appears twice.
    """
    if len(items) > UPSERT_LIMIT:
        raise invalid(f"{len(items)} properties: send at most {UPSERT_LIMIT} at a time")
    seen: set[str] = set()
    for position, item in enumerate(items):
        if item.external_id in seen:
            raise invalid(
                f"external id {item.external_id!r} appears twice", str(position), "externalId"
            )
        seen.add(item.external_id)
    await lock(work)
    observed_at, ids = await now(work), new_ids()
    rows = [
        {
            "given": given(frozenset(item.model_fields_set)),
            "id": next(ids),
            "provenance": stamps(
                held(item), item.source_system or source, item.confidence, observed_at
            ),
            **item.model_dump(mode="json"),
        }
        for item in items
    ]
    external_ids = {"external_ids": list(seen)}
    values = {"tenant_id": work.tenant_id, "rows": json.dumps(rows), **external_ids}
    updated = {row.id for row in await work.session.execute(_UPDATE, values)}
    inserted = {row.id for row in await work.session.execute(_INSERT, values)}
    found: dict[str, UUID] = {
        row.external_id: row.id for row in await work.session.execute(_IDS, external_ids)
    }
    await index_outbox.follow(work, Marked.PROPERTY, sorted(inserted | updated))

    def outcome(property_id: UUID) -> Outcome:
        if property_id in inserted:
            return Outcome.CREATED
        return Outcome.UPDATED if property_id in updated else Outcome.UNCHANGED

    return [Upserted(found[item.external_id], outcome(found[item.external_id])) for item in items]
