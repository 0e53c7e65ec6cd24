"""Simulated investors looking at the houses: views, saves, outreach, deals and feedback.

The houses are real and the investors are not. What they see depends on exposure: partly what
everybody sees, partly chance, mostly what their own search and their agent bring up. What they do
with a house they see depends on its true utility to them and on one draw of noise. Nobody knows
the utility but the simulation, so a model can be measured against it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample.investors import Investor, draw_investor
from sample.king_county import Houses
from sample.listings import Listings

START = np.datetime64("2014-03-01T00:00:00", "s")
# Houses sold in May 2015 are the last on record: after April, too few would come up as new.
END = np.datetime64("2015-05-01T00:00:00", "s")
DAYS = float((END - START) / np.timedelta64(1, "D"))
SECONDS_PER_DAY = 86_400

KINDS = ("VIEW", "SAVE", "OUTREACH", "DEAL", "THUMBS_UP", "THUMBS_DOWN", "DISMISS")
VIEW, SAVE, OUTREACH, DEAL, THUMBS_UP, THUMBS_DOWN, DISMISS = range(len(KINDS))

# Interest (utility plus standard logistic noise, in logits) that each step takes.
SAVE_INTEREST, OUTREACH_INTEREST, DEAL_INTEREST = 0.0, 2.0, 3.5
THUMBS_UP_INTEREST, THUMBS_DOWN_INTEREST, DISMISS_INTEREST = 1.0, -2.0, -1.0
# Of the houses that call for it, how many get it: others outbid, and few press buttons.
DEAL_SHARE, THUMBS_SHARE, DISMISS_SHARE = 0.5, 0.3, 0.2
# Where the houses seen come from.
POPULAR_SHARE, RANDOM_SHARE, SEARCH_SHARE, AGENT_SHARE = 0.2, 0.1, 0.3, 0.4
# Mean delay in days between a listing and its being noticed.
SOON, LATER = 10.0, 90.0
# One in so many has an account and never looks at anything.
IDLE_EVERY = 60


@dataclass(frozen=True)
class Interactions:
    """What happened, as columns of equal length in the order of time.

    `investor` and `house` are row numbers of the simulation's investors and houses, `kind` is a
    position in KINDS, `occurred_at` is UTC to the second.
    """

    investor: NDArray[np.int64]
    house: NDArray[np.int64]
    kind: NDArray[np.int64]
    occurred_at: NDArray[np.datetime64]

    def __len__(self) -> int:
        """Count the interactions."""
        return len(self.kind)


@dataclass(frozen=True)
class Simulation:
    """The simulated investors, what they did, and what they truly want."""

    houses: Houses
    estimated_value: NDArray[np.float64]
    investors: tuple[Investor, ...]
    interactions: Interactions

    def utility(self, investor: int) -> NDArray[np.float64]:
        """Give the true utility of every house to an investor (row number), float64 (n,), logits.

        In the order of `houses`. The probability of a save, once seen, is 1 / (1 + exp(-utility)).
        """
        return self.investors[investor].buy_box.utility(self.houses, self.estimated_value)


def simulate(
    houses: Houses,
    estimated_value: NDArray[np.float64],
    listings: Listings,
    *,
    seed: int,
    investors: int = 300,
) -> Simulation:
    """Simulate investors from March 2014 to April 2015: the same for the same arguments.

    Investors draw from streams of their own, so that investor 7 wants the same whatever their
    number. Nobody sees a house before it is listed or after someone made a deal on it. The first
    deal on a house stands; whatever would have come later on that house is dropped.
    """
    popularity = np.exp(np.random.default_rng([seed, 2]).normal(0.0, 1.5, len(houses)))
    everyone = []
    events = []
    for index in range(investors):
        random = np.random.default_rng([seed, 3, index])
        investor = draw_investor(
            index,
            houses,
            estimated_value,
            idle=index % IDLE_EVERY == IDLE_EVERY - 1,
            days=DAYS,
            random=random,
        )
        everyone.append(investor)
        utility = investor.buy_box.utility(houses, estimated_value)
        seen, seen_at = _exposures(investor, utility, houses, listings, popularity, random)
        row, kind, day = _reactions(utility[seen], seen_at, random)
        events.append((np.full(len(row), index), seen[row], kind, day))
    columns = [np.concatenate(column) for column in zip(*events, strict=True)] if events else []
    return Simulation(houses, estimated_value, tuple(everyone), _settle(columns))


def _exposures(
    investor: Investor,
    utility: NDArray[np.float64],
    houses: Houses,
    listings: Listings,
    popularity: NDArray[np.float64],
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose which houses an investor sees, without repeats, and on which day (from START)."""
    searched = np.exp(investor.buy_box.search_fit(houses))
    # An agent who knows the investor sends what suits, the best no more often than the very good.
    sent = np.exp(np.minimum(utility, 3.0))
    weight = (
        POPULAR_SHARE * popularity / popularity.sum()
        + RANDOM_SHARE / len(houses)
        + SEARCH_SHARE * searched / searched.sum()
        + AGENT_SHARE * sent / sent.sum()
    )
    # Adding Gumbel noise to log-weights and taking the largest samples without replacement.
    keys = np.log(weight) + random.gumbel(size=len(houses))
    seen = np.argsort(-keys, kind="stable")[: investor.views]
    listed = (listings.listed_on[seen] - START) / np.timedelta64(1, "D")
    earliest = np.maximum(listed.astype(np.float64), investor.joined)
    # Half are noticed soon after they are listed, half in the months that follow.
    delay = np.where(random.random(len(seen)) < 0.5, SOON, LATER)
    return seen, earliest + random.exponential(delay)


def _reactions(
    utility: NDArray[np.float64], seen_at: NDArray[np.float64], random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Turn exposures into events: row of the exposure, kind, day.

    A house is viewed when seen, then saved, asked after and bought as far as interest goes, each
    step days after the one before; thumbs and dismissals follow the view within the hour.
    """
    count = len(utility)
    interest = utility + random.logistic(size=count)
    chance = random.random((3, count))
    saved = interest > SAVE_INTEREST
    asked = interest > OUTREACH_INTEREST
    bought = (interest > DEAL_INTEREST) & (chance[0] < DEAL_SHARE)
    liked = (interest > THUMBS_UP_INTEREST) & (chance[1] < THUMBS_SHARE)
    disliked = (interest < THUMBS_DOWN_INTEREST) & (chance[1] < THUMBS_SHARE)
    dismissed = (interest < DISMISS_INTEREST) & (chance[2] < DISMISS_SHARE) & ~disliked

    a_minute, an_hour = 1 / 1440, 1 / 24
    saved_at = seen_at + random.uniform(a_minute, an_hour, count)
    asked_at = saved_at + random.uniform(an_hour, 3.0, count)
    bought_at = asked_at + random.uniform(3.0, 30.0, count)
    judged_at = seen_at + random.uniform(a_minute, an_hour, count)
    steps = [
        (VIEW, np.ones(count, dtype=np.bool_), seen_at),
        (SAVE, saved, saved_at),
        (OUTREACH, asked, asked_at),
        (DEAL, bought, bought_at),
        (THUMBS_UP, liked, judged_at),
        (THUMBS_DOWN, disliked, judged_at),
        (DISMISS, dismissed, judged_at),
    ]
    rows = [np.flatnonzero(happened) for _, happened, _ in steps]
    kinds = [np.full(len(row), kind) for row, (kind, _, _) in zip(rows, steps, strict=True)]
    days = [at[row] for row, (_, _, at) in zip(rows, steps, strict=True)]
    return np.concatenate(rows), np.concatenate(kinds), np.concatenate(days)


def _settle(columns: list[NDArray[np.float64]]) -> Interactions:
    """Put all events in the order of time, end them at END, and let each house be bought once."""
    if not columns:
        columns = [np.empty(0)] * 4
    investor, house, kind = (column.astype(np.int64) for column in columns[:3])
    second = np.floor(columns[3] * SECONDS_PER_DAY).astype(np.int64)
    # With kind last, a view and what follows it in the same second keep their order.
    order = np.lexsort((kind, house, investor, second))
    order = order[second[order] < DAYS * SECONDS_PER_DAY]
    investor, house, kind, second = investor[order], house[order], kind[order], second[order]

    position = np.arange(len(order))
    deals = np.flatnonzero(kind == DEAL)
    bought_at = np.full(int(house.max(initial=-1)) + 1, len(order))
    np.minimum.at(bought_at, house[deals], position[deals])
    stands = position <= bought_at[house]
    return Interactions(
        investor=investor[stands],
        house=house[stands],
        kind=kind[stands],
        occurred_at=START + second[stands].astype("timedelta64[s]"),
    )
