"""The position in a feed, from which an interrupted run continues.

A feed is read by queries, page by page; each asks for the records modified since some moment. Two
facts decide what the next query may leave out:

- **A finished query** has returned everything that was modified up to its start. Records that
  change during the query are modified later than its start, so the next query asks for them. The
  watermark never passes the start of its query. For the same reason a record dated in the future
  hides no other.
- **An unfinished query** has returned everything up to the latest modification that it reached, but
  only if its records come in that order. The order is observed, because some servers ignore the
  request for it.

Each query asks for some time before the watermark again (``OVERLAP``): services show what was
modified with a delay, and records of the same moment may stand on both sides of a page's border.
Reading a record twice changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from domain.imports.reso.resource import MODIFIED

OVERLAP = timedelta(minutes=20)
"""What a run asks for again: services show changes that much later, at most."""

MARGIN = timedelta(seconds=1)
"""What a query that continues another asks for again: a time may be shown rounded."""

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a feed is read.

    Attributes:
        watermark: whatever was modified up to here is loaded; None before the first query ended.
        since: what the query under way leaves out; None if it asks for everything.
        started_at: when that query began, by PostgreSQL's clock; None if none is under way.
        reached: the latest modification that it returned.
        in_order: whether its records came in order of modification; None while all have the same.
        next_link: its next page; None before its first.
    """

    watermark: datetime | None = None
    since: datetime | None = None
    started_at: datetime | None = None
    reached: datetime | None = None
    in_order: bool | None = None
    next_link: str | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a query is under way."""
        return self.started_at is not None

    def begin(self, now: datetime) -> Self:
        """Begin a query for everything that may not be loaded yet; drop one under way.

        Args:
            now: the time, by PostgreSQL's clock.
        """
        known = self._settled() if self.in_order else self.watermark
        since = None if known is None else known - OVERLAP
        return replace(self, **_NO_QUERY, watermark=known, since=since, started_at=now)

    @property
    def continuable(self) -> bool:
        """Whether a new query from ``reached`` on would return what is left, and get further."""
        return bool(self.in_order) and (
            self.reached is not None and (self.since is None or self.reached - MARGIN > self.since)
        )

    def go_on(self) -> Self:
        """Begin a query where the one under way stands, which must be ``continuable``.

        It keeps the start of that one, because it does not return what changed before ``reached``
        since then.
        """
        assert self.reached is not None
        known, since = self._settled(), self.reached - MARGIN
        return replace(self, **_NO_QUERY, watermark=known, since=since)

    def read(self, modified: Iterable[datetime], next_link: str | None, *, ordered: bool) -> Self:
        """Take note of a page.

        Args:
            modified: when its records were modified, in their order.
            next_link: the page after it.
            ordered: whether the order of modification was asked for.
        """
        reached, in_order = self.reached, self.in_order if ordered else False
        for moment in modified:
            if reached is not None and moment != reached and in_order is not False:
                in_order = moment > reached
            reached = moment if reached is None else max(reached, moment)
        return replace(self, reached=reached, in_order=in_order, next_link=next_link)

    def end(self) -> "Position":
        """End the query, which has returned everything."""
        return Position(watermark=self._settled())

    def _settled(self) -> datetime | None:
        """Up to where everything is loaded, if the query returned everything up to ``reached``."""
        if self.reached is None or self.started_at is None:
            return self.watermark
        settled = min(self.reached, self.started_at)
        return settled if self.watermark is None else max(settled, self.watermark)


_NO_QUERY: dict[str, Any] = dict.fromkeys(("reached", "in_order", "next_link"))


def modified(record: Mapping[str, Any]) -> datetime | None:
    """When a record was last modified; None if it does not say. UTC if it names no zone."""
    said = record.get(MODIFIED)
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) else None
        if moment is None:
            return None
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= EARLIEST else None
