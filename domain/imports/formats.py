"""Formats of files: which columns feed which field, and how a file's format is recognised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from domain.imports.columns import (
    Area,
    Beside,
    Columns,
    Either,
    FieldSource,
    First,
    Joined,
    Parcel,
    Percent,
    PlusFour,
    Source,
    Total,
    Unless,
    key,
    names,
    resolve,
)
from domain.imports.report import ImportRefusedError
from domain.properties.input import PROPERTY_COLUMNS

__all__ = [
    "FIELDS",
    "FORMATS",
    "FieldSource",
    "Format",
    "FormatName",
    "Noun",
    "Recognised",
    "recognise",
]

Noun: TypeAlias = Literal["properties", "interactions"]
FormatName: TypeAlias = Literal["auto", "plain", "reso", "redfin", "zillow", "crm"]


@dataclass(frozen=True, slots=True)
class Recognised:
    """What the columns of a file are.

    Attributes:
        format: "plain", "reso", "redfin", "zillow" or "crm".
        fields: the source of each field that has one, in the order of the model.
        date_order: which comes first in the format's dates, the month or the day.
    """

    format: str
    fields: dict[str, FieldSource]
    date_order: Literal["MDY", "DMY"] | None


Table: TypeAlias = Mapping[str, Source]


@dataclass(frozen=True, slots=True)
class Format:
    """A format that has names of its own.

    Attributes:
        sources: the source of each field that it knows.
        marks: names that no other format has; each one in a file speaks for this format.
        date_order: see ``Recognised``.
    """

    sources: Table
    marks: tuple[str, ...]
    date_order: Literal["MDY", "DMY"] | None = None


def _of_property(*names: str) -> tuple[str, ...]:
    """Names of which CRMs say that they are the property's, not its owner's; and as they are."""
    before = ("Property", "Property Address", "Subject Property", "Situs", "Site")
    return (*(f"{prefix} {name}" for prefix in before for name in names), *names)


_LISTING_IDS = (
    "Property ID", "Listing ID", "Property MLS Number", "MLS Number", "MLS ID", "MLS No",
    "MLS Listing ID", "MLS Listing Number", "Listing Number", "Property Number", "Property Key",
    "Parcel Number", "Parcel ID", "Parcel No", "Parcel Identification Number",
    "Assessor Parcel Number", "Assessors Parcel Number", "Tax Parcel ID", "Tax Parcel Number",
    "Tax ID", "APN", "PIN", "PID", "Folio", "Folio Number", "BBL",
)  # fmt: skip
_UNITS_IN_BUILDING = Either(
    "Property Unit Number", "Property Unit", "Property Address Line 2", "Unit Number", "Unit No",
    "Unit Num", "Unit", "Apartment Number", "Apartment", "Apt Number", "Apt", "Suite",
    "Address Line 2", "Address 2", "Street Address 2",
)  # fmt: skip
_SALES = (
    "Sale Date", "Sold Date", "Date Sold", "Sold On", "Close Date", "Closed Date", "Closing Date",
    "Last Sale Date", "Recording Date", "Date Recorded", "Sale Price", "Sold Price", "Close Price",
)  # fmt: skip
_LISTINGS = (
    "MLS Number", "MLS ID", "MLS No", "Listing ID", "Listing Number", "List Price",
    "Listing Price", "Asking Price", "List Date", "Listing Date", "Date Listed", "Listed Date",
    "Days on Market", "DOM", "Days on MLS",
)  # fmt: skip

_CRM_PROPERTIES: Table = {
    "external_id": Either(
        "External ID", "External Property ID", "Property External ID", *_LISTING_IDS,
        Parcel("Borough", "Block", "Lot"), "Record ID", "Deal ID", "Lead ID", "ID",
    ),
    "address": Joined(
        Either(
            "Property Address", "Property Address Line 1", "Property Street Address",
            "Property Street", "Property Address Street", "Subject Property Address",
            "Situs Address", "Situs Street Address", "Site Address", "Prop Address",
            "Listing Address", "Street Address", "Full Street Line", "Address Line 1", "Address 1",
            "Address Street", "Property Address Full", "Property Full Address", "Full Address",
            "Formatted Address", "Address Full", "Address", "Street", "Property Location",
            Joined(
                Either("Street Number", "House Number", "Street No", "St Num"),
                Either("Street Direction", "Street Dir", "Pre Direction"),
                Either("Street Name", "St Name"),
                Either("Street Suffix", "Street Type"),
                needs=2,
            ),
        ),
        unit=_UNITS_IN_BUILDING,
    ),
    "city": Either(
        *_of_property("City"), "Prop City", "Listing City", "Address City", "City/Town",
        "Town/City", "Town", "Municipality",
    ),
    "state": Either(
        *_of_property("State"), "Prop State", "Listing State", "Address State", "State/Province",
        "State or Province", "State/Region", "State Code", "State Abbreviation", "Province",
    ),
    "zipcode": PlusFour(
        Either(
            *_of_property("Zip Code", "Zip", "Postal Code"), "Prop Zip", "Listing Zip",
            "Address Zip", "Address Zip Code", "Address Postal Code", "Zip5", "Zip 5",
            "Zip/Postal Code", "Postcode",
        ),
        Either("Property Zip4", "Situs Zip4", "Zip4", "Zip+4", "Zip Plus 4", "Zip Code Plus 4"),
    ),
    "latitude": Either(*_of_property("Latitude", "Lat")),
    "longitude": Either(*_of_property("Longitude", "Lng", "Lon", "Long")),
    "property_type": First(
        Either("Property Sub Type", "Property Type Detail", "Residential Type"),
        Either(
            "Property Type", "Type of Property", "Prop Type", "Home Type", "House Type",
            "Dwelling Type", "Building Type", "Property Class", "Property Use",
            "Property Use Description", "Use Type", "Use Description", "Land Use",
            "Land Use Description", "LU Desc", "Building Class Category",
            Beside("Style", "Full Street Line"),
        ),
    ),
    "listing_status": Either(
        "Listing Status", "MLS Status", "Property Status", "Home Status", "Market Status",
        "Sale Status", Beside("Status", *_LISTINGS),
    ),
    "listing_price": Either(
        "Listing Price", "List Price", "Listed Price", "Current List Price", "Current Price",
        "Property List Price", "Asking Price", "Ask Price", "Asking", "Offering Price",
        Unless(Either("Property Price", "Price"), *_SALES),
    ),
    "estimated_value": Either(
        "Estimated Value", "Est. Value", "Est. Market Value", "Estimated Market Value",
        "Estimated Home Value", "Home Value", "Market Value",
        "Total Market Value", "AVM", "AVM Value", "Estimated AVM", "Zestimate", "Redfin Estimate",
        "Value Estimate",
    ),
    "cap_rate": Either(
        "Cap Rate", "Capitalization Rate",
        Percent(Either("Cap Rate %", "Cap Rate (Percent)", "Cap Rate Pct")),
    ),
    "cash_on_cash_return": Either(
        "Cash on Cash Return", "Cash on Cash", "CoC Return", "CoC",
        Percent(Either("Cash on Cash Return %", "Cash on Cash %", "CoC Return %", "CoC %")),
    ),
    "bedrooms": Either(
        "Bedrooms", "Total Bedrooms", "Number of Bedrooms", "# of Bedrooms",
        "# Bedrooms", "Bedroom Count", "Property Bedrooms", "Beds", "Beds Total", "Total Beds",
        "Number of Beds", "# of Beds", "# Beds", "Property Beds", "Bed", "Bedroom", "BR", "Bdrms",
        "Bed Rms", "Bds", "Bd",
    ),
    "bathrooms": Either(
        First(
            Total(
                (Either(
                    "Full Bathrooms", "Full Baths", "Bathrooms Full", "Baths Full", "Full Bath",
                    "Full Bth", "Number of Full Baths", "# Full Baths",
                ), 1),
                (Either(
                    "Half Bathrooms", "Half Baths", "Bathrooms Half", "Baths Half", "Half Bath",
                    "Hlf Bth", "Number of Half Baths", "# Half Baths",
                ), 0.5),
            ),
            Either(
                "Total Bathrooms", "Bathrooms Total", "Bathrooms", "Number of Bathrooms",
                "# of Bathrooms", "# Bathrooms", "Bathroom Count", "Property Bathrooms",
                "Total Baths", "Baths Total", "Baths", "Number of Baths", "# of Baths", "# Baths",
                "Property Baths", "Bath", "Bathroom", "BA",
            ),
        ),
        "Full Bathrooms", "Full Baths",
    ),
    "square_feet": Either(
        "Square Feet", "Living Square Feet", "Living Sq Ft", "Sq Ft Living", "Living Area Sq Ft",
        "Living Area Square Feet", "Living Area", "Total Living Area", "Gross Living Area", "GLA",
        "Heated Sq Ft", "Heated Square Feet", "Heated Area", "Finished Sq Ft",
        "Finished Square Feet", "Interior Sq Ft", "Building Sq Ft", "Building Square Feet",
        "Bldg Sq Ft", "Building Area Square Feet", "Total Building Area Square Feet",
        "Building Area", "Building Size", "Property Sq Ft", "Property Square Feet",
        "Home Sq Ft", "Home Size", "House Sq Ft", "Approx Sq Ft", "Total Sq Ft",
        "Total Square Feet", "Gross Square Feet", "Square Footage", "Sq Ft",
        "Sq Feet", "Sq Footage", "SF", "Living Area SF",
        Area(
            Either(
                "Living Area (m2)", "Living Area Sqm", "Living Area Square Meters",
                "Building Area (m2)", "Floor Area (m2)", "Floor Area Sqm", "Area (m2)", "Area Sqm",
                "Square Meters", "Square Metres", "Sqm", "m2",
            ),
            default="square meters",
        ),
    ),
    "lot_square_feet": First(
        Either(
            "Lot Square Feet", "Lot Size Square Feet", "Lot Size Sq Ft", "Lot Size SF",
            "Lot Area Sq Ft", "Lot Area Square Feet", "Lot Sq Ft", "Sq Ft Lot", "Lot SF",
            "Land Square Feet", "Land Sq Ft", "Land SF", "Land Area Sq Ft", "Land Square Footage",
            "Lot Square Footage",
        ),
        Area(
            Either(
                "Lot Size Acres", "Lot Acres", "Lot Area Acres", "Land Acres", "Lot Acreage",
                "Total Acres", "Acres", "Acreage", "Acre",
            ),
            default="acres",
        ),
        Area(
            Either(
                "Lot Size (m2)", "Lot Size Sqm", "Lot Area (m2)", "Lot Area Sqm",
                "Lot Size Square Meters", "Land Area (m2)", "Land Area Sqm",
            ),
            default="square meters",
        ),
        Area(
            Either("Lot Size", "Lot Area", "Lot Size Area", "Land Area"),
            Either("Lot Size Units", "Lot Size Unit", "Lot Area Units", "Lot Area Unit"),
        ),
    ),
    "year_built": Either(
        "Year Built", "Yr Built", "Built Year", "Built In", "Built", "Construction Year",
        "Year Constructed", "Year of Construction", "Property Year Built", "Actual Year Built",
        "Effective Year Built",
    ),
    "days_on_market": Either(
        "Days on Market", "Days on MLS", "DOM", "Active Days on Market", "ADOM",
        "Cumulative Days on Market", "CDOM",
    ),
    "condition_score": "Condition Score",
    "renovation_needed": Either("Renovation Needed", "Needs Renovation"),
    "listed_at": Either(
        "Listed At", "Listed Date", "List Date", "Listing Date", "Date Listed", "Listed On",
        "On Market Date", "Listing Contract Date", "Property List Date",
    ),
    "source_system": Either(
        "Source System", "Originating System", "Data Source", "Listing Source", "MLS Name",
        "MLS Source",
    ),
    "confidence": Either("Confidence", "Confidence Score"),
}  # fmt: skip

_RESO_PROPERTIES: Table = {
    "external_id": Either("ListingKey", "ListingId", "ListingKeyNumeric"),
    "address": First(
        "UnparsedAddress",
        Joined(
            Either("StreetNumber", "StreetNumberNumeric"), "StreetDirPrefix", "StreetName",
            "StreetSuffix", "StreetDirSuffix", needs=2, unit="UnitNumber",
        ),
    ),
    "city": First("City", "PostalCity"),
    "state": "StateOrProvince",
    "zipcode": PlusFour("PostalCode", "PostalCodePlus4"),
    "latitude": "Latitude",
    "longitude": "Longitude",
    "property_type": First("PropertySubType", "PropertyType"),
    "listing_status": First("StandardStatus", "MlsStatus"),
    "listing_price": "ListPrice",
    "cap_rate": Percent("CapRate", above=1),
    "bedrooms": "BedroomsTotal",
    "bathrooms": Either(
        First(
            "BathroomsTotalDecimal",
            Total(
                ("BathroomsFull", 1), ("BathroomsHalf", 0.5), ("BathroomsThreeQuarter", 0.75),
                ("BathroomsOneQuarter", 0.25),
            ),
            "BathroomsTotalInteger",
        ),
        "BathroomsFull",
    ),
    "square_feet": First(
        Area("LivingArea", "LivingAreaUnits", default="square feet"),
        Area("BuildingAreaTotal", "BuildingAreaUnits", default="square feet"),
    ),
    "lot_square_feet": First(
        "LotSizeSquareFeet", Area("LotSizeAcres", default="acres"),
        Area("LotSizeArea", "LotSizeUnits"),
    ),
    "year_built": "YearBuilt",
    "days_on_market": Either("DaysOnMarket", "CumulativeDaysOnMarket"),
    "listed_at": First("OnMarketDate", "ListingContractDate", "OnMarketTimestamp"),
    "source_system": First("OriginatingSystemName", "SourceSystemName"),
}  # fmt: skip

_REDFIN_PROPERTIES: Table = {
    "external_id": First("MLS#", "URL"),
    "address": "ADDRESS",
    "city": "CITY",
    "state": Either("STATE OR PROVINCE", "STATE"),
    "zipcode": Either("ZIP OR POSTAL CODE", "ZIP"),
    "latitude": "LATITUDE",
    "longitude": "LONGITUDE",
    "property_type": "PROPERTY TYPE",
    "listing_status": First("STATUS", "SALE TYPE"),
    "listing_price": Either("PRICE", "LIST PRICE"),
    "bedrooms": "BEDS",
    "bathrooms": "BATHS",
    "square_feet": "SQUARE FEET",
    "lot_square_feet": "LOT SIZE",
    "year_built": "YEAR BUILT",
    "days_on_market": "DAYS ON MARKET",
    "source_system": "SOURCE",
}

_ZILLOW_PROPERTIES: Table = {
    "external_id": "zpid",
    "address": Either(
        "streetAddress", "addressStreet", "address/streetAddress",
        "hdpData/homeInfo/streetAddress", "address",
    ),
    "city": Either("city", "addressCity", "address/city", "hdpData/homeInfo/city"),
    "state": Either("state", "addressState", "address/state", "hdpData/homeInfo/state"),
    "zipcode": Either("zipcode", "addressZipcode", "address/zipcode", "hdpData/homeInfo/zipcode"),
    "latitude": Either("latitude", "latLong/latitude", "hdpData/homeInfo/latitude"),
    "longitude": Either("longitude", "latLong/longitude", "hdpData/homeInfo/longitude"),
    "property_type": Either(
        "homeType", "hdpData/homeInfo/homeType", "propertyTypeDimension", "propertyType"
    ),
    "listing_status": Either(
        "homeStatus", "hdpData/homeInfo/homeStatus", "rawHomeStatusCd", "statusType"
    ),
    "listing_price": Either("unformattedPrice", "price", "hdpData/homeInfo/price"),
    "estimated_value": Either("zestimate", "hdpData/homeInfo/zestimate"),
    "bedrooms": Either("bedrooms", "beds", "hdpData/homeInfo/bedrooms"),
    "bathrooms": Either("bathrooms", "baths", "hdpData/homeInfo/bathrooms"),
    "square_feet": Either(
        Area(
            Either("livingArea", "livingAreaValue"), Either("livingAreaUnits", "livingAreaUnit"),
            default="square feet",
        ),
        "hdpData/homeInfo/livingArea", "area",
    ),
    "lot_square_feet": First(
        Area("lotAreaValue", Either("lotAreaUnits", "lotAreaUnit")),
        Area("hdpData/homeInfo/lotAreaValue", "hdpData/homeInfo/lotAreaUnit"),
        "lotSize",
    ),
    "year_built": Either("yearBuilt", "hdpData/homeInfo/yearBuilt"),
    "days_on_market": Either("daysOnZillow", "hdpData/homeInfo/daysOnZillow"),
    "listed_at": Either("datePosted", "datePostedString"),
}  # fmt: skip

_CRM_INTERACTIONS: Table = {
    "property": Either(
        "Property External ID", "External Property ID", *_LISTING_IDS, "Property",
    ),
    "user": Either(
        "User External ID", "User ID", "Investor ID", "User Email", "Investor Email",
        "Contact Email", "Buyer Email", "Client Email", "Customer Email", "Lead Email",
        "Person Email", "Email Address", "Email", "Contact ID", "Buyer ID", "Client ID",
        "Customer ID", "Lead ID", "Person ID", "User", "Investor",
    ),
    "kind": Either(
        "Kind", "Interaction Kind", "Interaction Type", "Activity Type", "Event Type",
        "Action Type", "Engagement Type", "Event Name", "Activity Name", "Interaction", "Activity",
        "Event", "Action",
    ),
    "occurred_at": Either(
        "Occurred At", "Occurred On", "Event Timestamp", "Activity Timestamp", "Timestamp",
        "Event Date/Time", "Activity Date/Time", "Date/Time", "Date and Time", "Datetime",
        Joined("Event Date", "Event Time"), Joined("Activity Date", "Activity Time"),
        Joined("Interaction Date", "Interaction Time"), Joined("Action Date", "Action Time"),
        Joined("Date", "Time"), "Event Time", "Activity Time", "Created At", "Created On",
        "Created Date", "Create Date", "Date Created", "Created", "Logged At", "Logged On",
    ),
    "reason": Either(
        "Reason", "Reason Note", "Activity Notes", "Notes", "Note", "Comments", "Comment",
        "Remarks", "Feedback",
    ),
    "simulated": "Simulated",
}  # fmt: skip

_RESO_INTERACTIONS: Table = {
    "property": Either("ObjectKey", "ObjectID", "ListingKey", "ListingId"),
    "user": Either("ActorKey", "ActorID", "ActorEmail", "ContactKey", "ContactLoginId"),
    "kind": Either("EventType", "ContactListingPreference"),
    "occurred_at": Either("EventTimestamp", "ModificationTimestamp"),
    "reason": "EventDescription",
}

FIELDS: Mapping[Noun, tuple[str, ...]] = {
    "properties": PROPERTY_COLUMNS,
    "interactions": ("property", "user", "kind", "occurred_at", "reason", "simulated"),
}
"""The fields of each kind of rows, in the order of their models."""

# In this order where as many marks speak for one as for another.
FORMATS: Mapping[Noun, Mapping[str, Format]] = {
    "properties": {
        "reso": Format(
            _RESO_PROPERTIES,
            (
                "ListingKey", "ListingKeyNumeric", "UnparsedAddress", "StandardStatus",
                "BedroomsTotal", "BathroomsTotalInteger", "BathroomsTotalDecimal",
                "OriginatingSystemName", "SourceSystemName", "ModificationTimestamp",
            ),
        ),
        "redfin": Format(
            _REDFIN_PROPERTIES,
            (
                "ZIP OR POSTAL CODE", "$/SQUARE FEET", "HOA/MONTH", "NEXT OPEN HOUSE START TIME",
                "NEXT OPEN HOUSE END TIME",
            ),
            "MDY",
        ),
        "zillow": Format(
            _ZILLOW_PROPERTIES,
            ("zpid", "daysOnZillow", "lotAreaValue"),
        ),
        "crm": Format(_CRM_PROPERTIES, ()),
    },
    "interactions": {
        "reso": Format(
            _RESO_INTERACTIONS,
            (
                "ObjectKey", "ObjectID", "ActorKey", "ActorID", "ActorEmail",
                "ContactListingPreference",
            ),
        ),
        "crm": Format(_CRM_INTERACTIONS, ()),
    },
}  # fmt: skip


def recognise(
    noun: Noun,
    columns: Sequence[str],
    *,
    format: str = "auto",  # noqa: A002
) -> Recognised:
    """Find the columns that feed the fields of properties or interactions.

    For "auto", each format counts those of its marks that the file has, and the most wins; of as
    many, the first of RESO, Redfin and Zillow. The order and the case of the columns, and others
    beside them, decide nothing. A field is fed by the first of:

    1. the column of its own exact name, unless the winning format knows that column as well;
    2. what the winning format says;
    3. what CRMs and counties call it, and its own name in another spelling.

    A file without marks is "plain" if every field comes from a column of its own name, in any
    spelling, and else "crm". With a named format only 1, 2 and the own names in other spellings
    count; with "plain" only 1.

    Args:
        noun: what the rows are.
        columns: names as the file has them.
        format: "auto" or the name of a format.

    Raises:
        ImportRefusedError: there is no such format.
    """
    if format not in get_args(FormatName):
        raise ImportRefusedError(f"--format {format}: use one of {', '.join(get_args(FormatName))}")
    formats, known = FORMATS[noun], Columns(columns)
    if format == "plain":
        exact = [name for name in FIELDS[noun] if name in known.exact]
        return Recognised("plain", {name: FieldSource((name,)) for name in exact}, None)
    name = _winner(formats, known) if format == "auto" else format
    winner = formats.get(name, Format({}, ()))
    others = formats["crm"].sources if format == "auto" else {}
    found: dict[str, FieldSource] = {}
    for field in FIELDS[noun]:
        source = resolve(winner.sources[field], known) if field in winner.sources else None
        # A column of our own name is ours, except where the portal has the same name.
        shared = name != "crm" and field in map(known.find, names(winner.sources.get(field, "")))
        if field in known.exact and not shared:
            source = FieldSource((field,))
        source = source or resolve(others.get(field, field), known)
        if source is not None:
            found[field] = source
    if name == "crm" and format == "auto" and all(map(_is_own, found, found.values())):
        name = "plain"
    return Recognised(name, found, winner.date_order)


def _winner(formats: Mapping[str, Format], columns: Columns) -> str:
    marks = {
        name: sum(columns.find(mark) is not None for mark in one.marks)
        for name, one in formats.items()
    }
    most = max(marks, key=marks.__getitem__)
    return most if marks[most] else "crm"


def _is_own(field: str, source: FieldSource) -> bool:
    return source.combine is None and key(source.columns[0]) == key(field)
