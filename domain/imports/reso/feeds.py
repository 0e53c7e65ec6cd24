"""The table of feeds: what a tenant reads from RESO Web APIs, and how far it is read."""

from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import Text, UniqueConstraint, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from domain.core.base import Base, TenantScoped
from domain.core.work import Work
from domain.imports.reso.position import Position


class ResoFeed(TenantScoped, Base):
    """A resource that a tenant reads, by its URL, and the ``Position`` of its reading."""

    __tablename__ = "reso_feeds"
    __table_args__ = (UniqueConstraint("tenant_id", "url"),)

    url: Mapped[str] = mapped_column(Text)
    watermark: Mapped[datetime | None]
    since: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    reached: Mapped[datetime | None]
    in_order: Mapped[bool | None]
    next_link: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


async def position(work: Work, url: str) -> Position:
    """The position in a feed; the beginning if it was never read."""
    feed = await work.session.scalar(select(ResoFeed).where(ResoFeed.url == url))
    if feed is None:
        return Position()
    return Position(**{one.name: getattr(feed, one.name) for one in fields(Position)})


async def store(work: Work, url: str, reached: Position) -> None:
    """Store the position in a feed."""
    values = asdict(reached) | {"updated_at": func.now()}
    row = insert(ResoFeed).values(tenant_id=work.tenant_id, url=url, **values)
    await work.session.execute(
        row.on_conflict_do_update(index_elements=["tenant_id", "url"], set_=values)
    )
