"""Times as exports write them. A date with two readings is refused unless its order is declared."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, TypeAlias
from unicodedata import normalize

DateOrder: TypeAlias = Literal["MDY", "DMY"]
"""Which comes first in 01/02/2024: the month or the day."""

LONGEST = 80
"""Characters that a time may be written with."""

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4}|\d{2})"
_GAP = r"[ \-/,.]+"
_DATES = tuple(
    re.compile(form)
    for form in (
        r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})",
        rf"{_MONTH}{_GAP}{_DAY}{_GAP}{_YEAR}",
        rf"{_DAY}{_GAP}{_MONTH}{_GAP}{_YEAR}",
        rf"(?P<year>\d{{4}}){_GAP}{_MONTH}{_GAP}{_DAY}",
        r"(?P<first>\d{1,2})([-/.])(?P<second>\d{1,2})\2(?P<year>\d{4}|\d{2})",
    )
)
_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?)?"
    r" ?(?P<half>[ap]\.?m\.?)? ?(?P<zone>.*)"
)
_OFFSET = re.compile(r"(?:utc|gmt)?([-+])(\d{1,2}):?(\d{2})?")
_WEEKDAY = re.compile(r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]? +")
# fromisoformat takes any character between date and time, even a digit.
_ISO = re.compile(
    r"\d{4}(?:-\d\d-\d\d|\d{4}(?=[T ])|-?W\d\d-?\d)(?:[T ][\d:.,]+(?:Z| ?[-+][\d:]+| UTC)?)?"
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(?:(\d{2})(\d{3})?)?)?")
_REMARK = re.compile(r" *\([^)]*\)$")
# "Thu May 2 10:00:00 2024", as C and Unix write it.
_YEAR_LAST = re.compile(rf"({_MONTH} +\d{{1,2}}) +(\d{{1,2}}:\d{{2}}:\d{{2}}.*?) +(\d{{4}})")
# Those of RFC 2822, section 4.3; other names stand for several zones.
_ZONES = {"": 0, "z": 0, "utc": 0, "gmt": 0, "ut": 0} | {
    f"{letter}{half}t": hours + (half == "d")
    for letter, hours in (("e", -5), ("c", -6), ("m", -7), ("p", -8))
    for half in "sd"
}


class AmbiguousTimeError(ValueError):
    """The date has two readings, and no order of month and day was declared."""


class EpochError(ValueError):
    """A number stands for a time. It may count seconds, milliseconds or days, from any start."""


def parse(text: str, order: DateOrder | None = None) -> datetime:
    """The time that the text names, in UTC; a time without a zone is in UTC.

    Reads ISO 8601, also without separators (20240501, 20240501093000), RFC 2822, and the dates of
    spreadsheets, databases and portals: 2024/05/01 9:30 PM, May 1st, 2024, 01-May-24, 13/1/2024.

    Args:
        text: at most ``LONGEST`` characters.
        order: how to read 1/2/2024 and 1/2/24. Years of two digits are those from 1969 to 2068.

    Raises:
        AmbiguousTimeError: the date has two readings, and ``order`` is None.
        EpochError: the text is a number.
        ValueError: the text is not a time.
    """
    clean = text.strip()
    if len(clean) > LONGEST:
        raise ValueError("longer than any time")
    if not clean.isascii():
        clean = normalize("NFKC", clean)
    try:
        float(clean)
    except ValueError:
        pass
    else:
        return _compact(clean)
    return from_iso(clean) or _in_utc(_written(" ".join(clean.casefold().split()), order))


def from_iso(text: str) -> datetime | None:
    """The time, in UTC, of a text in ISO 8601 with separators; None for other text.

    Raises:
        ValueError: there is no such time.
    """
    if _ISO.fullmatch(text) is None:
        return None
    return _in_utc(datetime.fromisoformat(text.removesuffix(" UTC")))


def _in_utc(found: datetime) -> datetime:
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _compact(digits: str) -> datetime:
    found = _COMPACT.fullmatch(digits)
    if found is None:
        raise EpochError
    year, month, day, hour, minute, second, millisecond = (
        int(part or 0) for part in found.groups()
    )
    return datetime(year, month, day, hour, minute, second, millisecond * 1000, UTC)


def _written(clean: str, order: DateOrder | None) -> datetime:
    clean = _REMARK.sub("", _WEEKDAY.sub("", clean, count=1))
    if last := _YEAR_LAST.fullmatch(clean):
        clean = f"{last[1]} {last[4]} {last[3]}"
    for form in _DATES:
        if found := form.match(clean):
            rest = clean[found.end() :]
            if rest and not rest.startswith((" ", "t", ",")):
                continue
            return _combined(found.groupdict(), rest.lstrip(" t,").removeprefix("at "), order)
    raise ValueError("no date")


def _combined(date: dict[str, str], rest: str, order: DateOrder | None) -> datetime:
    year = int(date["year"])
    if len(date["year"]) == 2:
        if "first" in date and order is None:
            raise AmbiguousTimeError
        year += 2000 if year < 69 else 1900
    if "first" in date:
        month, day = _month_and_day(int(date["first"]), int(date["second"]), order)
    else:
        name, day = date["month"], int(date["day"])
        month = int(name) if name.isdigit() else _MONTHS.index(name[:3]) + 1
    if not rest:
        return datetime(year, month, day, tzinfo=UTC)
    time = _TIME.fullmatch(rest)
    if time is None or (time["minute"] is None and time["half"] is None):
        raise ValueError("no time of day")
    hour = int(time["hour"])
    if time["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a half day")
        hour = hour % 12 + (12 if time["half"][0] == "p" else 0)
    microsecond = int((time["fraction"] or "0")[:6].ljust(6, "0"))
    return datetime(
        year, month, day, hour, int(time["minute"] or 0), int(time["second"] or 0), microsecond,
        _zone(time["zone"].strip()),
    )  # fmt: skip


def _zone(name: str) -> timezone:
    if name in _ZONES:
        return timezone(timedelta(hours=_ZONES[name]))
    if offset := _OFFSET.fullmatch(name.replace(" ", "")):
        delta = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(-delta if offset[1] == "-" else delta)
    raise ValueError("no time zone")


def _month_and_day(first: int, second: int, order: DateOrder | None) -> tuple[int, int]:
    if order == "MDY" or (order is None and second > 12):
        return first, second
    if order == "DMY" or first > 12 or first == second:
        return second, first
    raise AmbiguousTimeError
