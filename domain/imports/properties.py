"""Importing properties: stage the file, leave out what is wrong, write what is new or differs."""

import json
from collections.abc import Iterator, Mapping
from itertools import compress, repeat
from operator import is_not
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import text

from domain.changes.changes import Noun, record_inserted
from domain.contract.filters import SHORT_ZIP_CODE, ZIP_CODE
from domain.core.work import Work
from domain.imports import record
from domain.imports.missing import DEFAULT_LIMIT, DeletionLimit, refuse_too_many
from domain.imports.options import ImportOptions
from domain.imports.report import (
    PROBLEM_LIMIT,
    ImportRefusedError,
    ImportReport,
    StrictImportError,
    problem,
)
from domain.imports.rows import Row, RowReader
from domain.imports.sources import Source
from domain.imports.staging import stage
from domain.imports.texts import Progress
from domain.jobs import index_outbox
from domain.jobs.index_outbox import Marked
from domain.properties.deletion import delete_recorded
from domain.properties.input import PROPERTY_COLUMNS, PropertyInput
from domain.properties.upsert import (
    ROW,
    ROW_DEFINITION,
    STAMPED,
    given,
    insert_new,
    lock,
    new_ids,
    now,
    recorded,
    stamps,
    update_changed,
)

STAGED = "staged_properties"
STAMPS = "staged_stamps"
SOURCE = "import"
STAMPS_LIMIT = 32_768
_NOTHING: tuple[None, ...] = (None,) * (len(PROPERTY_COLUMNS) - 1)


# Most rows of a file have the same few provenances, which are large: each is staged once.
_ROWS = f"""(
    SELECT {", ".join(name for name in ROW if name != "provenance")},
        coalesce(staged.provenance, stamps.provenance) AS provenance,
        coalesce(CAST(:five_digits AS boolean) AND zipcode ~ '{SHORT_ZIP_CODE}', false)
            AS zipcode_cut
    FROM {STAGED} AS staged LEFT JOIN {STAMPS} AS stamps USING (stamps_number)
)"""  # noqa: S608


def _changed(parts: str) -> str:
    """The number of rows that a statement wrote, and of their ids as many as are marked singly.

    ``parts`` of a WITH name those rows ``changed``.
    """
    return f"""
        WITH {parts}
        SELECT (SELECT count(*) FROM changed) AS count,
            ARRAY(SELECT id FROM changed LIMIT {index_outbox.REINDEX_ABOVE + 1}) AS ids
    """  # noqa: S608


_INSERT = _changed(
    f"changed AS ({insert_new(_ROWS)}), recorded AS ({record_inserted(Noun.PROPERTY, 'changed')})"
)
_UPDATE = _changed(
    f"changed AS ({update_changed(_ROWS)}),"
    f" recorded AS ({recorded('changed', import_id=':import_id')})"
)
# The first condition seldom holds, so the others are seldom checked.
_FIVE_DIGITS = f"""
    SELECT EXISTS (SELECT FROM {STAGED} WHERE zipcode ~ '{SHORT_ZIP_CODE}')
        AND EXISTS (SELECT FROM {STAGED} WHERE zipcode ~ '{ZIP_CODE}')
        AND NOT EXISTS (
            SELECT FROM {STAGED}
            WHERE zipcode !~ '{ZIP_CODE}' AND zipcode !~ '{SHORT_ZIP_CODE}'
        )
"""  # noqa: S608
_MISSING = f"""
    existing.tenant_id = CAST(:tenant_id AS uuid) AND NOT EXISTS (
        SELECT FROM {STAGED} AS item WHERE item.external_id = existing.external_id
    )
"""
_HOLD = f"SELECT existing.id FROM properties AS existing WHERE {_MISSING} FOR UPDATE"  # noqa: S608
_DELETE = f"""
    {_changed(delete_recorded(_MISSING, import_id=":import_id"))},
        (SELECT count(*) FROM acts)
"""  # noqa: S608
_LEAVE_OUT_REPEATED = f"""
    WITH numbered AS (
        SELECT line, external_id,
            lead(line) OVER (PARTITION BY external_id COLLATE "C" ORDER BY line) AS again
        FROM {STAGED} WHERE given <> 0
    ), repeated AS (
        SELECT line, external_id FROM numbered WHERE again IS NOT NULL
    ), left_out AS (
        UPDATE {STAGED} AS item SET given = 0 FROM repeated WHERE item.line = repeated.line
    )
    SELECT line, external_id, count(*) OVER () AS count
    FROM repeated ORDER BY line LIMIT {PROBLEM_LIMIT}
"""  # noqa: S608


async def import_properties(
    work: Work,
    source: Source,
    options: ImportOptions = ImportOptions(),  # noqa: B008
    *,
    delete_missing: bool = False,
    delete_at_most: DeletionLimit = DEFAULT_LIMIT,
    actor: str = record.SYSTEM,
    continues: UUID | None = None,
    progress: Progress = lambda _done, _size: None,
) -> ImportReport:
    """Upsert the properties of a source by external id.

    Rows without a good external id are skipped and reported, and so are other bad values, without
    their rows; of rows that repeat an external id the last counts. Fields that the source lacks
    are left as they are, and rows that change nothing are not written. The index follows after
    the commit.

    Args:
        work: the unit of work; roll it back if this raises.
        source: the rows.
        options: how to read it.
        delete_missing: delete the tenant's properties that the file does not hold. A skipped row
            keeps its property; if a row's external id cannot be read, nothing is deleted.
        delete_at_most: refuse the import if ``delete_missing`` would delete more.
        actor: who imports, for the record.
        continues: the import that this is a further part of; undoing it undoes all parts. Ignored
            if it was undone meanwhile.
        progress: called with the bytes read so far and in all, every few thousand lines.

    Raises:
        ImportRefusedError: the source or the options cannot be used, or too many properties would
            be deleted.
        StrictImportError: ``options.strict``, and a row or value is bad.
    """
    report = ImportReport()
    reader = RowReader("properties", PropertyInput, options, report)
    if "external_id" in options.constants:
        raise ImportRefusedError("--set external_id: every row needs an external id of its own")
    book = Stamps(await now(work))
    rows = _records(reader.read(source, progress), report, book, keep_skipped=delete_missing)
    columns = ("stamps_number", *ROW)
    definition = f"stamps_number integer, {ROW_DEFINITION}"
    joined = ("external_id", "given", "stamps_number")
    await stage(work, STAGED, definition, columns, rows, joined)
    columns = ("stamps_number", "provenance")
    definition = "stamps_number integer, provenance jsonb"
    await stage(work, STAMPS, definition, columns, book.rows(), joined=("stamps_number",))
    await _leave_out_repeated(work, report, reader.columns["external_id"])
    if options.strict and report.bad:
        raise StrictImportError(report)
    if delete_missing and report.missing:
        raise ImportRefusedError(
            f"{source.name}: {report.missing[0]}, so --delete-missing would delete too much"
        )
    if delete_missing and not report.valid:
        raise ImportRefusedError(
            f"{source.name}: no valid row, so --delete-missing would delete everything"
        )

    await lock(work)
    import_id = await record.reopen(work, continues) or await record.record(
        work,
        Noun.PROPERTY,
        source,
        actor=actor,
        options=options.to_json()
        | {"delete_missing": delete_missing, "delete_at_most": str(delete_at_most)},
    )
    values = {"tenant_id": work.tenant_id, "import_id": import_id}
    five_digits = bool(await work.session.scalar(text(_FIVE_DIGITS)))
    missing: list[UUID] = []
    if delete_missing and not report.unidentified:
        # Locked first, so that nobody acts on them while they are counted and deleted.
        missing = list(await work.session.scalars(text(_HOLD), values))
        await refuse_too_many(work, source.name, missing, delete_at_most)
    report.updated, updated = await _execute(work, _UPDATE, values | {"five_digits": five_digits})
    report.inserted, inserted = await _execute(work, _INSERT, values | {"five_digits": five_digits})
    report.unchanged = report.valid - report.inserted - report.updated
    changed = updated + inserted
    if delete_missing and report.unidentified:
        report.notes.append(
            f"nothing was deleted: {report.unidentified:,} skipped rows have no readable id"
        )
    elif missing:
        if len(missing) <= index_outbox.REINDEX_ABOVE:
            await index_outbox.mark_investors(work, missing)
        found = (await work.session.execute(text(_DELETE), values)).one()
        report.deleted, deleted, report.deleted_interactions = found
        changed += deleted
    await index_outbox.follow(work, Marked.PROPERTY, changed)
    await record.finish(work, import_id, report)
    return report


_Key: TypeAlias = tuple[tuple[bool, ...], str, float | None]
"""Which of ``STAMPED`` have a value, the source and its confidence."""


class Stamps:
    """The distinct provenances of a file's rows, numbered; only so many, for memory's sake."""

    def __init__(self, observed_at: str) -> None:
        self._observed_at = observed_at
        self._numbers: dict[_Key, int] = {}

    def of(self, values: tuple[Any, ...]) -> tuple[int | None, str | None]:
        """The number of a row's provenance or, where numbers have run out, itself as JSON."""
        *stamped, source, confidence = values[1:]
        key = (tuple(map(is_not, stamped, repeat(None))), source or SOURCE, confidence)
        number = self._numbers.get(key)
        if number is None:
            number = len(self._numbers)
            if number >= STAMPS_LIMIT:
                return None, self._json(key)
            self._numbers[key] = number
        return number, None

    def rows(self) -> Iterator[tuple[int, str]]:
        """All numbers, each with its provenance as JSON."""
        for key, number in self._numbers.items():
            yield number, self._json(key)

    def _json(self, key: _Key) -> str:
        held, source, confidence = key
        return json.dumps(stamps(compress(STAMPED, held), source, confidence, self._observed_at))


def _records(
    rows: Iterator[Row], report: ImportReport, book: Stamps, *, keep_skipped: bool
) -> Iterator[tuple[Any, ...]]:
    ids = new_ids()
    for line, columns, values, raw in rows:
        if values is not None:
            number, provenance = book.of(values)
            yield (number, line, given(columns), next(ids), provenance, *values)
        elif keep_skipped:
            external_id = _external_id(raw or {})
            if external_id is None:
                report.unidentified += 1
            else:
                yield (None, line, 0, None, None, external_id, *_NOTHING)


def _external_id(values: Mapping[str, Any]) -> str | None:
    """The external id of a row that is otherwise bad."""
    try:
        return PropertyInput(external_id=values.get("external_id")).external_id
    except ValueError:
        return None


async def _leave_out_repeated(work: Work, report: ImportReport, column: str) -> None:
    found = (await work.session.execute(text(_LEAVE_OUT_REPEATED))).all()
    if not found:
        return
    examples = [
        problem(line, column, external_id, "repeated further down; the last row counts")
        for line, external_id, _ in found
    ]
    total: int = found[0][2]
    report.skipped += total
    report.blame(examples, total)


async def _execute(work: Work, statement: str, values: Mapping[str, Any]) -> tuple[int, list[UUID]]:
    count, ids = (await work.session.execute(text(statement), values)).one()
    return count, list(ids)
