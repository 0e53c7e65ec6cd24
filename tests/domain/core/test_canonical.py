"""The canonical form of values, by the forms that exports have them in."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.core import canonical, times

pytestmark = pytest.mark.unit


NULLS = [
    "NULL", "null", "(null)", "<null>", "[NULL]", "N/A", "n/a", "N.A.", "#N/A", "#NA", "NA",
    "NaN", "nan", "-nan", "\\N", "\\\\N", "None", "none", "nil", "-", "--", "---", ".", "?",
    "unknown", "UNKNOWN", "TBD", "undefined", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", " NULL ",
    " N/A", "N / A", "Not Available", "not applicable", "Not Provided", "\u2013", "\u2014",
    "\u00a0-\u00a0",
]  # fmt: skip


@pytest.mark.parametrize("word", NULLS)
def test_null_words_are_missing_places_numbers_and_choices(word: str) -> None:
    assert canonical.value_of(canonical.phrase(word)) is None
    assert canonical.value_of(canonical.number(word)) is None
    assert canonical.value_of(canonical.number(word, canonical.MONEY)) is None
    assert canonical.value_of(canonical.choice(word)) is None


@pytest.mark.parametrize(
    "text", ["Null St", "12 None Ave", "Nanterre", "Nantucket", "Nilo", "ND", "TBD County Road 371"]
)
def test_null_words_within_a_value_are_kept(text: str) -> None:
    assert canonical.phrase(text) == text


@pytest.mark.parametrize("word", ["NULL", "N/A", r"\N", "-", "#N/A", " null ", "None", "nan"])
def test_null_words_are_no_ids(word: str) -> None:
    assert canonical.value_of(canonical.identifier(word)) is None


@pytest.mark.parametrize("word", ["na", "unknown", "none of these", ".", "tbd"])
def test_words_that_may_be_ids_are_kept(word: str) -> None:
    assert canonical.identifier(word) == word


@pytest.mark.parametrize("word", ["none", "unknown", "-", "N/A"])
def test_free_text_keeps_null_words(word: str) -> None:
    assert canonical.text(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Mu\u0308nchen", "M\u00fcnchen"),
        ("\u212bngstro\u0308m", "\u00c5ngstr\u00f6m"),
        ("Hue\u0302\u0301", "Hu\u1ebf"),
        ("Vie\u0302\u0323t", "Vi\u1ec7t"),
        ("\u1109\u1165\u110b\u116e\u11af", "\uc11c\uc6b8"),
        ("\u00a0Kent\u3000", "Kent"),
        ("\ufeffKent", "Kent"),
        ("Ke\u200bnt", "Kent"),
        ("San\u00a0\u00a0Jose", "San Jose"),
        ('"Kent"', "Kent"),
        ('="02139"', "02139"),
        ("'02139", "02139"),
        ("'s-Hertogenbosch", "'s-Hertogenbosch"),
        ("'Kent'", "'Kent'"),
        ('The "Old" Mill', 'The "Old" Mill'),
        ("\uff2b\uff45\uff4e\uff54", "\uff2b\uff45\uff4e\uff54"),
    ],
)
def test_places_have_one_form(text: str, value: str) -> None:
    assert canonical.value_of(canonical.phrase(text)) == value


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("2023662.0", "2023662"),
        ("2023662.00", "2023662"),
        ("2023662.", "2023662"),
        (" 2023662 ", "2023662"),
        (2023662.0, "2023662"),
        (2023662, 2023662),
        ("0012", "0012"),
        ("0012.0", "0012.0"),
        ("1.10", "1.10"),
        ("1.0.0", "1.0.0"),
        ("12E4", "12E4"),
        ("1e5", "1e5"),
        ("123.0-45", "123.0-45"),
        ("A1.0", "A1.0"),
        ("2131616253735980097", "2131616253735980097"),
        ("Cafe\u0301-1", "Caf\u00e9-1"),
    ],
)
def test_ids_that_were_numbers_once(given: Any, value: Any) -> None:
    assert canonical.value_of(canonical.identifier(given)) == value


@pytest.mark.parametrize("code", ["0", "00000", "N/A", " "])
def test_no_zip_code(code: str) -> None:
    assert canonical.value_of(canonical.zipcode(code)) is None


MONEY, AREA, RATE = canonical.MONEY, canonical.AREA, canonical.RATE
BEDROOMS, BATHROOMS, COUNT, DEGREES = (
    canonical.BEDROOMS, canonical.BATHROOMS, canonical.COUNT, canonical.DEGREES,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        *((text, MONEY, 1_250_000) for text in (
            "$1,250,000", "1,250,000.00", "1 250 000", "1\u00a0250\u00a0000", "1\u202f250\u202f000",
            "USD 1,250,000", "1250000 USD", '="1250000"', "'1250000", " $ 1250000 ", "1.25e6",
            "$1.25M", "1.25 million", "1250k", "1.250.000", "1.250.000,00", "1'250'000",
            "12,50,000", "\uff11\uff12\uff15\uff10\uff10\uff10\uff10", "US$1,250,000",
        )),
        ("1250000,50", MONEY, 1_250_000.5),
        ("(300)", MONEY, -300),
        ("($1,250)", MONEY, -1250),
        ("\u2212300", MONEY, -300),
        ("-$5", MONEY, -5),
        ("- 0", MONEY, 0),
        ("$ -", MONEY, None),
        (" -  ", MONEY, None),
        ("6.5%", RATE, 0.065),
        ("12.5 percent", RATE, 0.125),
        ("(2.5%)", RATE, -0.025),
        ("0,065", RATE, 0.065),
        ("3 bd", BEDROOMS, 3),
        ("3BR", BEDROOMS, 3),
        ("3 beds", BEDROOMS, 3),
        ("5+", BEDROOMS, 5),
        ("Studio", BEDROOMS, 0),
        ("2.5 ba", BATHROOMS, 2.5),
        ("2 1/2", BATHROOMS, 2.5),
        ("2\u00bd", BATHROOMS, 2.5),
        ("2 full, 1 half", BATHROOMS, 2.5),
        ("2 full and 1 half baths", BATHROOMS, 2.5),
        ("1,520 sq ft", AREA, 1520),
        ("1520 sqft", AREA, 1520),
        ("1520 ft\u00b2", AREA, 1520),
        ("1,520 SF", AREA, 1520),
        ("1,520 sq. ft.", AREA, 1520),
        ("0.25 acres", AREA, 10_890),
        (".25 ac", AREA, 10_890),
        ("1,985", COUNT, 1985),
        ("47,61", DEGREES, 47.61),
        ("47,606", DEGREES, 47.606),
        ("47.61\u00b0", DEGREES, 47.61),
    ],
)  # fmt: skip
def test_numbers_as_people_and_spreadsheets_write_them(
    text: str, units: canonical.Units, value: float | None
) -> None:
    assert canonical.value_of(canonical.number(text, units)) == (
        pytest.approx(value) if value else value
    )


def test_square_metres() -> None:
    assert canonical.value_of(canonical.number("141 m\u00b2", AREA)) == pytest.approx(
        1517.71, abs=0.01
    )


@pytest.mark.parametrize(
    ("text", "units"),
    [
        *((text, MONEY) for text in (
            "1,2,3", "12,34", "1-2", "500000-600000", "~500000", "five", "1e400", "0x10", "12.5%",
            "1,5000", "Call for price", "500000+", "1.2.3", "1 25", "--5", "9" * 61 + "k",
        )),
        ("3+1", BEDROOMS), ("650 bps", RATE), ("300", {}), ("141 yd2", AREA), ("2 1/0", BATHROOMS),
        ("47\u00b036'36\"N", DEGREES),
    ],
)  # fmt: skip
def test_what_is_no_number_stays_for_the_rules(text: str, units: canonical.Units) -> None:
    found = canonical.number(text, units)
    assert found == (300.0 if text == "300" else text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([MONEY, AREA, COUNT]))
def test_plain_numbers_are_themselves(value: float, units: canonical.Units) -> None:
    assert canonical.number(repr(value), units) == value
    assert canonical.number(value, units) == value


@given(st.floats(0, 1e12).map(lambda value: round(value, 2)))
def test_grouped_numbers_are_the_same_with_any_grouping(value: float) -> None:
    text = f"{value:,.2f}"
    for one in (text, f"${text}", text.replace(",", " "), text.replace(",", "'")):
        assert canonical.value_of(canonical.number(one, MONEY)) == value


READERS: tuple[Callable[[Any], Any], ...] = (
    canonical.text, canonical.phrase, canonical.identifier, canonical.zipcode, canonical.choice,
    *(partial(canonical.number, units=units) for units in (MONEY, AREA, RATE, BATHROOMS, DEGREES)),
)  # fmt: skip


@given(st.text(max_size=80) | st.from_regex(r"[-+$(\d.,' %/a-z)]{1,20}", fullmatch=True))
def test_canonical_values_are_canonical(text: str) -> None:
    for read in READERS:
        once = canonical.value_of(read(text))
        assert canonical.value_of(read(once)) == once if once is not None else True


TIMES = {
    datetime(2026, 2, 3, tzinfo=UTC): ["2026-02-03", "20260203", "2026/02/03", "2026.02.03",
        "February 3, 2026", "Feb. 3rd, 2026", "3 Feb 2026", "03-Feb-26", "03-FEB-2026",
        "February-3-2026"],
    datetime(2026, 2, 3, 12, 30, 15, tzinfo=UTC): ["20260203T123015Z", "20260203T123015",
        "2026-02-03T12:30:15Z", "2026-02-03 12:30:15", "2026-02-03 12:30:15.000",
        "2026-02-03T12:30:15.0000000Z", "2026-02-03T13:30:15+0100", "2026-02-03T13:30:15+01:00",
        "2026-02-03T13:30:15+01", "2026-02-03 12:30:15 UTC", "2026-02-03 12:30:15 GMT",
        "20260203123015", "20260203123015000", "2026-02-03 12:30:15 PM",
        "Tue, 03 Feb 2026 12:30:15 GMT", "Tue Feb 03 2026 04:30:15 GMT-0800 (PST)",
        "Tue Feb  3 12:30:15 2026", "2026-02-03 07:30:15 EST", "2026-02-03T04:30:15-08:00"],
    datetime(2026, 2, 13, 13, 5, tzinfo=UTC): ["02/13/2026 1:05 PM", "13/02/2026 13:05",
        "13.02.2026 13:05", "2/13/2026, 1:05 p.m."],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "moment"), [(text, moment) for moment, texts in TIMES.items() for text in texts]
)
def test_times_as_exports_write_them(text: str, moment: datetime) -> None:
    assert times.parse(text) == moment


@pytest.mark.parametrize("text", ["02/03/2026", "2/3/26", "03.02.2026", "03-02-2026", "13/02/26"])
def test_times_with_two_readings_need_an_order(text: str) -> None:
    with pytest.raises(times.AmbiguousTimeError):
        times.parse(text)
    assert times.parse(text, "DMY").day == int(re.split("[-/.]", text)[0])


def test_the_declared_order_reads_ambiguous_times() -> None:
    assert times.parse("02/03/2026", "MDY") == datetime(2026, 2, 3, tzinfo=UTC)
    assert times.parse("02/03/2026", "DMY") == datetime(2026, 3, 2, tzinfo=UTC)
    assert times.parse("02/02/2026") == datetime(2026, 2, 2, tzinfo=UTC)
    with pytest.raises(ValueError, match="month"):
        times.parse("13/02/2026", "MDY")


@pytest.mark.parametrize(
    "text",
    ["1770121815", "1770121815000", "1770121815.5", "1770121815000000", "1.770121815E12", "46056",
     "46056.52", "2026", "2026020312301", "202602031230150", "202602031230150000"],
)  # fmt: skip
def test_numbers_are_no_times(text: str) -> None:
    with pytest.raises(times.EpochError):
        times.parse(text)


@pytest.mark.parametrize(
    "text",
    ["0000-00-00", "1900-01-00", "2026-02-30", "2025-02-29", "2026-13-01", "2026-02-03T25:00",
     "20261301", "2026-02", "Q1 2026", "2026-034", "3 days ago", "today", "2026-02-03912:30",
     "2026-02-03x12:30", "2026-02-03_12:30:15", "/Date(1770121815000)/", "12:30", "2026-02-03 XYZ",
     "2026-02-03 13:30 PM", "2026-02-03 12:30:15 IST", "x" * 81],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each for a reason of its own
        times.parse(text)


@given(
    st.text(alphabet="0123456789-/.: TZapmJulyOct+", max_size=30), st.sampled_from([None, "MDY"])
)
def test_any_text_is_a_time_in_utc_or_none(text: str, order: times.DateOrder | None) -> None:
    try:
        found = times.parse(text, order)
    except (ValueError, OverflowError):
        return
    assert found.tzinfo is UTC


def test_words_of_vocabularies() -> None:
    assert canonical.word("Condo/Co-op") == "condo co op"
    assert canonical.word("Multi-Family (2-4 Unit)") == "multi family 2 4 unit"
    assert canonical.word("ActiveUnderContract") == "active under contract"
    assert canonical.word(" SINGLE_FAMILY ") == "single family"
