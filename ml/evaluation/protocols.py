"""Which properties are ranked for which investors, and what they turned out to want.

Time is cut once, at a quantile of the interactions. Everything a scorer may see was known at the
cut; what investors approved of later is what it should have ranked high. Nothing is split by
investor: who was never seen in training would be an investor without a history.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from domain.contract.snapshots import (
    HISTORY_LIMIT,
    InteractionLog,
    InvestorHistory,
    PropertyColumns,
)
from domain.contract.vocabulary import InteractionKind
from ml.measures.baselines import FAR_AWAY_KM
from ml.twin.dataset import KIND_WEIGHTS

KILOMETRES_PER_DEGREE = 111.195
"""Along a meridian of the mean sphere."""

SAME_SITE_KM = 0.3
"""What lies nearer to something owned counts as the same site: the same building, mostly."""

_CELLS = 8_000_000
"""Distances looked at together: bounds memory, however many properties there are."""

_DEAL = list(InteractionKind).index(InteractionKind.DEAL)

Rows = NDArray[np.intp]


class EvaluationError(ValueError):
    """There is too little to measure on; says what is missing."""


class Protocol(StrEnum):
    """What is ranked for an investor; never what the investor acted on before the cut."""

    ALL = "all"
    """Every other property."""
    NEIGHBOURHOOD = "neighbourhood"
    """The other properties of one neighbourhood, once for each in which a target lies."""
    NEW_LISTINGS = "new-listings"
    """What nobody owned at the cut."""
    NEW_SITE = "new-site"
    """What lies over 300 m from everything the investor owned at the cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One ranking to be made.

    Attributes:
        investor: what was known at the cut; its newest ``HISTORY_LIMIT`` acts, as of the cut.
        approved: rows of what the investor approved of, on balance, before the cut, oldest first;
            for a tenant with deals alone: everything owned, beyond ``HISTORY_LIMIT`` too.
        candidates: bool (n,), what is to be ranked.
        relevant: rows of the candidates that the investor approved of later; at least one.
    """

    investor: InvestorHistory
    approved: Rows
    candidates: NDArray[np.bool_]
    relevant: Rows


@dataclass(frozen=True, slots=True, eq=False)
class _Investor:
    """``newest`` are positions in ``Split.past``, at most ``HISTORY_LIMIT``; the rest are rows."""

    user: int
    newest: Rows
    acted_on: Rows
    approved: Rows
    owned: Rows
    targets: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A tenant's data at the cut.

    Attributes:
        columns: the properties, with ``owners`` as of the cut.
        past: the interactions before the cut; its table of users is the whole log's.
        cut: seconds since 1970 UTC.
        kilometres: float64 (n, 2) east and north of the middle, NaN where unknown.
        taken: bool (n,), what somebody owned at the cut.
    """

    columns: PropertyColumns
    past: InteractionLog
    cut: float
    kilometres: NDArray[np.float64]
    taken: NDArray[np.bool_]
    _investors: tuple[_Investor, ...]
    _neighbourhood: NDArray[np.intp]

    def queries(self, protocol: Protocol, most: int = 2000, seed: int = 0) -> Iterator[Query]:
        """The rankings of a protocol, those of one investor in a row.

        At most ``most`` investors, drawn with ``seed`` among those the protocol has targets for.
        """
        order = np.arange(len(self._investors))
        if len(order) > most:
            order = np.random.default_rng(seed).permutation(order)
        asked = 0
        for position in order:
            queries = list(self._queries(protocol, self._investors[position]))
            yield from queries
            asked += bool(queries)
            if asked == most:
                return

    def in_blocks(self, rows: Rows) -> list[Rows]:
        """The rows in parts whose ``distances`` take bounded memory."""
        return np.array_split(rows, -(-len(rows) * len(self.columns) // _CELLS) or 1)

    def distances(self, rows: Rows) -> NDArray[np.float64]:
        """Kilometres from every property to each of the given, float64 (n, len(rows))."""
        east, north = (axis[:, None] - axis[rows] for axis in self.kilometres.T)
        apart = np.asarray(np.sqrt(east**2 + north**2))
        apart[np.isnan(apart)] = FAR_AWAY_KM
        return apart

    def _queries(self, protocol: Protocol, one: _Investor) -> Iterator[Query]:
        candidates = np.ones(len(self.columns), dtype=np.bool_)
        candidates[one.acted_on] = False
        regions = [candidates]
        if protocol is Protocol.NEIGHBOURHOOD:
            names = np.unique(self._neighbourhood[one.targets])
            regions = [candidates & (self._neighbourhood == name) for name in names if name >= 0]
        elif protocol is Protocol.NEW_LISTINGS:
            regions = [candidates & ~self.taken]
        elif protocol is Protocol.NEW_SITE:
            for rows in self.in_blocks(one.owned):
                near = self.distances(rows).min(axis=1, initial=np.inf)
                candidates &= near > SAME_SITE_KM
        for region in regions:
            relevant = one.targets[region[one.targets]]
            if len(relevant):
                yield Query(self._history(one), one.approved, region, relevant)

    def _history(self, one: _Investor) -> InvestorHistory:
        # Made when asked for: those of all investors at once would be most of the memory.
        return InvestorHistory(
            user_id=self.past.users[one.user],
            properties=self.columns.take(self.past.property[one.newest].astype(np.intp)),
            kind=self.past.kind[one.newest],
            occurred_at=self.past.occurred_at[one.newest],
            as_of=self.cut,
        )


def split(
    columns: PropertyColumns,
    log: InteractionLog,
    *,
    quantile: float = 0.8,
    cut: float | None = None,
    least: int = 2,
) -> Split:
    """Cut a tenant's data in time.

    Approved of is what an investor did more for than against, by the weights of the kinds; owned
    is what an investor made a deal on, or, where nobody makes deals, approved of.

    Args:
        columns: the properties.
        log: all interactions.
        quantile: share of the interactions that came before the cut.
        cut: seconds since 1970 UTC, instead of a share.
        least: investors with fewer approvals before the cut are not asked about, nor are those with
            none among their newest ``HISTORY_LIMIT`` acts.

    Raises:
        EvaluationError: there is no interaction, or no investor to ask about.
    """
    if not len(log):
        raise EvaluationError("evaluation needs interactions; there are none")
    if cut is None:
        cut = float(np.quantile(log.occurred_at, quantile))
    early = log.occurred_at < cut
    past = _part(log, early)
    before, after = _approvals(past, len(columns)), _approvals(_part(log, ~early), len(columns))
    deals = _part(past, past.kind == _DEAL)
    dealt = np.unique(_pairs(deals, len(columns)))
    owners = np.bincount(dealt % len(columns), minlength=len(columns)).astype(np.int32)
    owned = dealt if _DEAL in log.kind else before
    taken = np.zeros(len(columns), dtype=np.bool_)
    taken[owned % len(columns)] = True
    columns = replace(columns, owners=owners)

    seen = _by_investor(_first_acts(past, len(columns)), log, len(columns))
    sought = _by_investor(after, log, len(columns))
    asked = []
    # Newest last within an investor; of acts at one moment, the later row of the log.
    order = np.lexsort((past.occurred_at, past.user))
    start = np.searchsorted(past.user[order], np.arange(len(log.users) + 1))
    for user in range(len(log.users)):
        if not len(sought[user]):
            continue
        acted_on = seen[user]
        approved = acted_on[_within(user * len(columns) + acted_on, before)]
        targets = np.setdiff1d(sought[user], acted_on)
        if len(approved) < least or not len(targets):
            continue
        newest = order[start[user] : start[user + 1]][::-1][:HISTORY_LIMIT]
        # A model that reads no further knows nothing good of who has only disliked since.
        if not (KIND_WEIGHTS[past.kind[newest]] > 0).any():
            continue
        mine = acted_on[_within(user * len(columns) + acted_on, owned)]
        asked.append(_Investor(user, newest, acted_on, approved, mine, targets))
    if not asked:
        raise EvaluationError(
            f"evaluation needs investors with at least {least} approvals before "
            f"{datetime.fromtimestamp(cut, UTC):%Y-%m-%d %H:%M} UTC, the first {early.mean():.0%} "
            "of the interactions, and a new one after; there are none"
        )
    return Split(
        columns=columns,
        past=past,
        cut=cut,
        kilometres=_kilometres(columns),
        taken=taken,
        _investors=tuple(asked),
        _neighbourhood=_neighbourhoods(columns),
    )


def _part(log: InteractionLog, keep: NDArray[np.bool_]) -> InteractionLog:
    return replace(
        log,
        user=log.user[keep],
        property=log.property[keep],
        kind=log.kind[keep],
        occurred_at=log.occurred_at[keep],
    )


def _pairs(log: InteractionLog, count: int) -> NDArray[np.int64]:
    """Investor and property of each interaction as one number, user * count + row."""
    return log.user.astype(np.int64) * count + log.property


def _approvals(log: InteractionLog, count: int) -> NDArray[np.int64]:
    """The pairs for which more speaks than against, ascending."""
    pair, place = np.unique(_pairs(log, count), return_inverse=True)
    balance = np.bincount(place, weights=KIND_WEIGHTS[log.kind], minlength=len(pair))
    return pair[balance > 0]


def _within(pairs: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the pairs are among others, ascending: without going through all of those."""
    place = np.searchsorted(among, pairs)
    return np.asarray(np.append(among, -1)[place] == pairs)


def _first_acts(log: InteractionLog, count: int) -> NDArray[np.int64]:
    """The pairs in the order of their first act."""
    pair, first = np.unique(_pairs(log, count), return_index=True)
    return pair[np.argsort(first)]


def _by_investor(pairs: NDArray[np.int64], log: InteractionLog, count: int) -> list[Rows]:
    """The rows of each of the log's users, in the order of the pairs."""
    pairs = pairs[np.argsort(pairs // count, kind="stable")]
    edges = np.searchsorted(pairs // count, np.arange(1, len(log.users)))
    return [part.astype(np.intp) for part in np.split(pairs % count, edges)]


def _kilometres(columns: PropertyColumns) -> NDArray[np.float64]:
    latitude, longitude = columns.column("latitude"), columns.column("longitude")
    if not (np.isfinite(latitude) & np.isfinite(longitude)).any():
        return np.full((len(columns), 2), np.nan)
    middle = np.nanmean(latitude)
    north = (latitude - middle) * KILOMETRES_PER_DEGREE
    east = (longitude - np.nanmean(longitude)) * KILOMETRES_PER_DEGREE
    return np.stack((east * np.cos(np.radians(middle)), north), axis=1)


def _neighbourhoods(columns: PropertyColumns) -> NDArray[np.intp]:
    """A number for each zip code, or city where no property has a zip code; -1 where missing."""
    names = columns.zipcode if any(columns.zipcode) else columns.city
    known = {name: number for number, name in enumerate(sorted({name for name in names if name}))}
    return np.array([known.get(name or "", -1) for name in names], dtype=np.intp)
