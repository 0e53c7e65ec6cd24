"""Importing interactions: stage the file, find users and properties by name, add what is new."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import text

from domain.changes import changes
from domain.changes.changes import Noun, Operation, record_inserted
from domain.contract.vocabulary import THUMBS, InteractionKind, Role
from domain.core import canonical
from domain.core.canonical import Canonical
from domain.core.input_rules import NO_ZERO_BYTE, Identifier, Moment, OutsideInput, word
from domain.core.work import Work
from domain.imports import record
from domain.imports.options import ImportOptions
from domain.imports.report import PROBLEM_LIMIT, ImportReport, StrictImportError, problem
from domain.imports.rows import Row, RowReader
from domain.imports.sources import Source
from domain.imports.staging import stage
from domain.imports.texts import Progress
from domain.interactions.interactions import refresh_totals
from domain.interactions.words import INTERACTION_KINDS
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.properties.upsert import lock

CLOCK_LEEWAY = timedelta(days=1)


def _happened(moment: datetime) -> datetime:
    if moment > datetime.now(UTC) + CLOCK_LEEWAY:
        raise PydanticCustomError("future", "lies in the future")
    return moment


class InteractionInput(OutsideInput):
    """One act of one investor: ``user`` is an external id or email, ``property`` an external id."""

    property: Identifier
    user: Annotated[
        str,
        Field(min_length=1, max_length=320, pattern=NO_ZERO_BYTE),
        Canonical(canonical.identifier),
    ]
    kind: Annotated[InteractionKind, word(InteractionKind, INTERACTION_KINDS)]
    occurred_at: Annotated[Moment, AfterValidator(_happened)]
    reason: (
        Annotated[str, Field(max_length=2000, pattern=NO_ZERO_BYTE), Canonical(canonical.text)]
        | None
    ) = None
    simulated: Annotated[bool | None, Canonical(canonical.choice)] = None


_STAGED = "staged_interactions"
_DEFINITION = """
    line bigint, property_key text, user_key text, kind text, occurred_at timestamptz, reason text,
    simulated boolean
"""
_COLUMNS = ("line", "property_key", "user_key", "kind", "occurred_at", "reason", "simulated")
_THUMBS = ", ".join(f"'{kind}'" for kind in sorted(THUMBS))

# An external id wins over an email that reads the same.
_RESOLVED = f"""
    SELECT item.*, property.id AS property_id, coalesce(by_id.id, by_email.id) AS user_id
    FROM {_STAGED} AS item
    LEFT JOIN properties AS property
        ON property.tenant_id = CAST(:tenant_id AS uuid) AND property.external_id = property_key
    LEFT JOIN users AS by_id
        ON by_id.tenant_id = CAST(:tenant_id AS uuid) AND by_id.external_id = user_key
    LEFT JOIN users AS by_email
        ON by_email.tenant_id = CAST(:tenant_id AS uuid) AND lower(by_email.email) = lower(user_key)
"""  # noqa: S608

# Emails that differ in case alone are one user, and only rows that will be loaded create one.
_CREATE_USERS = text(
    f"""
    WITH created AS (
        INSERT INTO users (tenant_id, external_id, email, role, simulated)
        SELECT CAST(:tenant_id AS uuid), (array_agg(user_key ORDER BY line))[1],
            CASE WHEN strpos(min(user_key), '@') > 0
                THEN (array_agg(user_key ORDER BY line))[1] END,
            CAST(:role AS text), bool_and(simulated)
        FROM ({_RESOLVED}) AS act
        WHERE property_id IS NOT NULL AND user_id IS NULL
        GROUP BY CASE WHEN strpos(user_key, '@') > 0 THEN lower(user_key) ELSE user_key END
        ON CONFLICT DO NOTHING
        RETURNING id
    ), recorded AS ({record_inserted(Noun.USER, "created")})
    SELECT count(*) FROM created
    """  # noqa: S608
)
_RESOLVE = f"CREATE TEMP TABLE resolved_interactions ON COMMIT DROP AS {_RESOLVED}"
_COUNT_UNKNOWN = text(
    """
    SELECT count(*) AS rows, count(*) FILTER (WHERE property_id IS NULL) AS property,
        count(*) FILTER (WHERE user_id IS NULL) AS user
    FROM resolved_interactions WHERE property_id IS NULL OR user_id IS NULL
    """
)
_SHOW_UNKNOWN = f"""
    SELECT line, {{name}}_key FROM resolved_interactions
    WHERE {{name}}_id IS NULL ORDER BY line LIMIT {PROBLEM_LIMIT}
"""  # noqa: S608
# Locked before they are replaced: an opinion given in between would be lost.
_HOLD_THUMBS = f"""
    CREATE TEMP TABLE held_thumbs ON COMMIT DROP AS
    SELECT held.id, to_jsonb(held) AS before
    FROM interactions AS held
    WHERE held.tenant_id = CAST(:tenant_id AS uuid) AND held.kind IN ({_THUMBS}) AND EXISTS (
        SELECT FROM resolved_interactions AS act
        WHERE act.user_id = held.user_id AND act.property_id = held.property_id
        AND act.kind IN ({_THUMBS})
    )
    FOR UPDATE
"""  # noqa: S608
# Stamped late: what reads the acts while a file is still being staged does not know them yet.
_ADD = f"""
    WITH known AS (
        SELECT * FROM resolved_interactions WHERE property_id IS NOT NULL AND user_id IS NOT NULL
    ), acts AS (
        INSERT INTO interactions
            (tenant_id, user_id, property_id, kind, occurred_at, reason, simulated, created_at)
        SELECT DISTINCT ON (user_id, property_id, kind, occurred_at)
            CAST(:tenant_id AS uuid), user_id, property_id, kind, occurred_at, reason, simulated,
            statement_timestamp()
        FROM known WHERE kind NOT IN ({_THUMBS})
        ORDER BY user_id, property_id, kind, occurred_at, line DESC
        ON CONFLICT (tenant_id, user_id, property_id, kind, occurred_at) DO NOTHING
        RETURNING id, user_id, property_id, true AS inserted
    ), thumbs AS (
        INSERT INTO interactions AS held
            (tenant_id, user_id, property_id, kind, occurred_at, reason, simulated, created_at)
        SELECT DISTINCT ON (user_id, property_id)
            CAST(:tenant_id AS uuid), user_id, property_id, kind, occurred_at, reason, simulated,
            statement_timestamp()
        FROM known WHERE kind IN ({_THUMBS})
        ORDER BY user_id, property_id, occurred_at DESC, line DESC
        ON CONFLICT (tenant_id, user_id, property_id) WHERE kind IN ({_THUMBS})
        DO UPDATE SET kind = excluded.kind, occurred_at = excluded.occurred_at,
            reason = excluded.reason, simulated = excluded.simulated,
            created_at = excluded.created_at
        WHERE held.occurred_at < excluded.occurred_at
        -- A row version that replaced none has no xmax.
        RETURNING id, user_id, property_id, xmax = 0 AS inserted
    ), written AS (
        SELECT * FROM acts UNION ALL SELECT * FROM thumbs
    ), fresh AS (
        SELECT id FROM written WHERE inserted
    ), replaced AS (
        SELECT id, user_id, before FROM thumbs JOIN held_thumbs USING (id) WHERE NOT inserted
    ), recorded_fresh AS (
        {record_inserted(Noun.INTERACTION, "fresh")}
    ), recorded_replaced AS (
        {changes.record(Noun.INTERACTION, Operation.UPDATE, "replaced", import_id=":import_id")}
    )
    SELECT count(*) FILTER (WHERE inserted) AS inserted,
        count(*) FILTER (WHERE NOT inserted) AS updated,
        ARRAY(SELECT DISTINCT property_id FROM written LIMIT :limit) AS property_ids,
        ARRAY(SELECT DISTINCT user_id FROM written LIMIT :limit) AS user_ids
    FROM written
"""  # noqa: S608


async def import_interactions(
    work: Work,
    source: Source,
    options: ImportOptions = ImportOptions(),  # noqa: B008
    *,
    create_users: bool = False,
    role: Role = Role.VIEWER,
    actor: str = record.SYSTEM,
    progress: Progress = lambda _done, _size: None,
) -> ImportReport:
    """Add the interactions of a source that are not known yet.

    The same user, property, kind and time is the same act. Of an investor's thumbs on a property
    the latest counts. Bad rows, also those that name an unknown property or user, are skipped and
    reported. The properties' engagement and owners follow at once, the index after the commit.

    Args:
        work: the unit of work; roll it back if this raises.
        source: the rows.
        options: how to read it.
        create_users: create unknown users; one is simulated if all its acts are.
        role: of the users that are created. Users who exist keep theirs.
        actor: who imports, for the record.
        progress: called with the bytes read so far and in all, every few thousand lines.

    Raises:
        ImportRefusedError: the source or the options cannot be used.
        StrictImportError: ``options.strict``, and a row or value is bad.
    """
    report = ImportReport()
    reader = RowReader("interactions", InteractionInput, options, report)
    rows = _records(reader.read(source, progress))
    joined = ("property_key", "user_key", "kind")
    await stage(work, _STAGED, _DEFINITION, _COLUMNS, rows, joined)
    await lock(work)
    import_id = await record.record(
        work,
        Noun.INTERACTION,
        source,
        actor=actor,
        options=options.to_json() | {"create_users": create_users, "role": role},
    )
    values = {"tenant_id": work.tenant_id, "import_id": import_id}
    created = 0
    if create_users:
        created = await work.session.scalar(_CREATE_USERS, values | {"role": role})
    await work.session.execute(
        text("DROP TABLE IF EXISTS pg_temp.resolved_interactions, pg_temp.held_thumbs")
    )
    await work.session.execute(text(_RESOLVE), values)
    await _report_unknown(work, reader)
    if options.strict and report.bad:
        raise StrictImportError(report)

    await work.session.execute(text(_HOLD_THUMBS), values)
    limit = index_outbox.REINDEX_ABOVE + 1
    added = (await work.session.execute(text(_ADD), values | {"limit": limit})).one()
    report.inserted, report.updated = added.inserted, added.updated
    report.users_created = created
    report.unchanged = report.valid - report.inserted - report.updated
    if ids := added.property_ids:
        # A longer list was cut: the properties are not all known.
        await refresh_totals(work, ids if len(ids) <= index_outbox.REINDEX_ABOVE else None)
    await index_outbox.follow(work, Marked.USER, added.user_ids)
    await record.finish(work, import_id, report)
    return report


def _records(rows: Iterator[Row]) -> Iterator[tuple[Any, ...]]:
    for line, _, values, _ in rows:
        if values is not None:
            *others, simulated = values
            yield (line, *others, bool(simulated))


async def _report_unknown(work: Work, reader: RowReader[InteractionInput]) -> None:
    unknown = (await work.session.execute(_COUNT_UNKNOWN)).one()
    reader.report.skipped += unknown.rows
    for name, count, reason in (
        ("property", unknown.property, "no such property; import the properties first"),
        ("user", unknown.user, "no such user; --create-users creates it"),
    ):
        if count:
            column = reader.columns.get(name, name)
            found = await work.session.execute(text(_SHOW_UNKNOWN.format(name=name)))
            reader.report.blame([problem(line, column, key, reason) for line, key in found], count)
