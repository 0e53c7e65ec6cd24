"""Deleting properties, with a record of them and of what was done with them."""

from domain.changes.changes import Noun, Operation, record


def delete_recorded(condition: str, *, import_id: str = "NULL") -> str:
    """The statements, as parts of a WITH, that delete properties and record what goes.

    Args:
        condition: SQL that holds for the ``existing`` properties to delete.
        import_id: SQL for the import's id; NULL for a write of the API.

    Returns:
        SQL with the parameter tenant_id: ``changed`` has the ``id`` of each property, and
        ``acts`` a row for each interaction that goes with one. Lock the properties first, so that
        nobody acts on them meanwhile.
    """
    gone = """(
        SELECT act.id, act.user_id, to_jsonb(act) AS before
        FROM changed JOIN interactions AS act
            ON act.tenant_id = CAST(:tenant_id AS uuid) AND act.property_id = changed.id
    ) AS gone"""
    return f"""
        changed AS (
            DELETE FROM properties AS existing
            WHERE existing.tenant_id = CAST(:tenant_id AS uuid) AND {condition}
            RETURNING existing.id,
                to_jsonb(existing) - ARRAY['search', 'canonical_zipcode'] AS before
        ), recorded AS (
            {record(Noun.PROPERTY, Operation.DELETE, "changed", import_id=import_id)}
        ), acts AS (
            {record(Noun.INTERACTION, Operation.DELETE, gone, import_id=import_id)}
            RETURNING subject_id
        )
    """  # noqa: S608  (made of names)
