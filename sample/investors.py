"""Who the simulated investors are and what they want: buy boxes with a true utility."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sample.king_county import Houses

# ln(estimated value / price) beyond this says more about the estimate than about the bargain.
LARGEST_DISCOUNT = 0.4
# Buy boxes sit where enough houses resemble each other: not among the cheapest or the mansions.
ANCHOR_QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class Strategy:
    """What a kind of investor cares about beside place, price and size.

    The weights are in logits: `discount` for a tenth of ln(estimated value / price), `condition`
    from the worst condition to the best, `newness` for forty years. `tolerance` scales how far
    from the ideal price and size the investor still looks.
    """

    name: str
    discount: float
    condition: float
    newness: float
    tolerance: float


STRATEGIES = (
    Strategy("bargains", discount=1.5, condition=0.0, newness=0.0, tolerance=1.5),
    Strategy("fixer-uppers", discount=0.7, condition=-5.0, newness=-0.5, tolerance=1.2),
    Strategy("move-in ready", discount=0.3, condition=3.5, newness=0.5, tolerance=1.0),
    Strategy("newer houses", discount=0.3, condition=1.0, newness=2.0, tolerance=1.0),
    Strategy("older houses", discount=0.5, condition=1.0, newness=-1.5, tolerance=1.2),
)


@dataclass(frozen=True)
class BuyBox:
    """One investor's taste.

    `centres` are (c, 2) kilometres east and north as in Houses.kilometres, `radius` kilometres,
    `price` US dollars and `square_feet` the ideals, each with a relative tolerance. `offset`
    (logits) sets how choosy the investor is.
    """

    strategy: Strategy
    centres: NDArray[np.float64]
    radius: float
    price: float
    price_tolerance: float
    square_feet: float
    size_tolerance: float
    offset: float

    def search_fit(self, houses: Houses) -> NDArray[np.float64]:
        """Fit of place and price, all that a search form asks for: float64 (n,), logits, <= 0."""
        east, north = houses.kilometres.T
        nearest = np.min([np.hypot(east - x, north - y) for x, y in self.centres], axis=0)
        place = _penalty(nearest / self.radius)
        price = _penalty(np.log(houses.price / self.price) / self.price_tolerance)
        return -2.0 * place - 1.5 * price

    def utility(self, houses: Houses, estimated_value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the true utility of every house, float64 (n,), in logits.

        The probability that this investor saves a house once seen is 1 / (1 + exp(-utility)).
        It depends on nothing but columns that are imported: place, price, estimated value,
        square feet, condition and year built.
        """
        wants = self.strategy
        size = _penalty(np.log(houses.square_feet / self.square_feet) / self.size_tolerance)
        discount = np.log(estimated_value / houses.price)
        return (
            self.offset
            + self.search_fit(houses)
            - size
            + wants.discount * 10 * np.clip(discount, -LARGEST_DISCOUNT, LARGEST_DISCOUNT)
            + wants.condition * (houses.condition_score - 0.5)
            + wants.newness * (houses.year_built - 1970.0) / 40.0
        )


@dataclass(frozen=True)
class Investor:
    """A simulated investor: identity, taste, and how much and from when they look.

    `views` is how many houses they would look at by the end, 0 for some; `joined` is days after
    the start of the simulation.
    """

    external_id: str
    email: str
    name: str
    buy_box: BuyBox
    views: int
    joined: float


def draw_investor(
    index: int,
    houses: Houses,
    estimated_value: NDArray[np.float64],
    *,
    idle: bool,
    days: float,
    random: np.random.Generator,
) -> Investor:
    """Draw investor `index` (from 0), with a buy box around a house that really exists.

    Anchoring the box to a house keeps place, price and size consistent with each other, and the
    offset is set so that some 20 to 300 houses of the county have a utility above 2. An `idle`
    investor has an account and never looks at anything. Half are there from the first day, the
    others join within the first half of the `days` simulated.
    """
    strategy = STRATEGIES[int(random.integers(len(STRATEGIES)))]
    low, high = np.quantile(houses.price, ANCHOR_QUANTILES)
    anchor = int(random.choice(np.flatnonzero((houses.price >= low) & (houses.price <= high))))
    similar = np.flatnonzero(np.abs(np.log(houses.price / houses.price[anchor])) < 0.2)
    others = random.choice(similar, size=int(random.integers(0, 3)))
    box = BuyBox(
        strategy=strategy,
        centres=houses.kilometres[[anchor, *others]],
        radius=float(np.clip(np.exp(random.normal(np.log(3.0), 0.5)), 1.0, 12.0)),
        price=float(houses.price[anchor]),
        price_tolerance=strategy.tolerance * float(random.uniform(0.1, 0.25)),
        square_feet=float(houses.square_feet[anchor]),
        size_tolerance=strategy.tolerance * float(random.uniform(0.15, 0.35)),
        offset=0.0,
    )
    wanted = int(np.clip(np.exp(random.normal(np.log(80.0), 0.6)), 20, 300))
    ranked = np.sort(box.utility(houses, estimated_value))
    box = replace(box, offset=2.0 - float(ranked[-min(wanted, len(ranked))]))
    # Log-normal: most look at some dozens of houses, a few at hundreds, and a few at one or two.
    views = int(np.clip(np.exp(random.normal(np.log(65.0), 1.0)), 1, 600))
    identifier = f"investor-{index + 1:03d}"
    places = dict.fromkeys(str(houses.city[house]) or "King County" for house in (anchor, *others))
    return Investor(
        external_id=identifier,
        email=f"{identifier}@simulated.example",
        name=f"Simulated investor {index + 1:03d}: {strategy.name} around {', '.join(places)}",
        buy_box=box,
        views=0 if idle else views,
        joined=max(0.0, float(random.uniform(-0.5, 0.5)) * days),
    )


def _penalty(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Grow with the square of small deviations and in proportion to large ones."""
    return np.asarray(np.sqrt(1.0 + deviation * deviation) - 1.0)
