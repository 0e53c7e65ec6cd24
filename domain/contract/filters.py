"""Which properties are wanted: one filter for lists, facets and the index alike."""

import re
import string
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from unicodedata import normalize
from uuid import UUID

from domain.contract.vocabulary import ListingStatus, PropertyType

EARTH_RADIUS_KM = 6371.0088
KM_PER_DEGREE = 111.19
"""Kilometres of a degree of latitude, rounded down."""

_BEYOND = 1 + 1e-11
_TINY = 1e-12
"""Degrees. Products of much smaller ones underflow, which is an error in SQL."""


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

    def ring(self) -> list[tuple[float, float]]:
        """The corners, those at a pole or at the 180th meridian moved beyond all that lies there.

        Whether a place lies within is computed with these, and not with ``corners``.
        """
        return [
            (_on_ring(latitude, 90), _on_ring(longitude, 180))
            for latitude, longitude in self.corners
        ]


def _on_ring(degrees: float, limit: float) -> float:
    if abs(degrees) >= limit:
        return degrees * _BEYOND
    return degrees if abs(degrees) > _TINY else 0.0


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """Which properties are wanted. Empty tuples and None do not restrict; all parts must hold.

    A property whose value is missing never matches a part that restricts that value.
    ``listed_after`` and ``listed_before`` leave out the moment itself; ranges, circles and boxes
    include their borders. A property that lacks a coordinate lies in no area; ``WORLD`` is no
    restriction, and becomes None. ``words`` must each begin a word of the property: see
    ``words_of``. ``exclude_listing_statuses`` keeps properties of unknown status. ``owned`` asks
    for what an investor of the tenant made a deal on, or for the rest. ``added`` restricts, by
    name, what other nouns know of properties; no index knows it.
    """

    ids: tuple[UUID, ...] = ()
    exclude_ids: tuple[UUID, ...] = ()
    external_ids: tuple[str, ...] = ()
    property_types: tuple[PropertyType, ...] = ()
    zipcodes: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    listing_statuses: tuple[ListingStatus, ...] = ()
    exclude_listing_statuses: tuple[ListingStatus, ...] = ()
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
    "\u00a0\u00ab\u00b7\u00bb\u2010\u2011\u2012\u2013\u2014\u201c\u201d\u2026"
)
"""What stands between words; no word holds what means something in LIKE."""

MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
"""Ranges of combining marks, such as accents; not those of scripts that write vowels as marks."""

PLAIN_LETTERS = dict(
    zip(
        "\u00f8\u00d8\u0111\u0110\u00f0\u00d0\u0142\u0141\u0127\u0126\u0167\u0166\u0131\u03c2"
        "\u02bb\u02bc\u2018\u2044",
        "oOdDdDlLhHtTi\u03c3''' ",
        strict=True,
    )
)
"""Letters that do not decompose, and what people type for them: an apostrophe for those that
Hawaiian writes, and a blank within a fraction."""

LIGATURES = {
    "\u00df": "ss", "\u1e9e": "SS", "\u00e6": "ae", "\u00c6": "AE", "\u0153": "oe", "\u0152": "OE",
    "\u00fe": "th", "\u00de": "TH",
}  # fmt: skip
"""Letters for which people type two."""

# Decomposed, \u2116 is No, \u00bd is 1/2 and \u00b4 is a blank: none may join or part words.
_APART = str.maketrans({"\u2116": " ", "\u00b4": "'"})
_FRACTION = re.compile("[\u00bc-\u00be\u2150-\u215f\u2189]")
_MARK = re.compile(f"[{MARKS}]")
_LETTERS = str.maketrans(PLAIN_LETTERS | LIGATURES)
_WORDS = str.maketrans(dict.fromkeys(SEPARATORS, " ") | dict.fromkeys(APOSTROPHES, ""))


def words_of(text: str) -> tuple[str, ...]:
    """The words to search for, each once, in lower case: "12-14 O'Brien" is 12, 14 and obrien.

    Letters lose their accents, ligatures and wide digits become plain ones: "San Jos\u00e9" is san
    and jose.

    What the database keeps of a property is split in the same way: see ``Property.search``.
    """
    if not text.isascii():
        text = _FRACTION.sub(r" \g<0>", text.translate(_APART))
        text = _MARK.sub("", normalize("NFKD", text)).translate(_LETTERS)
    # As the database's collation pg_c_utf8 does: letter by letter, each to one letter.
    lowered = text.lower() if text.isascii() else "".join(letter.lower() for letter in text)
    words = lowered.translate(_WORDS).split(" ")
    return tuple(dict.fromkeys(word for word in words if word))


LEADING_ZERO_STATES = (
    "ae", "ct", "ma", "me", "nh", "nj", "ny", "pr", "ri", "vi", "vt", "armed forces europe",
    "connecticut", "maine", "massachusetts", "new hampshire", "new jersey", "new york",
    "puerto rico", "rhode island", "u.s. virgin islands", "us virgin islands", "vermont",
    "virgin islands",
)  # fmt: skip
"""States with ZIP codes that begin with 0. Not all states: WA is Western Australia as well, where
postcodes have four digits."""

_AND_4 = r"(?: ?-? ?[0-9]{4}| ?-)?(?:\.0*)?$"
ZIP_CODE = f"^([0-9]{{5}}){_AND_4}"
SHORT_ZIP_CODE = f"^([0-9]{{3,4}}){_AND_4}"
"""A ZIP code that may have lost its leading zeros; like ``ZIP_CODE``, for Python and PostgreSQL."""

_WHOLE_NUMBER = re.compile(r"([0-9]+)\.0*")
_CANADIAN = re.compile("([A-Z][0-9][A-Z])[ -]?([0-9][A-Z][0-9])")
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_ASCII_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


def canonical_zipcode(zipcode: str, state: str | None = None, *, cut: bool = False) -> str:
    """The ZIP code that filters, facets and models use: five digits, without ZIP+4.

    The database computes the same; see ``Property.canonical_zipcode``. Codes of other countries
    stay as they are, in capital letters, Canadian ones with their blank.

    Args:
        zipcode: as it was given.
        state: says with ``LEADING_ZERO_STATES`` that a shorter code lost its zeros.
        cut: the column of the file shows that it lost its zeros.
    """
    # For a line break at the end, which "$" allows in Python, a pattern has to match all.
    if found := re.fullmatch(ZIP_CODE, zipcode):
        return found[1]
    lost_zeros = cut or (state is not None and state.translate(_ASCII_LOWER) in LEADING_ZERO_STATES)
    if lost_zeros and (found := re.fullmatch(SHORT_ZIP_CODE, zipcode)):
        return found[1].rjust(5, "0")
    if found := _WHOLE_NUMBER.fullmatch(zipcode):
        return found[1]
    capital = zipcode.translate(_ASCII_UPPER)
    return f"{found[1]} {found[2]}" if (found := _CANADIAN.fullmatch(capital)) else capital
