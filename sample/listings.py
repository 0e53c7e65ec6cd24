"""The part of a listing that records of sale do not have, simulated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sample.king_county import Houses

STATUSES = ("ACTIVE", "PENDING", "SOLD", "OFF_MARKET")
STATUS_SHARES = (0.7, 0.1, 0.15, 0.05)
MEDIAN_DAYS_ON_MARKET = 21.0
LONGEST_DAYS_ON_MARKET = 365


@dataclass(frozen=True)
class Listings:
    """Simulated listings, as columns of n rows in the order of the houses they belong to."""

    status: NDArray[np.str_]
    days_on_market: NDArray[np.int64]
    listed_on: NDArray[np.datetime64]


def simulate_listings(houses: Houses, *, seed: int) -> Listings:
    """Imagine how each house was listed: the same for the same seed.

    The days on market are log-normal with a median of 21, from 1 to 365, and the listing date lies
    that long before the recorded sale. The status is drawn with fixed shares (70% ACTIVE), so that
    filters by status find something. All of it is independent of what the simulated investors do:
    a status that told who bought would hand a model the answers.
    """
    random = np.random.default_rng([seed, 1])
    days = np.exp(random.normal(np.log(MEDIAN_DAYS_ON_MARKET), 0.8, len(houses)))
    days_on_market = np.clip(np.round(days), 1, LONGEST_DAYS_ON_MARKET).astype(np.int64)
    return Listings(
        status=random.choice(np.array(STATUSES), size=len(houses), p=STATUS_SHARES),
        days_on_market=days_on_market,
        listed_on=houses.sold_on - days_on_market.astype("timedelta64[D]"),
    )
