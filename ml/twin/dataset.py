"""Interactions as tensors on the training device, and the vectorised lookups of training.

Events are sorted by investor and time, so that an investor's history before an event is the stretch
right before it: histories are gathered by arithmetic on positions, with no loop over rows.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from domain.contract.snapshots import HISTORY_LIMIT, InteractionLog
from domain.contract.vocabulary import INTERACTION_WEIGHTS, InteractionKind

DAY = 86_400.0
YEAR = 365.25 * DAY

KIND_WEIGHTS: NDArray[np.float32] = np.array(
    [INTERACTION_WEIGHTS[kind] for kind in InteractionKind], dtype=np.float32
)
"""``INTERACTION_WEIGHTS`` by position in ``InteractionKind``."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """All interactions, sorted by investor, then time.

    Attributes:
        user: int64 (m,), ascending.
        item: int64 (m,), row of the property.
        kind: int64 (m,), position in ``InteractionKind``.
        time: float64 (m,), seconds since 1970 UTC.
        start: int64 (users + 1,), where each investor's events begin; the last entry is m.
        items: how many properties there are.
    """

    user: Tensor
    item: Tensor
    kind: Tensor
    time: Tensor
    start: Tensor
    items: int

    def __len__(self) -> int:
        return len(self.user)

    @property
    def weight(self) -> Tensor:
        """float32 (m,), the signed weight of each event's kind."""
        return torch.from_numpy(KIND_WEIGHTS).to(self.kind.device)[self.kind]


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """The histories of b moments, newest first, padded to the longest of them.

    Attributes:
        item: int64 (b, h), rows of properties, 0 where padding.
        kind: int64 (b, h), 0 where padding.
        age: float32 (b, h), years before the moment, 0 where padding.
        present: bool (b, h), false where padding.
    """

    item: Tensor
    kind: Tensor
    age: Tensor
    present: Tensor

    def __getitem__(self, rows: Tensor) -> "Histories":
        """The histories of those moments, padded to the longest of them."""
        present = self.present[rows]
        occupied = present.any(dim=0).nonzero()
        longest = int(occupied.max()) + 1 if len(occupied) else 1
        return Histories(
            item=self.item[rows, :longest],
            kind=self.kind[rows, :longest],
            age=self.age[rows, :longest],
            present=present[:, :longest],
        )

    def newest(self, wanted: Tensor, most: int) -> "Histories":
        """The newest ``most`` of those interactions that are wanted, bool (b, h)."""
        wanted = wanted & self.present
        order = (~wanted).to(torch.int8).argsort(dim=1, stable=True)[:, :most]
        return Histories(
            item=self.item.gather(1, order),
            kind=self.kind.gather(1, order),
            age=self.age.gather(1, order),
            present=wanted.gather(1, order),
        )[torch.arange(len(order), device=order.device)]


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """The investors of a later slice of time, as they were when it began.

    Attributes:
        user: int64 (q,), the investors who approved of something new within the slice.
        histories: what each did before the slice.
        seen: int64 (2, s), pairs (query, property) not ranked because acted on before.
        relevant: int64 (2, r), unseen pairs (query, property) approved of, on balance, in it.
        disliked: int64 (2, d), pairs (query, property) disliked, on balance, in it.
        moment: seconds since 1970 UTC, when the slice began.
    """

    user: Tensor
    histories: Histories
    seen: Tensor
    relevant: Tensor
    disliked: Tensor
    moment: float

    def __len__(self) -> int:
        return len(self.user)


def recent(log: InteractionLog, lookback_days: int | None) -> InteractionLog:
    """The interactions of the last ``lookback_days`` before the newest one; all of them for None.

    The tables of users and properties that the log points into stay as they are.
    """
    if lookback_days is None or not len(log):
        return log
    keep = log.occurred_at >= log.occurred_at.max() - lookback_days * DAY
    return replace(
        log,
        user=log.user[keep],
        property=log.property[keep],
        kind=log.kind[keep],
        occurred_at=log.occurred_at[keep],
    )


def events(log: InteractionLog, items: int, device: torch.device) -> Events:
    """The log as tensors on the device."""
    order = np.lexsort((log.occurred_at, log.user))
    start = np.searchsorted(log.user[order], np.arange(len(log.users) + 1))

    def tensor(column: NDArray[np.generic], dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(column, dtype=dtype, device=device)

    return Events(
        user=tensor(log.user[order], torch.int64),
        item=tensor(log.property[order], torch.int64),
        kind=tensor(log.kind[order], torch.int64),
        time=tensor(log.occurred_at[order], torch.float64),
        start=tensor(start, torch.int64),
        items=items,
    )


def histories(
    data: Events, end: Tensor, begin: Tensor, moment: Tensor, leave_out: Tensor | None = None
) -> Histories:
    """The newest ``HISTORY_LIMIT`` events strictly before each moment.

    Args:
        data: where to look.
        end: int64 (b,), position after the last event that may belong to the history.
        begin: int64 (b,), position of the investor's first event.
        moment: float64 (b,), seconds; events at that very moment are left out.
        leave_out: int64 (b,), a property whose events are left out: the one to be predicted.
    """
    position = end[:, None] - 1 - torch.arange(HISTORY_LIMIT, device=end.device)
    present = position >= begin[:, None]
    position = position.clamp(min=0)
    present &= data.time[position] < moment[:, None]
    item = data.item[position]
    if leave_out is not None:
        present &= item != leave_out[:, None]
    longest = max(1, int(present.any(dim=0).nonzero().max()) + 1) if present.any() else 1
    present, position, item = present[:, :longest], position[:, :longest], item[:, :longest]
    age = ((moment[:, None] - data.time[position]) / YEAR).to(torch.float32)
    return Histories(
        item=item * present,
        kind=data.kind[position] * present,
        age=age * present,
        present=present,
    )


def company(
    data: Events, examples: Tensor, end: Tensor, most: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Properties that the examples' investors approved of beside the examples' own.

    Drawn from all of an investor's events before ``end``, later ones included: what two properties
    have in common does not depend on which was acted on first.

    Args:
        data: where to look.
        examples: int64 (b,), positions of events.
        end: int64 (users,), position after the last event that may be looked at.
        most: how many draws are made for each example, with replacement.
        rng: what draws.

    Returns:
        Rows of properties, int64 (b, most), and whether each is usable, bool (b, most).
    """
    user = data.user[examples]
    begin = data.start[user]
    share = torch.as_tensor(rng.random((len(examples), most)), device=begin.device)
    count = end[user] - begin
    position = begin[:, None] + (share * count[:, None]).to(torch.int64)
    item = data.item[position]
    return item, (data.weight[position] > 0) & (item != data.item[examples, None])


def examples(data: Events, before: float) -> Tensor:
    """Positions of the events to learn from, int64 (e,), ascending.

    An event is an example if it came before ``before`` and after something of positive weight that
    the same investor did with another property.
    """
    liked = data.weight > 0
    first = torch.full(
        (len(data.start) - 1,), torch.inf, dtype=torch.float64, device=data.user.device
    )
    first.scatter_reduce_(0, data.user[liked], data.time[liked], "amin")
    later = (data.time < before) & (data.time > first[data.user])
    chosen = later.nonzero()[:, 0]
    kept = []
    for block in torch.split(chosen, 16_384):
        history = histories(
            data, block, data.start[data.user[block]], data.time[block], data.item[block]
        )
        positive = torch.from_numpy(KIND_WEIGHTS > 0).to(block.device)[history.kind]
        kept.append(block[(positive & history.present).any(dim=1)])
    return torch.cat(kept) if kept else chosen


def queries(data: Events, since: float, until: float, most: int, seed: int) -> Queries:
    """The investors with something to find in ``[since, until)`` and something liked before it.

    At most ``most`` of them, drawn with ``seed``.
    """
    device = data.user.device
    users = len(data.start) - 1
    weight = data.weight
    past = data.time < since
    inside = (data.time >= since) & (data.time < until)
    pair = data.user * data.items + data.item
    seen = torch.unique(pair[past])
    # A view that led to a dismissal is no approval: what counts is the sum of what was done.
    touched, place = torch.unique(pair[inside], return_inverse=True)
    total = torch.zeros(len(touched), device=device).index_add_(0, place, weight[inside])
    relevant = touched[(total > 0) & ~torch.isin(touched, seen)]
    disliked = touched[total < 0]

    known = torch.zeros(users, dtype=torch.bool, device=device)
    known[data.user[past & (weight > 0)]] = True
    wanted = torch.zeros_like(known)
    wanted[relevant // data.items] = True
    user = (known & wanted).nonzero()[:, 0]
    if len(user) > most:
        drawn = np.random.default_rng(seed).choice(len(user), most, replace=False)
        user = user[torch.as_tensor(np.sort(drawn), device=device)]
    query = torch.full((users,), -1, device=device)
    query[user] = torch.arange(len(user), device=device)

    def pairs(keys: Tensor) -> Tensor:
        both = torch.stack((query[keys // data.items], keys % data.items))
        return both[:, both[0] >= 0]

    begin = data.start[user]
    end = begin + torch.bincount(data.user[past], minlength=users)[user]
    moment = torch.full((len(user),), since, dtype=torch.float64, device=device)
    return Queries(
        user=user,
        histories=histories(data, end, begin, moment),
        seen=pairs(seen),
        relevant=pairs(relevant),
        disliked=pairs(disliked),
        moment=float(since),
    )
