"""The statements of an undo, in the order in which they run.

They share temporary tables: ``undo_writes``, what the import wrote, ``own`` in the statements;
``undo_later``, which rows something wrote since, and which of their fields; ``undo_left``, what is
left as it is; ``undo_touched``, whose interactions came or went.
"""

from sqlalchemy import text

from domain.changes.changes import Noun
from domain.contract.vocabulary import Role
from domain.imports.report import PROBLEM_LIMIT
from domain.interactions.interactions import Interaction
from domain.properties.table import Property
from domain.properties.upsert import RECORDED

_TABLES = ("undo_writes", "undo_later", "undo_left", "undo_touched")
STAGE = (
    *(f"DROP TABLE IF EXISTS pg_temp.{table}" for table in _TABLES),
    # A row may have been written more than once: in rounds, from the last write to the first.
    """
    CREATE TEMP TABLE undo_writes ON COMMIT DROP AS
    SELECT id AS change_id, noun, operation, subject_id, user_id, before, provenance,
        row_number() OVER (PARTITION BY subject_id, operation ORDER BY id DESC) AS round
    FROM changes
    WHERE tenant_id = CAST(:tenant_id AS uuid) AND import_id = CAST(:import_id AS uuid)
    AND operation <> 'INSERT'
    UNION ALL
    SELECT id, noun, operation, unnest(inserted), NULL, NULL, NULL, 1
    FROM changes
    WHERE tenant_id = CAST(:tenant_id AS uuid) AND import_id = CAST(:import_id AS uuid)
    AND operation = 'INSERT'
    """,
    "ANALYZE undo_writes",
    """
    CREATE TEMP TABLE undo_left (noun text, id uuid, name text, reason text, fields text[])
    ON COMMIT DROP
    """,
    "CREATE TEMP TABLE undo_touched (property_id uuid, user_id uuid) ON COMMIT DROP",
)


def _written(noun: Noun, *operations: str) -> str:
    listed = ", ".join(f"'{one}'" for one in operations)
    return f"SELECT subject_id FROM undo_writes WHERE noun = '{noun}' AND operation IN ({listed})"  # noqa: S608


def _hold(table: str, ids: str, strength: str) -> str:
    return f"""
        SELECT count(*) FROM (
            SELECT FROM {table} WHERE tenant_id = CAST(:tenant_id AS uuid) AND id IN ({ids})
            ORDER BY id FOR {strength}
        ) AS held
    """  # noqa: S608


_INTERACTIONS = _written(Noun.INTERACTION, "INSERT", "UPDATE")
# In the order in which acts lock them: users, properties, interactions.
HOLD = (
    _hold("users", _written(Noun.USER, "INSERT"), "UPDATE"),
    _hold(
        "users",
        "SELECT user_id FROM undo_writes WHERE noun = 'INTERACTION' AND operation = 'DELETE'",
        "KEY SHARE",
    ),
    _hold("properties", _written(Noun.PROPERTY, "INSERT", "UPDATE"), "UPDATE"),
    _hold(
        "properties",
        f"SELECT property_id FROM interactions WHERE id IN ({_INTERACTIONS})",  # noqa: S608
        "KEY SHARE",
    ),
    _hold("interactions", _INTERACTIONS, "UPDATE"),
)

# Read only once the rows are locked, so that no later write is missed.
LATER = (
    """
    CREATE TEMP TABLE undo_later ON COMMIT DROP AS
    SELECT later.subject_id, array_agg(DISTINCT field) AS fields
    FROM changes AS later
    JOIN (SELECT subject_id, min(change_id) AS first FROM undo_writes GROUP BY subject_id) AS own
        ON later.subject_id = own.subject_id AND later.id > own.first
    CROSS JOIN LATERAL jsonb_object_keys(later.before) AS field
    WHERE later.tenant_id = CAST(:tenant_id AS uuid)
    AND later.id > (SELECT min(change_id) FROM undo_writes)
    AND later.operation = 'UPDATE' AND later.import_id IS DISTINCT FROM CAST(:import_id AS uuid)
    GROUP BY later.subject_id
    """,
    "ANALYZE undo_later",
)

_CHANGED_SINCE = "EXISTS (SELECT FROM undo_later AS later WHERE later.subject_id = own.subject_id)"


def _leave(noun: Noun, operation: str, table: str, reason: str, name: str, fields: str) -> str:
    """The statement that notes which writes of a kind are left, and why.

    Args:
        noun: of the writes.
        operation: of the writes.
        table: of the rows; a row is ``found``, all null if there is none any more.
        reason: SQL: null for what is taken back.
        name: SQL.
        fields: SQL.
    """
    return f"""
        INSERT INTO undo_left
        SELECT * FROM (
            SELECT DISTINCT ON (own.subject_id) '{noun}', own.subject_id,
                coalesce({name}, CAST(own.subject_id AS text)), {reason} AS reason, {fields}
            FROM undo_writes AS own
            LEFT JOIN {table} AS found
                ON found.tenant_id = CAST(:tenant_id AS uuid) AND found.id = own.subject_id
            WHERE own.noun = '{noun}' AND own.operation = '{operation}' AND own.round = 1
        ) AS decided
        WHERE reason IS NOT NULL
    """  # noqa: S608


_NO_FIELDS = "CAST(NULL AS text[])"
_OF_PROPERTY = """(
    SELECT external_id FROM properties AS its
    WHERE its.tenant_id = found.tenant_id AND its.id = found.property_id
)"""
_NOT_LEFT = "NOT EXISTS (SELECT FROM undo_left WHERE undo_left.id = own.subject_id)"
_GONE_OR_CHANGED = f"""
    CASE WHEN found.id IS NULL THEN 'deleted since'
        WHEN {_CHANGED_SINCE} THEN 'changed since' END
"""


def _own(noun: Noun, operation: str) -> str:
    return f"own.noun = '{noun}' AND own.operation = '{operation}'"


LEAVE_INTERACTIONS = tuple(
    _leave(Noun.INTERACTION, one, "interactions", _GONE_OR_CHANGED, _OF_PROPERTY, _NO_FIELDS)
    for one in ("INSERT", "UPDATE")
)
REMOVE_INTERACTIONS = f"""
    WITH removed AS (
        DELETE FROM interactions AS act USING undo_writes AS own
        WHERE act.tenant_id = CAST(:tenant_id AS uuid) AND act.id = own.subject_id
        AND {_own(Noun.INTERACTION, "INSERT")} AND {_NOT_LEFT}
        RETURNING act.property_id, act.user_id
    ), touched AS (
        INSERT INTO undo_touched SELECT property_id, user_id FROM removed
    )
    SELECT count(*) FROM removed
"""  # noqa: S608
REVERT_INTERACTIONS = f"""
    WITH reverted AS (
        UPDATE interactions AS act SET kind = was.kind, occurred_at = was.occurred_at,
            reason = was.reason, simulated = was.simulated, created_at = was.created_at
        FROM undo_writes AS own
        CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS interactions), own.before) AS was
        WHERE act.tenant_id = CAST(:tenant_id AS uuid) AND act.id = own.subject_id
        AND {_own(Noun.INTERACTION, "UPDATE")} AND own.round = :round AND {_NOT_LEFT}
        RETURNING act.property_id, act.user_id
    ), touched AS (
        INSERT INTO undo_touched SELECT property_id, user_id FROM reverted
    )
    SELECT count(*) FROM reverted
"""  # noqa: S608
LEAVE_USERS = _leave(
    Noun.USER,
    "INSERT",
    "users",
    f"""
    CASE WHEN found.id IS NULL THEN 'deleted since'
        WHEN found.role = '{Role.ADMIN}' THEN 'is an admin'
        WHEN found.role <> CAST(:role AS text) OR found.name IS NOT NULL
            OR found.deactivated_at IS NOT NULL
            OR found.email IS DISTINCT FROM
                CASE WHEN strpos(found.external_id, '@') > 0 THEN found.external_id END
            THEN 'changed since'
        WHEN found.buy_box_set_at IS NOT NULL
            OR EXISTS (SELECT FROM interactions AS act
                WHERE act.tenant_id = found.tenant_id AND act.user_id = found.id)
            OR EXISTS (SELECT FROM changes AS kept
                WHERE kept.tenant_id = found.tenant_id AND kept.user_id = found.id
                AND kept.import_id IS DISTINCT FROM CAST(:import_id AS uuid))
            THEN 'has done something else' END
    """,  # noqa: S608
    "found.external_id",
    _NO_FIELDS,
)
REMOVE_USERS = f"""
    DELETE FROM users AS found USING undo_writes AS own
    WHERE found.tenant_id = CAST(:tenant_id AS uuid) AND found.id = own.subject_id
    AND {_own(Noun.USER, "INSERT")} AND {_NOT_LEFT}
    RETURNING found.id
"""  # noqa: S608

LEAVE_INSERTED = _leave(
    Noun.PROPERTY,
    "INSERT",
    "properties",
    f"""
    CASE WHEN found.id IS NULL THEN 'deleted since'
        WHEN {_CHANGED_SINCE} THEN 'changed since'
        WHEN EXISTS (SELECT FROM interactions AS act
            WHERE act.tenant_id = found.tenant_id AND act.property_id = found.id)
            THEN 'has interactions' END
    """,
    "found.external_id",
    _NO_FIELDS,
)
REMOVE_PROPERTIES = f"""
    DELETE FROM properties AS found USING undo_writes AS own
    WHERE found.tenant_id = CAST(:tenant_id AS uuid) AND found.id = own.subject_id
    AND {_own(Noun.PROPERTY, "INSERT")} AND {_NOT_LEFT}
    RETURNING found.id
"""  # noqa: S608
_FIELDS_LEFT = """(
    SELECT array_agg(field ORDER BY field) FROM undo_later AS later
    CROSS JOIN LATERAL unnest(later.fields) AS field
    WHERE later.subject_id = own.subject_id AND field <> 'zipcode_cut' AND EXISTS (
        SELECT FROM undo_writes AS any_write
        WHERE any_write.subject_id = own.subject_id AND any_write.before ? field
    )
)"""
LEAVE_UPDATED = _leave(
    Noun.PROPERTY,
    "UPDATE",
    "properties",
    f"""
    CASE WHEN EXISTS (SELECT FROM undo_writes AS new WHERE new.subject_id = own.subject_id
            AND new.operation IN ('INSERT', 'DELETE')) THEN NULL
        WHEN found.id IS NULL THEN 'deleted since'
        WHEN {_FIELDS_LEFT} IS NOT NULL THEN 'changed since' END
    """,
    "found.external_id",
    _FIELDS_LEFT,
)
_VALUES = ", ".join(
    f"{column} = CASE WHEN own.before ? '{column}' THEN was.{column} ELSE existing.{column} END"
    for column in RECORDED
)
REVERT_PROPERTIES = f"""
    UPDATE properties AS existing SET {_VALUES},
        provenance = (existing.provenance - ARRAY(SELECT jsonb_object_keys(own.before))) || (
            SELECT coalesce(jsonb_object_agg(stamp.key, stamp.value), '{{}}')
            FROM jsonb_each(own.provenance) AS stamp WHERE own.before ? stamp.key
        ),
        updated_at = now()
    FROM (
        SELECT own.subject_id, own.before - coalesce(later.fields, '{{}}') AS before, own.provenance
        FROM undo_writes AS own LEFT JOIN undo_later AS later USING (subject_id)
        WHERE {_own(Noun.PROPERTY, "UPDATE")} AND own.round = :round
    ) AS own
    CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS properties), own.before) AS was
    WHERE existing.tenant_id = CAST(:tenant_id AS uuid) AND existing.id = own.subject_id
    AND own.before <> '{{}}'
    RETURNING existing.id
"""  # noqa: S608
LEAVE_DELETED = _leave(
    Noun.PROPERTY,
    "DELETE",
    "properties",
    """
    CASE WHEN found.id IS NOT NULL OR EXISTS (
        SELECT FROM properties AS taken WHERE taken.tenant_id = CAST(:tenant_id AS uuid)
        AND taken.external_id = own.before ->> 'external_id'
    ) THEN 'exists again' END
    """,
    "own.before ->> 'external_id'",
    _NO_FIELDS,
)


def _restored(model: type[Property] | type[Interaction]) -> tuple[str, str]:
    """The columns of a table that are written, and the same of ``was``."""
    names = [one.name for one in model.__table__.columns if one.computed is None]
    return ", ".join(names), ", ".join(f"was.{name}" for name in names)


_PROPERTY_COLUMNS, _PROPERTY_VALUES = _restored(Property)
_INTERACTION_COLUMNS, _INTERACTION_VALUES = _restored(Interaction)
RESTORE_PROPERTIES = f"""
    INSERT INTO properties ({_PROPERTY_COLUMNS})
    SELECT {_PROPERTY_VALUES}
    FROM undo_writes AS own
    CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS properties), own.before) AS was
    WHERE {_own(Noun.PROPERTY, "DELETE")} AND {_NOT_LEFT}
    RETURNING id
"""  # noqa: S608
LEAVE_DELETED_INTERACTIONS = f"""
    INSERT INTO undo_left
    SELECT '{Noun.INTERACTION}', own.subject_id, its.name, 'its property is left as it is', NULL
    FROM undo_writes AS own
    JOIN undo_left AS its ON its.id = CAST(own.before ->> 'property_id' AS uuid)
    WHERE {_own(Noun.INTERACTION, "DELETE")}
"""  # noqa: S608
RESTORE_INTERACTIONS = f"""
    WITH restored AS (
        INSERT INTO interactions ({_INTERACTION_COLUMNS})
        SELECT {_INTERACTION_VALUES}
        FROM undo_writes AS own
        CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS interactions), own.before) AS was
        WHERE {_own(Noun.INTERACTION, "DELETE")}
        AND EXISTS (SELECT FROM properties AS its
            WHERE its.tenant_id = CAST(:tenant_id AS uuid) AND its.id = was.property_id)
        AND EXISTS (SELECT FROM users AS its
            WHERE its.tenant_id = CAST(:tenant_id AS uuid) AND its.id = was.user_id)
        AND {_NOT_LEFT}
        RETURNING property_id, user_id
    ), touched AS (
        INSERT INTO undo_touched SELECT property_id, user_id FROM restored
    )
    SELECT count(*) FROM restored
"""  # noqa: S608

# What was taken back counts no more, neither for this import nor as a change since another.
FORGET = (
    f"""
    DELETE FROM changes AS one USING undo_writes AS own
    WHERE one.tenant_id = CAST(:tenant_id AS uuid) AND one.id = own.change_id
    AND (own.operation = 'INSERT' OR {_NOT_LEFT})
    """,  # noqa: S608
    """
    UPDATE changes AS one SET before = (
        SELECT jsonb_object_agg(kept.key, kept.value)
        FROM jsonb_each(one.before) AS kept
        WHERE kept.key = ANY(later.fields)
    )
    FROM undo_writes AS own
    JOIN undo_later AS later USING (subject_id)
    JOIN undo_left AS partly ON partly.id = own.subject_id AND partly.reason = 'changed since'
    WHERE one.tenant_id = CAST(:tenant_id AS uuid) AND one.id = own.change_id
    AND own.noun = 'PROPERTY' AND own.operation = 'UPDATE'
    """,
)
LEFT = text(
    f"""
    SELECT noun, id, name, reason, fields FROM undo_left
    ORDER BY noun DESC, name COLLATE "C", id LIMIT {PROBLEM_LIMIT}
    """  # noqa: S608
)
WITH_PROPERTY = "interaction: its property is left as it is"
"""The kind of the interactions that LEAVE_DELETED_INTERACTIONS leaves."""

LEFT_COUNTS = text("SELECT noun, reason, count(*) FROM undo_left GROUP BY noun, reason")
TOUCHED = text(
    """
    SELECT ARRAY(SELECT DISTINCT property_id FROM undo_touched LIMIT :limit),
        ARRAY(SELECT DISTINCT user_id FROM undo_touched LIMIT :limit)
    """
)
