"""What investors did and want, as the model reads it: what every ranking starts from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import (
    ARRAY,
    DateTime,
    Float,
    Uuid,
    and_,
    any_,
    cast,
    extract,
    func,
    literal_column,
    select,
    true,
)

from domain.contract.snapshots import HISTORY_LIMIT, InvestorHistory, PropertyColumns
from domain.contract.vocabulary import EXCLUDING, InteractionKind
from domain.core import clock
from domain.core.reading import Reader, Statement, parameter
from domain.interactions.interactions import Interaction
from domain.properties import snapshots
from domain.properties.snapshots import SNAPSHOT
from domain.properties.table import Property
from domain.tenants import experiments
from domain.tenants.experiments import Experiment
from domain.tenants.tenants import Tenant
from domain.users import buy_boxes
from domain.users.users import User

_KINDS = {kind: position for position, kind in enumerate(InteractionKind)}


@dataclass(frozen=True, slots=True)
class Investors:
    """Some users of a tenant as investors, in one reading.

    Attributes:
        histories: of each that exists what it did last, at most ``HISTORY_LIMIT`` acts, and wants.
        buy_box_set_at: when each that exists last said what it wants, or took it back.
        versions: the version of the tenant's twin that answers each that exists: the active one, or
            where an experiment runs the one that it gives the investor. None while none is active.
    """

    histories: dict[UUID, InvestorHistory]
    buy_box_set_at: dict[UUID, datetime | None]
    versions: dict[UUID, UUID | None]


def _users_and_acts(*, with_properties: bool) -> Statement:
    """Users, each once for each act and once without any; of the property all, or its id."""
    wanted = any_(parameter("user_ids", ARRAY(Uuid())))
    # Not the time of the transaction's beginning, after which others may have committed.
    moment = func.coalesce(parameter("as_of", DateTime(timezone=True)), func.statement_timestamp())
    # For each user by itself, so that the index is read no further than the newest; how many that
    # are stands in the text, for plans that are made before the values are known.
    acts = (
        select(Interaction.property_id, Interaction.kind, Interaction.occurred_at, Interaction.id)
        .where(
            Interaction.user_id == User.id,
            Interaction.created_at <= moment,
        )
        .order_by(Interaction.occurred_at.desc(), Interaction.id.desc())
        .limit(literal_column(str(HISTORY_LIMIT)))
        .lateral()
    )
    # From the users, since one may have said what it wants and done nothing yet.
    query = (
        select(
            User.id,
            User.buy_box,
            User.buy_box_set_at,
            experiments.version_of(User.id),
            moment,
            acts.c.kind,
            cast(extract("epoch", acts.c.occurred_at), Float(53)),
            *(SNAPSHOT if with_properties else (acts.c.property_id,)),
        )
        .join(Tenant, Tenant.id == User.tenant_id)
        .outerjoin(Experiment, and_(Experiment.tenant_id == User.tenant_id, experiments.RUNNING))
        .outerjoin(acts, true())
    )
    if with_properties:
        query = query.outerjoin(Property, Property.id == acts.c.property_id)
    newest_first = (acts.c.occurred_at.desc(), acts.c.id.desc())
    return Statement(query.where(User.id == wanted).order_by(User.id, *newest_first))


_INVESTORS = _users_and_acts(with_properties=True)
_ACTS = _users_and_acts(with_properties=False)
_PROPERTIES = Statement(
    select(*SNAPSHOT).where(Property.id == any_(parameter("ids", ARRAY(Uuid()))))
)
_EXCLUDED = Statement(
    select(Interaction.property_id, func.min(Interaction.created_at))
    .where(
        Interaction.user_id == parameter("user_id", Uuid()),
        Interaction.kind.in_(sorted(EXCLUDING)),
    )
    .group_by(Interaction.property_id)
)


async def investors(
    reader: Reader, user_ids: Sequence[UUID], as_of: datetime | None = None
) -> Investors:
    """Those of the users who exist, as investors.

    Args:
        reader: the transaction.
        user_ids: the users.
        as_of: their histories as they were known then; now, by the database's clock, if not given.
    """
    rows = await reader.fetch(_INVESTORS, user_ids=list(user_ids), as_of=as_of)
    acts = _by_user(rows)
    first = {row[0]: row for row in reversed(rows)}
    return Investors(
        histories={
            user_id: _history(
                user_id, row[1], acts[user_id], snapshots.columns([a[7:] for a in acts[user_id]]),
                row[4],
            )
            for user_id, row in first.items()
        },
        buy_box_set_at={user_id: row[2] for user_id, row in first.items()},
        versions={user_id: row[3] for user_id, row in first.items()},
    )  # fmt: skip


async def get_many(
    reader: Reader, user_ids: Sequence[UUID], as_of: datetime | None = None
) -> dict[UUID, InvestorHistory]:
    """The histories of users as in ``investors``; empty ones of those who do not exist.

    For many users, who act on the same properties: each of these is read once, in a second query.
    """
    moment = as_of or await clock.now(reader)
    rows = await reader.fetch(_ACTS, user_ids=list(user_ids), as_of=moment)
    acted_on = {row[7] for row in rows if row[7] is not None}
    found = snapshots.columns(await reader.fetch(_PROPERTIES, ids=list(acted_on)))
    place = {property_id: row for row, property_id in enumerate(found.ids)}
    # Without acts on what was deleted between the two.
    acts = _by_user([row for row in rows if row[7] is None or row[7] in place])
    boxes = {row[0]: row[1] for row in rows}
    return {
        user_id: _history(
            user_id, boxes.get(user_id), acts.get(user_id, []),
            found.take([place[act[7]] for act in acts.get(user_id, [])]), moment,
        )
        for user_id in user_ids
    }  # fmt: skip


async def excluded(reader: Reader, user_id: UUID) -> dict[UUID, datetime]:
    """What is not to be recommended to the investor, and since when that is known.

    It is what the investor owns, dislikes or dismissed.
    """
    rows = await reader.fetch(_EXCLUDED, user_id=user_id)
    return {row[0]: row[1] for row in rows}


def _by_user(rows: Sequence[Any]) -> dict[UUID, list[Any]]:
    """The acts of each user; none of one who did nothing."""
    acts: dict[UUID, list[Any]] = {}
    for row in rows:
        of_user = acts.setdefault(row[0], [])
        if row[5] is not None:
            of_user.append(row)
    return acts


def _history(
    user_id: UUID, box: Mapping[str, Any] | None, acts: Sequence[Any], of: PropertyColumns,
    moment: datetime,
) -> InvestorHistory:  # fmt: skip
    return InvestorHistory(
        user_id=user_id,
        properties=of,
        kind=np.array([_KINDS[row[5]] for row in acts], dtype=np.int8),
        occurred_at=np.array([row[6] for row in acts], dtype=np.float64),
        as_of=moment.timestamp(),
        buy_box=buy_boxes.loads(box),
    )
