"""Canonical values: what people and programs write, in the one form that the rules check.

Files and API pass the same gate; see ``domain.core.input_rules``. A value that is written in a form
of its own comes back as ``Changed``, which says how it was read. A value that cannot be read comes
back as it is, and the rule of its field refuses it.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from unicodedata import is_normalized, normalize


class Changed(NamedTuple):
    """A value that was written in another form.

    Attributes:
        value: the canonical value; None for a missing one.
        kind: how it was written; the same words for the same form.
    """

    value: Any
    kind: str


def value_of(found: Any) -> Any:
    """The canonical value that a function of this module returned."""
    return found.value if type(found) is Changed else found


@dataclass(frozen=True, slots=True)
class Canonical:
    """Marks a field of a model with the function that makes its values canonical."""

    function: Callable[[Any], Any]


NULL_WORD = "null word"
COMPOSED = "Unicode form"
SPACING = "blanks within or invisible letters"
SPREADSHEET = "spreadsheet notation"
ID_AS_NUMBER = "id written as a number"
NUMBER = "number in another notation"
TIME = "time in another notation"
WORD = "recognised word"

_NULL_KEYS = {
    "null", "(null)", "<null>", "[null]", r"\n", r"\\n", "nan", "-nan", "n/a", "n / a", "#n/a",
    "#na", "none", "(none)", "<none>", "nil", "undefined", "(blank)", "#null!", "#value!", "#ref!",
    "#div/0!", "#name?", "#num!", "-", "--", "---", "\u2013", "\u2014", "\u2212",
}  # fmt: skip
"""Words for a missing identifier: those that no system gives as one."""

_NULLS = _NULL_KEYS | {
    "na", "n.a.", "n.a", "unknown", "unk", "unspecified", "missing", "tbd", "tba", ".", "?", "??",
    "not available", "not applicable", "not provided", "not disclosed", "not specified",
}  # fmt: skip

_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_BLANKS = re.compile(r"\s+")
_FORMULA = re.compile(r'="(.*)"', re.DOTALL)
_FLOAT_ID = re.compile(r"(0|[1-9]\d*)\.0*")
_HUMPS = re.compile("(?<=[a-z])(?=[A-Z])")
_ZEROS = re.compile("0+")


def word(value: str) -> str:
    """A word or phrase as vocabularies list it: lower-case letters and digits, single blanks.

    "Condo/Co-op" is "condo co op", and "ActiveUnderContract" is "active under contract".
    """
    folded = _HUMPS.sub(" ", normalize("NFC", value)).casefold()
    return " ".join("".join(one if one.isalnum() else " " for one in folded).split())


def is_null(value: str) -> bool:
    """Whether the text is blank or a word for a missing value."""
    return not value or value.isspace() or value.strip().casefold() in _NULLS


def text(value: Any) -> Any:
    """Text in Unicode NFC, without blanks around it, invisible letters and spreadsheet notation.

    None for blank text; numbers become text.
    """
    if type(value) is not str:
        return _number_as_text(value)
    clean, kind = value.strip(), ""
    if not clean:
        return None
    if not clean.isascii():
        if not is_normalized("NFC", clean):
            clean, kind = normalize("NFC", clean), COMPOSED
        if _INVISIBLE.search(clean):
            clean, kind = _INVISIBLE.sub("", clean).strip(), SPACING
    if clean and clean[0] in "=\"'" and (bare := _bare(clean)) != clean:
        clean, kind = bare, SPREADSHEET
    return Changed(clean or None, kind) if kind else clean


def _number_as_text(value: Any) -> Any:
    # Whole numbers in JSON may come as floats, and only so many of their digits are kept.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return Changed(str(int(value)), ID_AS_NUMBER)
    return value


def _bare(value: str) -> str:
    """Text without what spreadsheets put around it: ="02139", '02139 and "Kent"."""
    if formula := _FORMULA.fullmatch(value):
        return formula[1].replace('""', '"').strip()
    # Not of every text: 's-Hertogenbosch is a city.
    if value[0] == "'" and value[1:2].isdigit():
        return value[1:].strip()
    if len(value) > 1 and value[0] == value[-1] == '"' and '"' not in value[1:-1]:
        return value[1:-1].strip()
    return value


def _then(found: Any, kind: str, value: Any) -> Changed:
    """A further change of what ``text`` returned; its kind if that changed it already."""
    return Changed(value, found.kind if type(found) is Changed else kind)


def phrase(value: Any) -> Any:
    """The text of a place or a name of a system: single blanks within, None for a null word."""
    found = text(value)
    clean = value_of(found)
    if type(clean) is not str:
        return found
    if clean.casefold() in _NULLS:
        return Changed(None, NULL_WORD)
    if (single := _BLANKS.sub(" ", clean)) != clean:
        return _then(found, SPACING, single)
    return found


def identifier(value: Any) -> Any:
    """An id that another system gave; None for a null word, digits alone for 2023662.0."""
    found = text(value)
    clean = value_of(found)
    if type(clean) is not str:
        return found
    if clean.casefold() in _NULL_KEYS:
        return Changed(None, NULL_WORD)
    if number := _FLOAT_ID.fullmatch(clean):
        return _then(found, ID_AS_NUMBER, number[1])
    return found


def blank(value: Any) -> Any:
    """None for blank text, text for a boolean, all else as it is."""
    if type(value) is str:
        return value if value and not value.isspace() else None
    # Pydantic would take true for the number 1, but not the text.
    return str(value) if isinstance(value, bool) else value


def choice(value: Any) -> Any:
    """What ``blank`` returns, and None for a null word: for words, times, yes and no."""
    found = blank(value)
    if type(found) is str and found.strip().casefold() in _NULLS:
        return Changed(None, NULL_WORD)
    return found


def zipcode(value: Any) -> Any:
    """A ZIP code as it is written; None for zeros alone, too."""
    found = phrase(value)
    clean = value_of(found)
    return Changed(None, NULL_WORD) if type(clean) is str and _ZEROS.fullmatch(clean) else found


Units = Mapping[str, float]
"""Units that may follow a number, in lower case, each with the factor to multiply it by."""

COUNT: Units = {"": 1}
MONEY: Units = {
    **dict.fromkeys(("", "usd"), 1),
    **dict.fromkeys(("k", "thousand"), 1e3),
    **dict.fromkeys(("m", "mm", "mn", "mio", "million"), 1e6),
    **dict.fromkeys(("b", "bn", "billion"), 1e9),
}
_SQUARE_METRE = 1 / 0.3048**2
_SQUARE_FEET = (
    "", "sq ft", "sqft", "sq.ft", "sq feet", "square feet", "square foot", "sf", "ft2", "feet2",
)  # fmt: skip
_SQUARE_METRES = (
    "m2", "sqm", "sq m", "sq meters", "sq metres", "square meter", "square metre", "square meters",
    "square metres",
)  # fmt: skip
AREA: Units = {
    **dict.fromkeys(_SQUARE_FEET, 1),
    **dict.fromkeys(("acre", "acres", "ac"), 43_560),
    **dict.fromkeys(_SQUARE_METRES, _SQUARE_METRE),
    **dict.fromkeys(("ha", "hectare", "hectares"), 10_000 * _SQUARE_METRE),
}
RATE: Units = {"": 1, "%": 0.01, "percent": 0.01, "pct": 0.01}
BEDROOMS: Units = dict.fromkeys(
    ("", "bd", "bds", "bed", "beds", "br", "bdrm", "bedroom", "bedrooms"), 1
)
BATHROOMS: Units = dict.fromkeys(("", "ba", "bas", "bath", "baths", "bathroom", "bathrooms"), 1)
DAYS: Units = dict.fromkeys(("", "d", "day", "days"), 1)
DEGREES: Units = {"": 1, "\u00b0": 1}

_FRACTIONS = str.maketrans({"\u00bd": " 1/2", "\u00bc": " 1/4", "\u00be": " 3/4"})
_SIGNS = str.maketrans(dict.fromkeys("\u2212\u2013\u2014", "-") | {"\u2019": "'"})
_CURRENCY = re.compile(
    r"^(?:(?:us|usd|au|aud|a|ca|cad|c|nz|nzd)? ?[$\u20ac\u00a3] ?|(?:usd|eur|gbp|aud|cad|nzd) )"
)
_PARTS = re.compile(
    r"([-+]?) ?([\d.,' ]*\d[.,]?|[\d.,]+e[-+]?\d+)(?: (\d)/(\d))?(\+?)[ -]?([^\d/]*2?)"
)
_GROUPED = (
    # 1,250,000.50 and, as in India, 12,50,000
    (re.compile(r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}(?:\.\d*)?"), ",", "."),
    # 1 250 000,50 and 1'250'000.50
    (re.compile(r"[1-9]\d{0,2}(?: \d{3})+(?:[.,]\d*)?"), " ", ",."),
    (re.compile(r"[1-9]\d{0,2}(?:'\d{3})+(?:[.,]\d*)?"), "'", ",."),
    # 1.250.000 and 1.250,50: with one group alone 1.250 is a plain number
    (re.compile(r"[1-9]\d{0,2}(?:\.\d{3}){2,}(?:,\d*)?|[1-9]\d{0,2}\.\d{3},\d*"), ".", ","),
    # 47,6 and 0,065; 1,520 is above
    (re.compile(r"\d+,\d{1,2}|0,\d+"), "", ","),
    (re.compile(r"\d+\.?\d*|\.\d+|\d+(?:\.\d*)?e[-+]?\d+"), "", "."),
)  # fmt: skip
_SMALL_CHANGE = re.compile(r"\d{1,3},\d{1,2}")
_BATH = r"(?: baths?| bathrooms?)?"
_FULL_AND_HALF = re.compile(
    rf"(\d+) ?(?:f|full){_BATH}(?:(?: ?[,/+&] ?| and | )(\d+) ?(?:h|half){_BATH})?"
)
LONGEST_NUMBER = 60
"""Characters that a number may be written with."""


def number(value: Any, units: Units = COUNT) -> Any:
    """A number as people and spreadsheets write it: $1,250,000; 1 250; 12.5%; (300); 1,520 sq ft.

    Args:
        value: text or a number.
        units: what may follow the number.

    Returns:
        A float for text that is one; None for blank text and null words.
    """
    if type(value) is not str:
        return str(value) if isinstance(value, bool) else value
    if not value:
        return None
    try:
        found = float(value)
    except ValueError:
        return _written(value, units)
    if math.isfinite(found):
        return found
    return Changed(None, NULL_WORD) if math.isnan(found) else value


def _written(value: str, units: Units) -> Any:
    """A number that Python does not read."""
    clean = value.strip()
    if not clean:
        return None
    if len(clean) > LONGEST_NUMBER:
        return value
    bare = _bare(clean)
    plain = normalize("NFKC", bare.translate(_FRACTIONS)).translate(_SIGNS).casefold()
    plain = _BLANKS.sub(" ", plain).strip()
    negative = plain[:1] == "(" and plain[-1:] == ")" and plain not in _NULLS
    if negative:
        plain = plain[1:-1].strip()
    if units is MONEY:
        sign, plain = ("-", plain[1:].strip()) if plain[:1] == "-" else ("", plain)
        plain = sign + _CURRENCY.sub("", plain, count=1).rstrip("$\u20ac ")
    if not plain or plain in _NULLS or clean.casefold() in _NULLS:
        return Changed(None, NULL_WORD)
    found = _amount(plain, units)
    if found is None:
        return value
    # Not -0, which would be printed.
    found = (-found if negative else found) + 0.0
    return Changed(found, NUMBER if bare == clean else SPREADSHEET)


def _amount(plain: str, units: Units) -> float | None:
    if units is BEDROOMS and plain == "studio":
        return 0.0
    if units is BATHROOMS and (both := _FULL_AND_HALF.fullmatch(plain)):
        return int(both[1]) + int(both[2] or 0) / 2
    parts = _PARTS.fullmatch(plain)
    if parts is None:
        return None
    sign, digits, over, under, more, unit = parts.groups()
    worth = units.get(unit.strip().rstrip(".").replace("sq. ", "sq "))
    amount = _digits(digits.strip(), units)
    # "5+" is the most that some portals say.
    countable = not more or units in (BEDROOMS, BATHROOMS)
    if worth is None or amount is None or under == "0" or not countable:
        return None
    if over:
        amount += int(over) / int(under)
    return (-amount if sign == "-" else amount) * worth


def _digits(written: str, units: Units) -> float | None:
    if units is DEGREES:
        # Degrees have no thousands: 47,606 is 47.606.
        written = written.replace(",", ".")
    elif units is MONEY and _SMALL_CHANGE.fullmatch(written):
        # Prices of properties are larger: 12,34 is a typing error rather than a decimal comma.
        return None
    for form, group, point in _GROUPED:
        if form.fullmatch(written):
            plain = written.replace(group, "") if group else written
            for mark in point:
                plain = plain.replace(mark, ".")
            found = float(plain)
            return found if math.isfinite(found) else None
    return None


def numbers(units: Units) -> Canonical:
    """Marks a field of numbers that may be followed by those units."""
    return Canonical(partial(number, units=units))
