"""Files as portals, MLS systems, cities and CRMs hand them out, with what they truly say.

    python -m tests.portals FOLDER

Everything is made up, in the formats' own headers and words and with their usual flaws. The same
seed makes the same file.
"""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Export:
    """A file and what is true of it.

    Attributes:
        content: the file.
        truth: what each record says, in the file's order: values by field of the import, None
            where it says nothing. A field whose reading is open to judgement is left out.
        options: what `twin import` must be told besides the tenant.
    """

    content: bytes
    truth: Sequence[Values]
    options: Sequence[str] = field(default=())


CITIES = (
    ("Seattle", "98103", 47.66, -122.34),
    ("Burien", "98166", 47.46, -122.36),
    ("Federal Way", "98003", 47.30, -122.31),
    ("Ocean Shores", "98569", 46.97, -124.16),
    ("Cañon Beach", "98110", 47.65, -122.53),
)
STREETS = (
    "Main St", "NW 85th St", "O'Brien Ln", "Peña Blvd", "St. Mark's Pl", "County Road 371",
)  # fmt: skip

REDFIN_HEADER = (
    "SALE TYPE", "SOLD DATE", "PROPERTY TYPE", "ADDRESS", "CITY", "STATE OR PROVINCE",
    "ZIP OR POSTAL CODE", "PRICE", "BEDS", "BATHS", "LOCATION", "SQUARE FEET", "LOT SIZE",
    "YEAR BUILT", "DAYS ON MARKET", "$/SQUARE FEET", "HOA/MONTH", "STATUS",
    "NEXT OPEN HOUSE START TIME", "NEXT OPEN HOUSE END TIME",
    "URL (SEE https://www.redfin.com/buy-a-home/comparative-market-analysis FOR INFO ON PRICING)",
    "SOURCE", "MLS#", "FAVORITE", "INTERESTED", "LATITUDE", "LONGITUDE",
)  # fmt: skip
REDFIN_REMARK = (
    '"In accordance with local MLS rules, some MLS listings are not included in the download"'
)
REDFIN_TYPES: Mapping[str, str | None] = {
    "Single Family Residential": "SINGLE_FAMILY",
    "Condo/Co-op": "CONDO",
    "Townhouse": "TOWNHOUSE",
    "Multi-Family (2-4 Unit)": "MULTI_FAMILY",
    "Multi-Family (5+ Unit)": "MULTI_FAMILY",
    "Vacant Land": "LAND",
    "Parking": None,
    "Unknown": None,
}
REDFIN_STATUSES: Mapping[str, str] = {
    "Active": "ACTIVE",
    "Contingent": "PENDING",
    "Pending": "PENDING",
    "Sold": "SOLD",
}

RESO_TYPES: Sequence[tuple[str, str | None, str | None]] = (
    ("Residential", "Single Family Residence", "SINGLE_FAMILY"),
    ("Residential", "SingleFamilyResidence", "SINGLE_FAMILY"),
    ("Residential", "Condominium", "CONDO"),
    ("Residential", "Stock Cooperative", "CONDO"),
    ("Residential", "Townhouse", "TOWNHOUSE"),
    ("Residential Income", "Duplex", "MULTI_FAMILY"),
    ("ResidentialIncome", "Quadruplex", "MULTI_FAMILY"),
    ("Land", "Unimproved Land", "LAND"),
    ("Land", None, "LAND"),
    ("Residential", "Boat Slip", None),
)
RESO_STATUSES: Mapping[str, str] = {
    "Active": "ACTIVE",
    "Active Under Contract": "PENDING",
    "ActiveUnderContract": "PENDING",
    "Pending": "PENDING",
    "Closed": "SOLD",
    "Canceled": "OFF_MARKET",
    "Expired": "OFF_MARKET",
    "Withdrawn": "OFF_MARKET",
    "Hold": "OFF_MARKET",
}

CITY_HEADER = (
    "BBL", "BOROUGH", "NEIGHBORHOOD", "BUILDING CLASS CATEGORY", "TAX CLASS AT PRESENT", "BLOCK",
    "LOT", "EASE-MENT", "BUILDING CLASS AT PRESENT", "ADDRESS", "APARTMENT NUMBER", "ZIP CODE",
    "RESIDENTIAL UNITS", "COMMERCIAL UNITS", "TOTAL UNITS", "LAND SQUARE FEET",
    "GROSS SQUARE FEET", "YEAR BUILT", "TAX CLASS AT TIME OF SALE",
    "BUILDING CLASS AT TIME OF SALE", "SALE PRICE", "SALE DATE",
)  # fmt: skip
CITY_CLASSES: Mapping[str, str | None] = {
    "01 ONE FAMILY DWELLINGS": "SINGLE_FAMILY",
    "02 TWO FAMILY DWELLINGS": "MULTI_FAMILY",
    "07 RENTALS - WALKUP APARTMENTS": "MULTI_FAMILY",
    "13 CONDOS - ELEVATOR APARTMENTS": "CONDO",
    "31 COMMERCIAL VACANT LAND": "LAND",
    "44 CONDO PARKING": None,
}
CITY_COLUMNS = {
    "external_id": "BBL",
    "address": "ADDRESS",
    "zipcode": "ZIP CODE",
    "property_type": "BUILDING CLASS CATEGORY",
    "listing_price": "SALE PRICE",
    "square_feet": "GROSS SQUARE FEET",
    "lot_square_feet": "LAND SQUARE FEET",
    "year_built": "YEAR BUILT",
    "listed_at": "SALE DATE",
}

CRM_HEADER = ("Contact Email", "Contact Name", "MLS#", "Activity Type", "Activity Date", "Notes")
CRM_KINDS: Mapping[str, str] = {
    "Viewed": "VIEW",
    "Saved": "SAVE",
    "Email": "OUTREACH",
    "Call": "OUTREACH",
    "Dismissed": "DISMISS",
}
CRM_COLUMNS = {
    "property": "MLS#",
    "user": "Contact Email",
    "kind": "Activity Type",
    "occurred_at": "Activity Date",
    "reason": "Notes",
}
CRM_LISTINGS = 100
"""The acts of `crm_csv` are about the first so many listings of `redfin_csv`."""


def mls_number(number: int) -> str:
    """The MLS number of a listing: of several systems, some with leading zeros or 19 digits."""
    forms = ("{:07d}", "NWM{:07d}", "TX-{:d}", "21316162537359{:05d}")
    return forms[number % len(forms)].format(1000 + number)


def redfin_csv(rows: int = 2000, seed: int = 0) -> Export:
    """A download of a search on Redfin."""
    random = Random(seed)
    lines: list[Sequence[Any]] = []
    truth: list[Values] = []
    for number in range(rows):
        city, zipcode, latitude, longitude = random.choice(CITIES)
        kind = random.choice(tuple(REDFIN_TYPES))
        status = random.choice(tuple(REDFIN_STATUSES))
        sold = date(2023, 1, 1) + timedelta(days=random.randrange(900))
        bare = kind in ("Vacant Land", "Parking")
        values: Values = {
            "external_id": mls_number(number),
            "address": _address(random),
            "city": city,
            "state": "WA",
            "zipcode": random.choice(
                (zipcode, zipcode, f"{zipcode}-{random.randrange(1, 9999):04}")
            ),
            "property_type": REDFIN_TYPES[kind],
            "listing_status": REDFIN_STATUSES[status],
            "listing_price": _maybe(random, float(random.randrange(150, 4000) * 500)),
            "bedrooms": None if bare else random.randrange(1, 7),
            "bathrooms": None if bare else random.randrange(2, 10) / 2,
            "square_feet": None if bare else _maybe(random, float(random.randrange(500, 5000))),
            "lot_square_feet": _maybe(random, float(random.randrange(800, 90_000))),
            "year_built": None if bare else _maybe(random, random.randrange(1890, 2026)),
            "days_on_market": _maybe(random, random.randrange(400)),
            "latitude": round(random.gauss(latitude, 0.02), 7),
            "longitude": round(random.gauss(longitude, 0.02), 7),
        }
        if random.random() < 0.05:
            values |= {"latitude": None, "longitude": None}
        truth.append(values)
        price, size = values["listing_price"], values["square_feet"]
        street = values["address"].replace(" ", "-").replace(",", "").replace('"', "")
        lines.append(
            (
                "PAST SALE" if status == "Sold" else "MLS Listing",
                f"{sold:%B}-{sold.day}-{sold.year}" if status == "Sold" else None,
                kind,
                values["address"],
                city,
                "WA",
                values["zipcode"],
                _plain(price),
                values["bedrooms"],
                values["bathrooms"],
                random.choice(("Ballard", "Crown Hill, North", "")),
                _plain(size),
                _plain(values["lot_square_feet"]),
                values["year_built"],
                values["days_on_market"],
                round(price / size) if price and size else None,
                _maybe(random, random.randrange(50, 900)) if kind == "Condo/Co-op" else None,
                status,
                "August-15-2026 01:00 PM" if number % 50 == 0 else None,
                "August-15-2026 03:00 PM" if number % 50 == 0 else None,
                f"https://www.redfin.com/WA/{city.replace(' ', '-')}/{street}/home/{100 + number}",
                random.choice(("NWMLS", "Compass, Inc.")),
                values["external_id"],
                "N",
                "Y",
                values["latitude"],
                values["longitude"],
            )
        )
    header, *records = _csv([REDFIN_HEADER, *lines]).splitlines(keepends=True)
    return Export("".join([header, REDFIN_REMARK, "\n", *records]).encode(), truth)


def reso_answer(records: int = 1000, seed: int = 0) -> Export:
    """An answer of a RESO Web API: Data Dictionary 2.0, as most servers send it."""
    random = Random(seed)
    sent: list[Values] = []
    truth: list[Values] = []
    for number in range(records):
        city, zipcode, latitude, longitude = random.choice(CITIES)
        kind, subtype, property_type = random.choice(RESO_TYPES)
        status = random.choice(tuple(RESO_STATUSES))
        listed = date(2025, 1, 1) + timedelta(days=random.randrange(500))
        changed = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(milliseconds=number * 61_007)
        full, half = random.randrange(1, 5), random.randrange(2)
        in_halves = random.random() < 0.5
        lot = random.randrange(1, 400) * 0.25
        in_acres = random.random() < 0.3
        land = kind == "Land"
        address = _address(random)
        values: Values = {
            "external_id": str(1_184_000_000 + number),
            "address": address,
            "city": city,
            "state": "WA",
            "zipcode": zipcode,
            "property_type": property_type,
            "listing_status": RESO_STATUSES[status],
            "listing_price": _maybe(random, float(random.randrange(150, 4000) * 500)),
            "bedrooms": None if land else _maybe(random, random.randrange(1, 7)),
            "bathrooms": None if land else full + half / 2,
            "square_feet": None if land else _maybe(random, float(random.randrange(500, 5000))),
            "lot_square_feet": lot * 43_560 if in_acres else float(round(lot * 10_000)),
            "year_built": None if land else _maybe(random, random.randrange(1890, 2026)),
            "days_on_market": random.randrange(400),
            "latitude": round(random.gauss(latitude, 0.02), 6),
            "longitude": round(random.gauss(longitude, 0.02), 6),
            "listed_at": datetime(listed.year, listed.month, listed.day, tzinfo=UTC),
        }
        if random.random() < 0.05:
            values |= {"latitude": None, "longitude": None}
        truth.append(values)
        key = values["external_id"]
        sent.append(
            {
                "@odata.id": f"https://api.example.com/reso/odata/Property('{key}')",
                "ListingKey": key,
                "ListingId": mls_number(number),
                "OriginatingSystemName": "Example MLS",
                "StandardStatus": status,
                "MlsStatus": "Active - Look, now!" if status == "Active" else status,
                "PropertyType": kind,
                "PropertySubType": subtype,
                "ListPrice": values["listing_price"],
                "ClosePrice": None,
                "UnparsedAddress": address,
                "City": city,
                "StateOrProvince": "WA",
                "PostalCode": zipcode,
                "Country": "US",
                "BedroomsTotal": values["bedrooms"],
                "BathroomsTotalDecimal": None if in_halves else values["bathrooms"],
                "BathroomsTotalInteger": None if land else full + half,
                "BathroomsFull": None if land else full,
                "BathroomsHalf": None if land else half,
                "LivingArea": values["square_feet"],
                "LivingAreaUnits": "Square Feet",
                "LotSizeSquareFeet": None if in_acres else values["lot_square_feet"],
                "LotSizeAcres": lot if in_acres else None,
                "YearBuilt": values["year_built"],
                "DaysOnMarket": values["days_on_market"],
                "OnMarketDate": listed.isoformat(),
                "ModificationTimestamp": f"{changed:%Y-%m-%dT%H:%M:%S}.{number % 1000:03}Z",
                "Latitude": values["latitude"],
                "Longitude": values["longitude"],
                "PublicRemarks": 'Café "chic"; see {photos} & [plans],\nnew roof \\ gutters',
                "ListAgentFullName": None,
                "Appliances": ["Dishwasher", "Range"],
                "Media": [
                    {"MediaKey": f"{key}-{order}", "Order": order, "MediaURL": None}
                    for order in range(number % 4)
                ],
            }
        )
    answer = {
        "@odata.context": "https://api.example.com/reso/odata/$metadata#Property",
        "@odata.count": records,
        "value": sent,
    }
    return Export(json.dumps(answer, ensure_ascii=False).encode(), truth)


def city_sales_csv(rows: int = 1000, seed: int = 0) -> Export:
    """A city's file of recent sales as a spreadsheet saves it: CRLF and a byte order mark.

    Its zeros, which mean that nothing is known, are in no truth, a year of 0 aside.
    """
    random = Random(seed)
    lines: list[Sequence[Any]] = []
    truth: list[Values] = []
    for number in range(rows):
        category = random.choice(tuple(CITY_CLASSES))
        block, lot = 16 + number // 50, 1000 + number % 50
        sold = datetime(2016, 9, 1, tzinfo=UTC) + timedelta(days=random.randrange(365))
        price = random.choice((None, 0.0, float(random.randrange(100, 9000) * 1000)))
        land, gross = (
            random.choice((None, 0.0, float(random.randrange(900, 20_000)))) for _ in range(2)
        )
        year = random.choice((0, 1899, 1920, 1955, 2008))
        address = f"{random.randrange(1, 900)} AVENUE {random.choice('ABCD')}, {number % 9}B"
        values: Values = {
            "external_id": f"3{block:05}{lot:04}",
            "address": address,
            "state": "NY",
            "zipcode": f"112{random.randrange(1, 40):02}",
            "property_type": CITY_CLASSES[category],
            "listing_price": price,
            "square_feet": gross,
            "lot_square_feet": land,
            "year_built": year or None,
            "listed_at": sold,
        }
        truth.append({name: value for name, value in values.items() if value != 0.0})
        units = random.randrange(4)
        lines.append(
            (
                values["external_id"], 3, "PARK SLOPE", category.ljust(44), "2A", block, lot, " ",
                "C2", address, " ", values["zipcode"], units, 0, units, _grouped(land),
                _grouped(gross), year, 2, "C2", _dollars(random, price),
                f"{sold:%Y-%m-%d %H:%M:%S}",
            )
        )  # fmt: skip
    options = [f"--map={name}={column}" for name, column in CITY_COLUMNS.items()]
    options += [
        f"--value=property_type:{word}={value}" for word, value in CITY_CLASSES.items() if value
    ]
    content = _csv([CITY_HEADER, *lines], newline="\r\n").encode("utf-8-sig")
    return Export(content, truth, (*options, "--set=state=NY"))


def crm_csv(rows: int = 1000, seed: int = 0) -> Export:
    """Acts on the listings of `redfin_csv`, from a CRM on Windows: windows-1252 and semicolons."""
    random = Random(seed)
    lines: list[Sequence[Any]] = []
    truth: list[Values] = []
    for number in range(rows):
        activity = random.choice(tuple(CRM_KINDS))
        user = random.randrange(40)
        moment = datetime(2024, 1, 1, 9, 30, tzinfo=UTC) + timedelta(minutes=number * 7)
        note = random.choice(
            (None, "Señor Núñez called; €500k at most", 'wants "light"\nand quiet')
        )
        values: Values = {
            "property": mls_number(random.randrange(CRM_LISTINGS)),
            "user": f"investor{user}@example.com",
            "kind": CRM_KINDS[activity],
            "occurred_at": moment,
            "reason": note,
        }
        truth.append(values)
        lines.append(
            (
                values["user"], f"Zoë Müller {user}", values["property"], activity,
                f"{moment:%Y-%m-%d %I:%M %p}", note,
            )
        )  # fmt: skip
    options = [f"--map={name}={column}" for name, column in CRM_COLUMNS.items()]
    content = _csv([CRM_HEADER, *lines], delimiter=";", newline="\r\n").encode("windows-1252")
    return Export(content, truth, (*options, "--create-users"))


def write(folder: Path) -> None:
    """Write one file of each kind."""
    for name, export in (
        ("redfin.csv", redfin_csv()),
        ("reso.json", reso_answer()),
        ("city-sales.csv", city_sales_csv()),
        ("crm.csv", crm_csv()),
    ):
        (folder / name).write_bytes(export.content)


def _address(random: Random) -> str:
    unit = random.choice(("", "", " #616", ", Unit 4B", ', "The Mews"'))
    return f"{random.randrange(1, 20_000)} {random.choice(STREETS)}{unit}"


def _maybe(random: Random, value: Any) -> Any:
    return value if random.random() < 0.9 else None


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:.0f}"


def _grouped(number: float | None) -> str:
    return " -  " if number is None else f"{number:,.0f}"


def _dollars(random: Random, number: float | None) -> str:
    text = _grouped(number)
    return text if number is None else random.choice((f"${text}", f" {text} "))


def _csv(lines: Iterable[Sequence[Any]], *, delimiter: str = ",", newline: str = "\n") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=newline).writerows(lines)
    return text.getvalue()


def main() -> None:
    """Write the files into the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.portals FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write(folder)


if __name__ == "__main__":
    main()
