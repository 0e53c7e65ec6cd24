"""What investors did and want, as the model reads it: every ranking starts from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Float,
    Select,
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
from domain.contract.vocabulary import InteractionKind
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
    """Some users of a tenant as investors. Users who do not exist are in none of the mappings.

    Attributes:
        histories: what each did last, at most ``HISTORY_LIMIT`` acts, and wants.
        buy_box_set_at: when each last set or cleared the buy box.
        versions: the version of the tenant's twin that answers each: the active one, or, while an
            experiment runs, the one that it gives the investor. None while none is active.
        excluded: what must not be recommended to each, and since when that is known; see
            ``excluded``.
    """

    histories: dict[UUID, InvestorHistory]
    buy_box_set_at: dict[UUID, datetime | None]
    versions: dict[UUID, UUID | None]
    excluded: dict[UUID, dict[UUID, datetime]]


Known = Callable[[UUID, Sequence[UUID]], PropertyColumns | None]
"""Looks properties of a tenant up in memory, in the order of the ids; None unless it has all."""


@cache
def _users_and_acts(excluding: frozenset[InteractionKind]) -> Statement:
    """Users, each with its newest acts and with what is excluded, as arrays; null if empty."""
    wanted = any_(parameter("user_ids", ARRAY(Uuid())))
    # Not the time when the transaction began: others may have committed since.
    moment = func.coalesce(parameter("as_of", DateTime(timezone=True)), func.statement_timestamp())
    # One subquery for each user, so that the index is read no further than the newest acts. Their
    # number is part of the text, because plans may be made before the values are known.
    newest = (
        select(Interaction.property_id, Interaction.kind, Interaction.occurred_at)
        .where(
            Interaction.user_id == User.id,
            Interaction.created_at <= moment,
        )
        .order_by(Interaction.occurred_at.desc(), Interaction.id.desc())
        .limit(literal_column(str(HISTORY_LIMIT)))
        .correlate(User)
        .subquery()
        .c
    )
    acts = select(
        func.array_agg(newest.property_id).label("property_ids"),
        func.array_agg(newest.kind).label("kinds"),
        func.array_agg(cast(extract("epoch", newest.occurred_at), Float(53))).label("moments"),
    ).lateral()
    # From the users, because a user may have a buy box and no acts yet.
    query = (
        select(
            User.id,
            User.buy_box,
            User.buy_box_set_at,
            experiments.version_of(User.id),
            moment,
            acts.c.property_ids,
            acts.c.kinds,
            acts.c.moments,
        )
        .join(Tenant, Tenant.id == User.tenant_id)
        .outerjoin(Experiment, and_(Experiment.tenant_id == User.tenant_id, experiments.RUNNING))
        .join(acts, true())
        .where(User.id == wanted)
    )
    if excluding:
        of_user = Interaction.user_id == User.id
        unwanted = _excluded(of_user, excluding).correlate(User).subquery().c
        found = select(
            func.array_agg(unwanted.property_id).label("property_ids"),
            func.array_agg(unwanted.known_since).label("known_since"),
        ).lateral()
        query = query.join(found, true()).add_columns(found.c.property_ids, found.c.known_since)
    return Statement(query)


def _excluded(
    of: ColumnElement[bool], excluding: frozenset[InteractionKind]
) -> Select[UUID, datetime]:
    """What investors interacted with in those kinds, and since when that is known."""
    return (
        select(Interaction.property_id, func.min(Interaction.created_at).label("known_since"))
        .where(of, Interaction.kind.in_(sorted(excluding)))
        .group_by(Interaction.property_id)
    )


_PROPERTIES = Statement(
    select(*SNAPSHOT).where(Property.id == any_(parameter("ids", ARRAY(Uuid()))))
)


@cache
def _excluded_of_one(excluding: frozenset[InteractionKind]) -> Statement:
    return Statement(_excluded(Interaction.user_id == parameter("user_id", Uuid()), excluding))


async def investors(
    reader: Reader,
    user_ids: Sequence[UUID],
    as_of: datetime | None = None,
    known: Known | None = None,
    excluding: frozenset[InteractionKind] = frozenset(),
) -> Investors:
    """Those of the users who exist, as investors.

    Args:
        reader: the transaction.
        user_ids: the users.
        as_of: the moment as of which histories are read; None for now, by the database's clock.
        known: looks up the properties acted on, so that they need not be read.
        excluding: the kinds of interactions after which a property must not be recommended.
    """
    rows = await reader.fetch(_users_and_acts(excluding), user_ids=list(user_ids), as_of=as_of)
    # Several investors may act on one property: it is read once.
    acted_on = list(dict.fromkeys(chain.from_iterable(row[5] or () for row in rows)))
    found = known(reader.tenant_id, acted_on) if known is not None else None
    if found is None:
        found = snapshots.columns(await reader.fetch(_PROPERTIES, ids=acted_on))
    place = {property_id: row for row, property_id in enumerate(found.ids)}
    return Investors(
        histories={row[0]: _history(row, found, place) for row in rows},
        buy_box_set_at={row[0]: row[2] for row in rows},
        versions={row[0]: row[3] for row in rows},
        excluded={row[0]: dict(zip(row[8] or (), row[9] or (), strict=True)) for row in rows}
        if excluding
        else {},
    )


async def get_many(
    reader: Reader, user_ids: Sequence[UUID], as_of: datetime | None = None
) -> dict[UUID, InvestorHistory]:
    """The histories of users as in ``investors``; empty ones for users who do not exist."""
    moment = as_of or await clock.now(reader)
    found = (await investors(reader, user_ids, moment)).histories
    return {
        user_id: found[user_id] if user_id in found else _nothing_done(user_id, moment)
        for user_id in user_ids
    }


async def excluded(
    reader: Reader, user_id: UUID, excluding: frozenset[InteractionKind]
) -> dict[UUID, datetime]:
    """What must not be recommended to the investor, and since when that is known.

    It is what the investor interacted with in one of the kinds ``excluding``, of which there is at
    least one.
    """
    rows = await reader.fetch(_excluded_of_one(excluding), user_id=user_id)
    return {row[0]: row[1] for row in rows}


def _nothing_done(user_id: UUID, moment: datetime) -> InvestorHistory:
    return _history(
        (user_id, None, None, None, moment, None, None, None), snapshots.columns([]), {}
    )


def _history(
    row: Sequence[Any], found: PropertyColumns, place: Mapping[UUID, int]
) -> InvestorHistory:
    user_id, box, _, _, moment, property_ids, kinds, moments = row[:8]
    acts = [
        (place[property_id], _KINDS[kind], at)
        # Without acts on properties that were deleted between the two reads.
        for property_id, kind, at in zip(
            property_ids or (), kinds or (), moments or (), strict=True
        )
        if property_id in place
    ]
    rows, codes, occurred_at = zip(*acts, strict=True) if acts else ((), (), ())
    return InvestorHistory(
        user_id=user_id,
        properties=found.take(rows),
        kind=np.array(codes, dtype=np.int8),
        occurred_at=np.array(occurred_at, dtype=np.float64),
        as_of=moment.timestamp(),
        buy_box=buy_boxes.loads(box),
    )
