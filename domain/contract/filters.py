"""Which properties are wanted: one filter for lists, facets and the index alike."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.contract.vocabulary import ListingStatus, PropertyType


@dataclass(frozen=True, slots=True)
class Range:
    """A closed interval; None leaves that side open."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Circle:
    """All points within ``radius_km`` (great circle) of a point in degrees."""

    latitude: float
    longitude: float
    radius_km: float


@dataclass(frozen=True, slots=True)
class Box:
    """All points between two corners, in degrees; ``west`` is smaller than ``east``.

    A side at a pole or at the 180th meridian does not restrict.
    """

    south: float
    west: float
    north: float
    east: float


WORLD = Box(-90, -180, 90, 180)
"""A box that restricts nothing."""


@dataclass(frozen=True, slots=True)
class Polygon:
    """All points within a ring of corners: (latitude, longitude) in degrees.

    The lines are straight on the map of degrees, and the last corner joins the first. Where lines
    cross, a point is inside if the ring winds around it. The border itself is left open,
    except at a pole or at the 180th meridian, where it does not restrict.
    """

    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """Which properties are wanted. Empty tuples and None do not restrict; all parts must hold.

    A property whose value is missing never matches a part that restricts that value.
    ``listed_after`` and ``listed_before`` leave out the moment itself; ranges, circles and boxes
    include their borders. A property that lacks a coordinate lies in no area; ``WORLD`` is no
    restriction, and becomes None. ``words`` must each begin a word of the property: see
    ``words_of``. ``owned`` asks for what an investor of the tenant made a deal on, or for the rest.
    ``added`` restricts, by name, what other nouns know of properties; no index knows it.
    """

    ids: tuple[UUID, ...] = ()
    exclude_ids: tuple[UUID, ...] = ()
    external_ids: tuple[str, ...] = ()
    property_types: tuple[PropertyType, ...] = ()
    zipcodes: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    listing_statuses: tuple[ListingStatus, ...] = ()
    words: tuple[str, ...] = ()
    listed_after: datetime | None = None
    listed_before: datetime | None = None
    price: Range | None = None
    estimated_value: Range | None = None
    price_per_square_foot: Range | None = None
    cap_rate: Range | None = None
    cash_on_cash_return: Range | None = None
    bedrooms: Range | None = None
    bathrooms: Range | None = None
    square_feet: Range | None = None
    lot_square_feet: Range | None = None
    year_built: Range | None = None
    days_on_market: Range | None = None
    condition_score: Range | None = None
    renovation_needed: bool | None = None
    owned: bool | None = None
    circle: Circle | None = None
    box: Box | None = None
    polygon: Polygon | None = None
    added: tuple[tuple[str, Range], ...] = ()

    def __post_init__(self) -> None:
        if self.box == WORLD:
            object.__setattr__(self, "box", None)


RANGES: dict[str, str] = {
    "price": "listing_price",
    "estimated_value": "estimated_value",
    "price_per_square_foot": "price_per_square_foot",
    "cap_rate": "cap_rate",
    "cash_on_cash_return": "cash_on_cash_return",
    "bedrooms": "bedrooms",
    "bathrooms": "bathrooms",
    "square_feet": "square_feet",
    "lot_square_feet": "lot_square_feet",
    "year_built": "year_built",
    "days_on_market": "days_on_market",
    "condition_score": "condition_score",
}
"""The parts of a filter that are ranges, and the property's value that each is about."""


class Labels(NamedTuple):
    """What a property is found by, and no model reads.

    Attributes:
        external_id: its id in the tenant's own systems.
        state: its state, as in the source.
        words: what a search for text looks at; see ``words_of``.
    """

    external_id: str
    state: str | None
    words: tuple[str, ...]


APOSTROPHES = "'\u2019"
"""Left out of words: O'Brien is obrien."""

SEPARATORS = (
    ' !"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n\r'
    "\u00a0\u00ab\u00b7\u00bb\u2010\u2011\u2012\u2013\u2014\u2018\u201c\u201d\u2026\u2116"
)
"""What stands between words; no word holds what means something in LIKE."""

# As the database's collation pg_c_utf8 has it: letter by letter, each becoming one.
_WORDS = str.maketrans(dict.fromkeys(SEPARATORS, " ") | dict.fromkeys(APOSTROPHES, ""))


def words_of(text: str) -> tuple[str, ...]:
    """The words to search for, each once, in lower case: "12-14 O'Brien" is 12, 14 and obrien.

    What the database keeps of a property is split in the same way: see ``Property.search``.
    """
    lowered = "".join("i" if letter == "\u0130" else letter.lower() for letter in text)
    words = lowered.translate(_WORDS).split(" ")
    return tuple(dict.fromkeys(word for word in words if word))
