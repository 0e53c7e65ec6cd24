"""Deleting the properties that a full file does not hold, up to a limit."""

import re
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from sqlalchemy import text

from domain.core.work import Work
from domain.imports.report import ImportRefusedError, shortened

EXAMPLES = 5

_LIMIT = re.compile(
    r"(?P<percent>\d{1,3}(?:\.\d{1,6})?)%|(?P<share>0?\.\d{1,6}|1\.0{1,6})|(?P<number>\d{1,12})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class DeletionLimit:
    """How many properties an import may delete.

    Attributes:
        amount: a number of properties, or a percentage of those that the tenant had before.
        percent: whether ``amount`` is a percentage.
    """

    amount: float
    percent: bool

    @classmethod
    def parse(cls, written: str) -> Self:
        """Read ``10%``, ``0.1`` or ``250``. Raises ValueError for anything else."""
        found = _LIMIT.fullmatch(written.strip())
        if found and found["share"]:
            return cls(round(float(found["share"]) * 100, 4), percent=True)
        amount = float(found["percent"] or found["number"]) if found else -1.0
        if found is None or (found["percent"] and amount > 100):
            raise ValueError(
                f"{written!r}: use a percentage such as 10%, or a number of properties such as 250"
            )
        return cls(amount, found["percent"] is not None)

    def allows(self, count: int, total: int) -> bool:
        """Whether ``count`` of ``total`` properties may be deleted."""
        return count * 100 <= self.amount * total if self.percent else count <= self.amount

    def __str__(self) -> str:
        return f"{self.amount:.10g}{'%' if self.percent else ''}"


DEFAULT_LIMIT = DeletionLimit(10, percent=True)

_AT_STAKE = text(
    """
    SELECT (SELECT count(*) FROM interactions
            WHERE tenant_id = :tenant_id AND property_id = ANY(CAST(:ids AS uuid[])))
            AS interactions,
        ARRAY(SELECT external_id FROM properties
            WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]))
            ORDER BY external_id COLLATE "C" LIMIT :examples) AS examples
    """
)
_TOTAL = text("SELECT count(*) FROM properties WHERE tenant_id = :tenant_id")


async def refuse_too_many(work: Work, name: str, missing: list[UUID], limit: DeletionLimit) -> None:
    """Check that the missing properties may be deleted.

    Call this under the properties lock and before the import writes, because the limit is a share
    of the properties that the tenant had before.

    Raises:
        ImportRefusedError: they are more than the limit; the message gives the figures.
    """
    total = await work.session.scalar(_TOTAL, {"tenant_id": work.tenant_id}) or 0
    if limit.allows(len(missing), total):
        return
    values = {"tenant_id": work.tenant_id, "ids": missing, "examples": EXAMPLES}
    found = (await work.session.execute(_AT_STAKE, values)).one()
    examples = ", ".join(shortened(one) for one in found.examples)
    raise ImportRefusedError(
        f"{name}: {len(missing):,} of {total:,} properties ({100 * len(missing) / total:.4g}%) "
        f"would be deleted, more than --delete-at-most {limit}; nothing was imported. Their "
        f"{found.interactions:,} interactions would go too. The first ids: {examples}"
    )
