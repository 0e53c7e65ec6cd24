"""What the trade calls property types and listing statuses."""

import pytest

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.canonical import word
from domain.properties.words import LISTING_STATUSES, PROPERTY_TYPES


@pytest.mark.parametrize("words", [PROPERTY_TYPES, LISTING_STATUSES])
def test_keys_are_canonical(words: dict[str, str]) -> None:
    assert [key for key in words if word(key) != key or not key] == []


def test_every_value_has_words() -> None:
    assert set(PROPERTY_TYPES.values()) == set(PropertyType)
    assert set(LISTING_STATUSES.values()) == set(ListingStatus)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (
            "SINGLE_FAMILY",
            "Single Family Residential|Single Family Residence|SingleFamilyResidence|Cabin|SFR|SFH|"
            "single_family|HOUSE|Houses|Detached|01 ONE FAMILY DWELLINGS|One Family|Single-Family",
        ),
        (
            "CONDO",
            "Condo/Co-op|Condominium|CONDO|condos|Stock Cooperative|StockCooperative|coop|"
            "13 CONDOS - ELEVATOR APARTMENTS|10 COOPS - ELEVATOR APARTMENTS|"
            "Condominium (Residential)|COOPERATIVE",
        ),
        (
            "TOWNHOUSE",
            "Townhouse|TOWNHOUSE|townhomes|TH|Row House|Town-home|Townhouse (Residential)",
        ),
        (
            "MULTI_FAMILY",
            "Multi-Family (2-4 Unit)|Multi-Family (5+ Unit)|Multi Family|MultiFamily|Duplex|"
            "Triplex|Quadruplex|Fourplex|4-plex|Apartment|Residential Income|ResidentialIncome|MF|"
            "duplex_triplex|multi_family|2-4 units|Two Family|02 TWO FAMILY DWELLINGS|"
            "Duplex (2 units, any combination)|Apartment house (5+ units)",
        ),
        (
            "LAND",
            "Vacant Land|Land|LOT|Lots/Land|LotsLand|Unimproved Land|UnimprovedLand|"
            "Residential-Vacant Land|05 TAX CLASS 1 VACANT LAND|Residential Lots|Acreage",
        ),
    ],
)
def test_property_types(value: str, texts: str) -> None:
    assert {PROPERTY_TYPES[word(text)] for text in texts.split("|")} == {value}


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (
            "ACTIVE",
            "Active|Coming Soon|ComingSoon|FOR_SALE|forSale|New|Price Change|Price Changed|"
            "Back on Market|BOM|for_sale|FSBO",
        ),
        (
            "PENDING",
            "Pending|Active Under Contract|ActiveUnderContract|Contingent|Under Contract|U/C|"
            "Option Pending|PENDING|Active - Contingent|Pending - Taking Backups|Sale Pending",
        ),
        ("SOLD", "Sold|Closed|RECENTLY_SOLD|SOLD|recentlySold|PAST SALE"),
        (
            "OFF_MARKET",
            "Off Market|OFF_MARKET|Canceled|Cancelled|Withdrawn|Expired|Hold|Delete|Incomplete|TOM|"
            "Temporarily Off Market|off_market|Terminated",
        ),
    ],
)
def test_listing_statuses(value: str, texts: str) -> None:
    assert {LISTING_STATUSES[word(text)] for text in texts.split("|")} == {value}


@pytest.mark.parametrize(
    "text",
    [
        "Residential", "Residential Lease", "Other", "Commercial", "Commercial Sale", "Farm",
        "Mobile/Manufactured Home", "MANUFACTURED", "Manufactured Home", "Timeshare", "Parking",
        "Mixed Use", "Business Opportunity", "Ranch", "Unknown", "Agriculture", "Deeded Parking",
    ],
)  # fmt: skip
def test_words_that_do_not_say_a_type_are_unknown(text: str) -> None:
    assert word(text) not in PROPERTY_TYPES


@pytest.mark.parametrize("text", ["Other", "OTHER", "For Rent", "Leased", "Foreclosure", "Lead"])
def test_words_that_do_not_say_a_status_are_unknown(text: str) -> None:
    assert word(text) not in LISTING_STATUSES
