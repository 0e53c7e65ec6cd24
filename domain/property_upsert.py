"""The one way properties are written from outside: new ones inserted, changed ones updated.

A file import stages its rows in a temporary table and the API sends its few as JSON; the same two
statements read either. An upsert that found its conflicts with ON CONFLICT DO UPDATE would lock
and stamp every row of a file; these touch only what differs.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from domain import indexing, tenants
from domain.errors import invalid
from domain.properties import Property
from domain.property_input import PROPERTY_COLUMNS, PropertyInput
from domain.work import Work

UPSERT_LIMIT = 500
"""How many properties one call to ``upsert`` takes."""

ABOUT_THE_SOURCE = ("source_system", "confidence")
STAMPED = tuple(c for c in PROPERTY_COLUMNS if c not in ("external_id", *ABOUT_THE_SOURCE))
"""The columns whose provenance is kept."""

GIVEN = {column: 1 << position for position, column in enumerate(PROPERTY_COLUMNS)}
"""The bit of each column in ``given``, which says what a row sets; 0 is a row to be left out."""

ROW = ("line", "given", *PROPERTY_COLUMNS)

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
_SQL_TYPES = {"line": "bigint", "given": "integer"} | {
    column: Property.__table__.c[column].type.compile(dialect=_POSTGRESQL)
    for column in PROPERTY_COLUMNS
}
ROW_DEFINITION = ", ".join(f"{column} {_SQL_TYPES[column]}" for column in ROW)
"""The columns of a source of rows, as SQL."""


def given(item: PropertyInput) -> int:
    """The bits of the columns that the item sets."""
    return sum(GIVEN[column] for column in item.model_fields_set)


def _is_given(column: str) -> str:
    return f"item.given & {GIVEN[column]} <> 0"


def _differs(column: str) -> str:
    return f"{_is_given(column)} AND item.{column} IS DISTINCT FROM existing.{column}"


def _items(rows: str) -> str:
    """A source of rows with the stamp of each; OFFSET 0 has it made once a row, not once a use."""
    return f"""(
        SELECT *, jsonb_build_object(
            'source', coalesce(source_system, CAST(:source AS text)),
            'confidence', confidence,
            'observed_at', CAST(:observed_at AS text)
        ) AS stamp
        FROM {rows} AS staged WHERE given <> 0 OFFSET 0
    ) AS item"""  # noqa: S608


def _stamps(condition: Callable[[str], str]) -> str:
    """SQL for the stamps of the columns for which the condition holds."""
    # To make all and take some away is three times as fast as jsonb_object_agg.
    every = ", ".join(f"'{column}', item.stamp" for column in STAMPED)
    others = ", ".join(
        f"CASE WHEN {condition(column)} THEN NULL ELSE '{column}' END" for column in STAMPED
    )
    return f"jsonb_build_object({every}) - ARRAY[{others}]"


def insert_new(rows: str, among: str = "true") -> str:
    """The statement that inserts the rows of a source whose external id is new.

    Args:
        rows: the source as SQL: a table or query with the columns of ``ROW``.
        among: SQL that holds for the ``existing`` properties that can be meant.

    Returns:
        SQL with the parameters tenant_id, source and observed_at; it returns id and external_id.
    """
    columns = ", ".join(PROPERTY_COLUMNS)
    values = ", ".join(f"item.{column}" for column in PROPERTY_COLUMNS)
    stamps = _stamps(lambda column: f"item.{column} IS NOT NULL")
    return f"""
        INSERT INTO properties (tenant_id, {columns}, provenance)
        SELECT CAST(:tenant_id AS uuid), {values}, {stamps}
        FROM {_items(rows)}
        WHERE NOT EXISTS (
            SELECT FROM properties AS existing
            WHERE existing.tenant_id = CAST(:tenant_id AS uuid)
            AND existing.external_id = item.external_id AND {among}
        )
        RETURNING id, external_id
    """  # noqa: S608  (made of column names)


def update_changed(rows: str, among: str = "true") -> str:
    """The statement that updates the properties that differ from the rows of a source.

    Only columns that are given count. A changed value gets a new stamp, one that became empty
    loses its stamp, and the others keep theirs. Arguments and result are ``insert_new``'s.
    """
    values = ", ".join(
        f"{column} = CASE WHEN {_is_given(column)} THEN item.{column} ELSE existing.{column} END"
        for column in PROPERTY_COLUMNS[1:]
    )
    emptied = ", ".join(
        f"CASE WHEN {_is_given(column)} AND item.{column} IS NULL THEN '{column}' END"
        for column in STAMPED
    )
    stamps = _stamps(lambda column: f"{_differs(column)} AND item.{column} IS NOT NULL")
    differs = " OR ".join(f"({_differs(column)})" for column in PROPERTY_COLUMNS[1:])
    return f"""
        UPDATE properties AS existing
        SET {values},
            provenance = (existing.provenance - ARRAY[{emptied}]) || ({stamps}),
            updated_at = now()
        FROM {_items(rows)}
        WHERE existing.tenant_id = CAST(:tenant_id AS uuid)
        AND existing.external_id = item.external_id AND {among} AND ({differs})
        RETURNING existing.id, existing.external_id
    """  # noqa: S608  (made of column names)


def parameters(work: Work, source: str) -> dict[str, Any]:
    """The parameters of the statements; ``source`` stamps rows that name no source system."""
    return {
        "tenant_id": work.tenant_id,
        "source": source,
        "observed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


async def lock(work: Work) -> None:
    """Wait for the turn to write properties: two writers of the same rows could deadlock."""
    await tenants.lock(work, "properties")


class Outcome(StrEnum):
    """What an upsert did with an item."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"


@dataclass(frozen=True, slots=True)
class Upserted:
    """A property after its upsert."""

    property_id: UUID
    outcome: Outcome


_JSON_SOURCE = f"(SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS sent({ROW_DEFINITION}))"  # noqa: S608
# Looks the few up by the index, whatever the server believes of the tenant's size.
_AMONG = "existing.external_id = ANY(CAST(:external_ids AS text[]))"
_INSERT = text(insert_new(_JSON_SOURCE, _AMONG))
_UPDATE = text(update_changed(_JSON_SOURCE, _AMONG))
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
    rows = [{"line": 0, "given": given(item), **item.model_dump(mode="json")} for item in items]
    external_ids = {"external_ids": list(seen)}
    values = parameters(work, source) | external_ids | {"rows": json.dumps(rows)}
    inserted = {row.id for row in await work.session.execute(_INSERT, values)}
    updated = {row.id for row in await work.session.execute(_UPDATE, values)} - inserted
    ids: dict[str, UUID] = {
        row.external_id: row.id for row in await work.session.execute(_IDS, external_ids)
    }
    indexing.follow(work, "index_properties", sorted(inserted | updated))

    def outcome(property_id: UUID) -> Outcome:
        if property_id in inserted:
            return Outcome.CREATED
        return Outcome.UPDATED if property_id in updated else Outcome.UNCHANGED

    return [Upserted(ids[item.external_id], outcome(ids[item.external_id])) for item in items]
