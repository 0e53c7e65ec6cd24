"""Which columns feed which field, for the headers of portals, MLS, CRMs and counties."""

import random

import pytest

from domain.imports.columns import Columns, key, resolve
from domain.imports.formats import FIELDS, FORMATS, Noun, Recognised, recognise
from domain.imports.interactions import InteractionInput
from domain.imports.report import ImportRefusedError
from domain.properties.input import PropertyInput

REDFIN_URL = (
    "URL (SEE https://www.redfin.com/buy-a-home/comparative-market-analysis FOR INFO ON PRICING)"
)
Example = tuple[Noun, str, str, dict[str, str]]

EXAMPLES: dict[str, Example] = {
    "plain": (
        "properties",
        "external_id,address,city,state,zipcode,latitude,longitude,listing_price,note",
        "plain",
        {
            name: name
            for name in (
                "external_id", "address", "city", "state", "zipcode", "latitude", "longitude",
                "listing_price",
            )
        },
    ),
    "plain in other spellings": (
        "properties",
        "External ID,Address,Zip Code,propertyType,LISTING-PRICE,Year_Built,Cash on Cash Return",
        "plain",
        {
            "external_id": "External ID", "address": "Address", "zipcode": "Zip Code",
            "property_type": "propertyType", "listing_price": "LISTING-PRICE",
            "cash_on_cash_return": "Cash on Cash Return", "year_built": "Year_Built",
        },
    ),
    "redfin": (
        "properties",
        "SALE TYPE,SOLD DATE,PROPERTY TYPE,ADDRESS,CITY,STATE OR PROVINCE,ZIP OR POSTAL CODE,"
        "PRICE,BEDS,BATHS,LOCATION,SQUARE FEET,LOT SIZE,YEAR BUILT,DAYS ON MARKET,$/SQUARE FEET,"
        "HOA/MONTH,STATUS,NEXT OPEN HOUSE START TIME,NEXT OPEN HOUSE END TIME,"
        f"{REDFIN_URL},SOURCE,MLS#,FAVORITE,INTERESTED,LATITUDE,LONGITUDE",
        "redfin",
        {
            "external_id": f"MLS#, else {REDFIN_URL}", "address": "ADDRESS", "city": "CITY",
            "state": "STATE OR PROVINCE", "zipcode": "ZIP OR POSTAL CODE", "latitude": "LATITUDE",
            "longitude": "LONGITUDE", "property_type": "PROPERTY TYPE",
            "listing_status": "STATUS, else SALE TYPE", "listing_price": "PRICE",
            "bedrooms": "BEDS", "bathrooms": "BATHS", "square_feet": "SQUARE FEET",
            "lot_square_feet": "LOT SIZE", "year_built": "YEAR BUILT",
            "days_on_market": "DAYS ON MARKET", "source_system": "SOURCE",
        },
    ),
    "redfin of some columns": (
        "properties",
        "PROPERTY TYPE,ADDRESS,CITY,STATE OR PROVINCE,ZIP OR POSTAL CODE,PRICE,BEDS,BATHS,"
        "SQUARE FEET,STATUS,MLS#",
        "redfin",
        {
            "external_id": "MLS#", "address": "ADDRESS", "city": "CITY",
            "state": "STATE OR PROVINCE", "zipcode": "ZIP OR POSTAL CODE",
            "property_type": "PROPERTY TYPE", "listing_status": "STATUS", "listing_price": "PRICE",
            "bedrooms": "BEDS", "bathrooms": "BATHS", "square_feet": "SQUARE FEET",
        },
    ),
    "redfin before 2018": (
        "properties",
        "SALE TYPE,HOME TYPE,ADDRESS,CITY,STATE,ZIP,LIST PRICE,BEDS,BATHS,$/SQUARE FEET,MLS#",
        "redfin",
        {
            "external_id": "MLS#", "address": "ADDRESS", "city": "CITY", "state": "STATE",
            "zipcode": "ZIP", "property_type": "HOME TYPE", "listing_status": "SALE TYPE",
            "listing_price": "LIST PRICE", "bedrooms": "BEDS", "bathrooms": "BATHS",
        },
    ),
    "reso": (
        "properties",
        "ListingKey,ListingId,StandardStatus,MlsStatus,PropertyType,PropertySubType,ListPrice,"
        "ClosePrice,UnparsedAddress,StreetNumber,StreetDirPrefix,StreetName,StreetSuffix,"
        "UnitNumber,City,StateOrProvince,PostalCode,PostalCodePlus4,Latitude,Longitude,"
        "BedroomsTotal,BathroomsTotalDecimal,BathroomsFull,BathroomsHalf,BathroomsTotalInteger,"
        "LivingArea,LivingAreaUnits,LotSizeSquareFeet,LotSizeAcres,LotSizeArea,LotSizeUnits,"
        "YearBuilt,DaysOnMarket,CumulativeDaysOnMarket,OnMarketDate,ListingContractDate,CapRate,"
        "OriginatingSystemName,SourceSystemName,ModificationTimestamp,PublicRemarks",
        "reso",
        {
            "external_id": "ListingKey",
            "address": "UnparsedAddress, else StreetNumber + StreetDirPrefix + StreetName + "
            "StreetSuffix + UnitNumber",
            "city": "City", "state": "StateOrProvince", "zipcode": "PostalCode-PostalCodePlus4",
            "latitude": "Latitude", "longitude": "Longitude",
            "property_type": "PropertySubType, else PropertyType",
            "listing_status": "StandardStatus, else MlsStatus", "listing_price": "ListPrice",
            "cap_rate": "CapRate / 100 where above 1", "bedrooms": "BedroomsTotal",
            "bathrooms": "BathroomsTotalDecimal, else BathroomsFull + 0.5 x BathroomsHalf, else "
            "BathroomsTotalInteger",
            "square_feet": "LivingArea in LivingAreaUnits",
            "lot_square_feet": "LotSizeSquareFeet, else LotSizeAcres in acres, else LotSizeArea "
            "in LotSizeUnits",
            "year_built": "YearBuilt",
            "days_on_market": "DaysOnMarket",
            "listed_at": "OnMarketDate, else ListingContractDate",
            "source_system": "OriginatingSystemName, else SourceSystemName",
        },
    ),
    "reso of few fields": (
        "properties",
        "ListingId,UnparsedAddress,PropertyType,BathroomsFull,BathroomsTotalInteger,LivingArea",
        "reso",
        {
            "external_id": "ListingId", "address": "UnparsedAddress",
            "property_type": "PropertyType", "bathrooms": "BathroomsTotalInteger",
            "square_feet": "LivingArea",
        },
    ),
    "reso in a database's spelling": (
        "properties",
        "listing_key,property_type,property_sub_type,standard_status,list_price,bedrooms_total",
        "reso",
        {
            "external_id": "listing_key",
            "property_type": "property_sub_type, else property_type",
            "listing_status": "standard_status", "listing_price": "list_price",
            "bedrooms": "bedrooms_total",
        },
    ),
    "zillow": (
        "properties",
        "zpid,streetAddress,address,city,state,zipcode,latitude,longitude,price,bedrooms,bathrooms,"
        "livingArea,livingAreaUnits,lotAreaValue,lotAreaUnits,homeType,homeStatus,daysOnZillow,"
        "datePosted,zestimate,rentZestimate,taxAssessedValue,yearBuilt",
        "zillow",
        {
            "external_id": "zpid", "address": "streetAddress", "city": "city", "state": "state",
            "zipcode": "zipcode", "latitude": "latitude", "longitude": "longitude",
            "property_type": "homeType", "listing_status": "homeStatus", "listing_price": "price",
            "estimated_value": "zestimate", "bedrooms": "bedrooms", "bathrooms": "bathrooms",
            "square_feet": "livingArea in livingAreaUnits",
            "lot_square_feet": "lotAreaValue in lotAreaUnits", "year_built": "yearBuilt",
            "days_on_market": "daysOnZillow", "listed_at": "datePosted",
        },
    ),
    "zillow's nested records as CSV": (
        "properties",
        "zpid,address.streetAddress,address.city,address.state,address.zipcode,unformattedPrice,"
        "price,beds,baths,area,latLong.latitude,latLong.longitude,statusType,"
        "hdpData.homeInfo.homeType,hdpData.homeInfo.lotAreaValue,hdpData.homeInfo.lotAreaUnit",
        "zillow",
        {
            "external_id": "zpid", "address": "address.streetAddress", "city": "address.city",
            "state": "address.state", "zipcode": "address.zipcode",
            "latitude": "latLong.latitude", "longitude": "latLong.longitude",
            "property_type": "hdpData.homeInfo.homeType", "listing_status": "statusType",
            "listing_price": "unformattedPrice", "bedrooms": "beds", "bathrooms": "baths",
            "square_feet": "area",
            "lot_square_feet": "hdpData.homeInfo.lotAreaValue in hdpData.homeInfo.lotAreaUnit",
        },
    ),
    "PropStream": (
        "properties",
        "Address,Unit #,City,State,Zip,County,APN,Lot Size Sqft,Acre,Owner Occupied,"
        "Owner 1 First Name,Mailing Address,Mailing Unit #,Mailing City,Mailing State,Mailing Zip,"
        "Property Type,Bedrooms,Total Bathrooms,Building Sqft,Effective Year Built,"
        "Total Assessed Value,Last Sale Recording Date,Last Sale Amount,Est. Value,Est. Equity,"
        "MLS Status,MLS Date,MLS Amount,Marketing Lists",
        "crm",
        {
            "external_id": "APN", "address": "Address + Unit #", "city": "City", "state": "State",
            "zipcode": "Zip", "property_type": "Property Type", "listing_status": "MLS Status",
            "estimated_value": "Est. Value", "bedrooms": "Bedrooms",
            "bathrooms": "Total Bathrooms", "square_feet": "Building Sqft",
            "lot_square_feet": "Lot Size Sqft, else Acre in acres",
            "year_built": "Effective Year Built",
        },
    ),
    "DealMachine": (
        "properties",
        "lead_id,owner_1_name,property_id,property_address_full,property_address_line_1,"
        "property_address_line_2,property_address_city,property_address_state,"
        "property_address_zipcode,property_lat,property_lng,property_flags,contact_1_email1",
        "crm",
        {
            "external_id": "property_id",
            "address": "property_address_line_1 + property_address_line_2",
            "city": "property_address_city", "state": "property_address_state",
            "zipcode": "property_address_zipcode", "latitude": "property_lat",
            "longitude": "property_lng",
        },
    ),
    "BatchLeads": (
        "properties",
        "First Name,Last Name,Property Address,Property City,Property State,Property Zip,"
        "Mailing Address,Mailing City,Mailing State,Mailing Zip,Apn,Bedroom Count,Bathroom Count,"
        "Total Building Area Square Feet,Lot Size Square Feet,Year Built,Estimated Value,"
        "Property Type Detail,Last Sale Price,Last Sale Date",
        "crm",
        {
            "external_id": "Apn", "address": "Property Address", "city": "Property City",
            "state": "Property State", "zipcode": "Property Zip",
            "property_type": "Property Type Detail", "estimated_value": "Estimated Value",
            "bedrooms": "Bedroom Count", "bathrooms": "Bathroom Count",
            "square_feet": "Total Building Area Square Feet",
            "lot_square_feet": "Lot Size Square Feet", "year_built": "Year Built",
        },
    ),
    "Salesforce": (
        "properties",
        "Id,Name,MLS_Number__c,Property_Address__c,Property_City__c,State__c,Zip_Code__c,"
        "List_Price__c,Beds__c,Baths__c,Status__c,OwnerId",
        "crm",
        {
            "external_id": "MLS_Number__c", "address": "Property_Address__c",
            "city": "Property_City__c", "state": "State__c", "zipcode": "Zip_Code__c",
            "listing_status": "Status__c", "listing_price": "List_Price__c",
            "bedrooms": "Beds__c", "bathrooms": "Baths__c",
        },
    ),
    "HubSpot": (
        "properties",
        "Record ID,Street Address,City,State/Region,Postal Code,Create Date,Home Value,Email",
        "crm",
        {
            "external_id": "Record ID", "address": "Street Address", "city": "City",
            "state": "State/Region", "zipcode": "Postal Code", "estimated_value": "Home Value",
        },
    ),
    "Follow Up Boss": (
        "properties",
        "ID,First Name,Stage,Property MLS Number,Property Address,Property City,Property State,"
        "Property Postal Code,Property Price,Property Bedrooms,Property Bathrooms",
        "crm",
        {
            "external_id": "Property MLS Number", "address": "Property Address",
            "city": "Property City",
            "state": "Property State", "zipcode": "Property Postal Code",
            "listing_price": "Property Price", "bedrooms": "Property Bedrooms",
            "bathrooms": "Property Bathrooms",
        },
    ),
    "HomeHarvest": (
        "properties",
        "property_url,property_id,listing_id,mls,mls_id,status,style,full_street_line,street,unit,"
        "city,state,zip_code,beds,full_baths,half_baths,sqft,year_built,days_on_mls,list_price,"
        "list_date,sold_price,last_sold_date,lot_sqft,estimated_value,latitude,longitude",
        "crm",
        {
            "external_id": "property_id", "address": "full_street_line + unit", "city": "city",
            "state": "state", "zipcode": "zip_code", "latitude": "latitude",
            "longitude": "longitude", "property_type": "style", "listing_status": "status",
            "listing_price": "list_price", "estimated_value": "estimated_value",
            "bedrooms": "beds", "bathrooms": "full_baths + 0.5 x half_baths",
            "square_feet": "sqft", "lot_square_feet": "lot_sqft", "year_built": "year_built",
            "days_on_market": "days_on_mls", "listed_at": "list_date",
        },
    ),
    "RentCast": (
        "properties",
        "id,formattedAddress,addressLine1,addressLine2,city,state,zipCode,county,latitude,"
        "longitude,propertyType,bedrooms,bathrooms,squareFootage,lotSize,yearBuilt,status,price,"
        "listedDate,daysOnMarket",
        "crm",
        {
            "external_id": "id", "address": "addressLine1 + addressLine2", "city": "city",
            "state": "state", "zipcode": "zipCode", "latitude": "latitude",
            "longitude": "longitude", "property_type": "propertyType", "listing_status": "status",
            "listing_price": "price", "bedrooms": "bedrooms", "bathrooms": "bathrooms",
            "square_feet": "squareFootage", "year_built": "yearBuilt",
            "days_on_market": "daysOnMarket", "listed_at": "listedDate",
        },
    ),
    "New York City's sales": (
        "properties",
        "BOROUGH,NEIGHBORHOOD,BUILDING CLASS CATEGORY,TAX CLASS AT PRESENT,BLOCK,LOT,EASE-MENT,"
        "BUILDING CLASS AT PRESENT,ADDRESS,APARTMENT NUMBER,ZIP CODE,RESIDENTIAL UNITS,"
        "COMMERCIAL UNITS,TOTAL UNITS,LAND SQUARE FEET,GROSS SQUARE FEET,YEAR BUILT,"
        "TAX CLASS AT TIME OF SALE,BUILDING CLASS AT TIME OF SALE,SALE PRICE,SALE DATE",
        "crm",
        {
            "external_id": "BOROUGH + BLOCK + LOT", "address": "ADDRESS + APARTMENT NUMBER",
            "zipcode": "ZIP CODE", "property_type": "BUILDING CLASS CATEGORY",
            "square_feet": "GROSS SQUARE FEET", "lot_square_feet": "LAND SQUARE FEET",
            "year_built": "YEAR BUILT",
        },
    ),
    "Boston's assessor": (
        "properties",
        "PID,ST_NUM,ST_NAME,UNIT_NUM,CITY,ZIPCODE,LU_DESC,OWNER,LAND_SF,GROSS_AREA,LIVING_AREA,"
        "YR_BUILT,BED_RMS,FULL_BTH,HLF_BTH,TOTAL_VALUE",
        "crm",
        {
            "external_id": "PID", "address": "ST_NUM + ST_NAME + UNIT_NUM", "city": "CITY",
            "zipcode": "ZIPCODE", "property_type": "LU_DESC", "bedrooms": "BED_RMS",
            "bathrooms": "FULL_BTH + 0.5 x HLF_BTH", "square_feet": "LIVING_AREA",
            "lot_square_feet": "LAND_SF", "year_built": "YR_BUILT",
        },
    ),
    "King County's houses": (
        "properties",
        "id,date,price,bedrooms,bathrooms,sqft_living,sqft_lot,floors,yr_built,zipcode,lat,long",
        "crm",
        {
            "external_id": "id", "zipcode": "zipcode", "latitude": "lat", "longitude": "long",
            "listing_price": "price", "bedrooms": "bedrooms", "bathrooms": "bathrooms",
            "square_feet": "sqft_living", "lot_square_feet": "sqft_lot", "year_built": "yr_built",
        },
    ),
    "Connecticut's sales": (
        "properties",
        "Serial Number,List Year,Date Recorded,Town,Address,Assessed Value,Sale Amount,"
        "Sales Ratio,Property Type,Residential Type,PIN,Price",
        "crm",
        {
            "external_id": "PIN", "address": "Address", "city": "Town",
            "property_type": "Residential Type, else Property Type",
        },
    ),
    "metric": (
        "properties",
        "ID,Floor Area (m\u00b2),Lot Size (Hectares),Lot Size,Lot Size Units,Cap Rate %",
        "crm",
        {
            "external_id": "ID", "cap_rate": "Cap Rate % / 100",
            "square_feet": "Floor Area (m\u00b2) in square meters",
            "lot_square_feet": "Lot Size in Lot Size Units",
        },
    ),
    "our own names beside a portal's": (
        "properties",
        "external_id,property_type,confidence,ListingKey,PropertyType,PropertySubType,ListPrice",
        "reso",
        {
            "external_id": "external_id", "property_type": "property_type",
            "listing_price": "ListPrice", "confidence": "confidence",
        },
    ),
    "acts": (
        "interactions",
        "property,user,kind,occurred_at,reason,simulated",
        "plain",
        {name: name for name in InteractionInput.model_fields},
    ),
    "acts of a CRM": (
        "interactions",
        "Contact Email,Contact ID,Property ID,MLS Number,Activity Type,Activity Date,Notes",
        "crm",
        {
            "property": "Property ID", "user": "Contact Email", "kind": "Activity Type",
            "occurred_at": "Activity Date", "reason": "Notes",
        },
    ),
    "acts with date and time apart": (
        "interactions",
        "Email,MLS #,Event,Date,Time",
        "crm",
        {
            "property": "MLS #", "user": "Email", "kind": "Event", "occurred_at": "Date + Time",
        },
    ),
    "events": (
        "interactions",
        "User ID,Listing ID,Event,Timestamp,Created At",
        "crm",
        {
            "property": "Listing ID", "user": "User ID", "kind": "Event",
            "occurred_at": "Timestamp",
        },
    ),
    "RESO InternetTracking": (
        "interactions",
        "EventKey,EventType,EventTimestamp,EventDescription,ActorKey,ActorID,ActorEmail,ObjectID,"
        "ObjectIdType,ObjectType",
        "reso",
        {
            "property": "ObjectID", "user": "ActorKey", "kind": "EventType",
            "occurred_at": "EventTimestamp", "reason": "EventDescription",
        },
    ),
    "RESO ContactListings": (
        "interactions",
        "ContactListingsKey,ContactKey,ListingKey,ContactListingPreference,ModificationTimestamp",
        "reso",
        {
            "property": "ListingKey", "user": "ContactKey", "kind": "ContactListingPreference",
            "occurred_at": "ModificationTimestamp",
        },
    ),
}  # fmt: skip


def said(found: Recognised) -> dict[str, str]:
    return {field: source.text for field, source in found.fields.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_columns_are_recognised(name: str) -> None:
    noun, header, named, expected = EXAMPLES[name]
    found = recognise(noun, header.split(","))
    assert (found.format, said(found)) == (named, expected)


@pytest.mark.parametrize("name", EXAMPLES)
def test_order_case_and_other_columns_decide_nothing(name: str) -> None:
    noun, header, named, _ = EXAMPLES[name]
    columns = header.split(",")
    before = recognise(noun, columns)
    shuffled = columns.copy()
    random.Random(7).shuffle(shuffled)
    assert recognise(noun, shuffled).format == named
    assert said(recognise(noun, shuffled)) == said(before)
    assert said(recognise(noun, [*columns, "", "Remarks of ours", "Agent"])) == said(before)
    if "our own" in name:
        return  # an upper-case name is no longer our own exactly
    for change in (str.upper, " {} ".format, "\ufeff{}".format, "\u00ef\u00bb\u00bf{}".format):
        changed = {change(column): column for column in columns}
        found = recognise(noun, list(changed))
        assert found.format == named
        assert {
            field: tuple(changed[column] for column in source.columns)
            for field, source in found.fields.items()
        } == {field: source.columns for field, source in before.fields.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_properties_are_not_mistaken_for_interactions(name: str) -> None:
    noun, header, _, _ = EXAMPLES[name]
    found = recognise("interactions", header.split(",")).fields
    needed = {"property", "user", "kind", "occurred_at"}
    assert (needed <= found.keys()) == (noun == "interactions")


def test_only_redfin_declares_the_order_of_its_dates() -> None:
    orders = {
        name: recognise(noun, header.split(",")).date_order
        for name, (noun, header, _, _) in EXAMPLES.items()
    }
    assert {name for name, order in orders.items() if order == "MDY"} == {
        name for name in EXAMPLES if name.startswith("redfin")
    }
    assert set(orders.values()) == {"MDY", None}


def test_plain_takes_our_exact_names_alone() -> None:
    columns = ["external_id", "City", "MLS#", "address", "Unit #"]
    found = recognise("properties", columns, format="plain")
    assert said(found) == {"external_id": "external_id", "address": "address"}


def test_a_named_format_takes_no_names_of_others() -> None:
    columns = ["MLS#", "BEDS", "Year_Built", "Est. Value", "ListPrice"]
    assert said(recognise("properties", columns, format="redfin")) == {
        "external_id": "MLS#", "listing_price": "ListPrice", "bedrooms": "BEDS",
        "year_built": "Year_Built",
    }  # fmt: skip
    assert said(recognise("properties", columns, format="reso")) == {
        "listing_price": "ListPrice", "year_built": "Year_Built",
    }  # fmt: skip


def test_a_format_of_properties_alone_leaves_interactions_their_names() -> None:
    assert said(recognise("interactions", ["Property", "MLS#"], format="redfin")) == {
        "property": "Property"
    }


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ImportRefusedError, match="--format mls: use one of auto, plain, reso"):
        recognise("properties", ["external_id"], format="mls")


@pytest.mark.parametrize(
    ("beside", "field", "column"),
    [
        # Of a sale it is what was paid.
        (["Price", "Sale Date"], "listing_price", None),
        (["Price", "Sale Date", "List Price"], "listing_price", "List Price"),
        (["Price", "Beds"], "listing_price", "Price"),
        (["Sale Price", "Sold Price"], "listing_price", None),
        # Of a lead it is where it stands with the firm.
        (["Status", "Lead Source"], "listing_status", None),
        (["Status", "MLS #"], "listing_status", "Status"),
        # Acres or square feet.
        (["Lot Size"], "lot_square_feet", None),
        # Architecture.
        (["Style"], "property_type", None),
        # An owner's, not the property's.
        (["Mailing City", "Owner State"], "city", None),
        (["$/SQUARE FEET", "Price per Sq Ft"], "square_feet", None),
        # What taxes are paid on is no estimate of the value.
        (["Assessed Value", "Total Assessed Value"], "estimated_value", None),
        (["Lead Source", "Source"], "source_system", None),
    ],
)
def test_ambiguous_columns(beside: list[str], field: str, column: str | None) -> None:
    found = recognise("properties", ["ID", *beside]).fields.get(field)
    assert (found and found.text) == column


def test_the_exact_spelling_wins_over_another() -> None:
    assert said(recognise("properties", ["CITY", "city", "City"])) == {"city": "city"}
    # None is ours exactly: the same one, whatever their order.
    assert said(recognise("properties", ["City", "CITY"])) == said(
        recognise("properties", ["CITY", "City"])
    )


def test_fields_are_those_of_the_models_in_their_order() -> None:
    assert FIELDS["properties"] == tuple(PropertyInput.model_fields)
    assert FIELDS["interactions"] == tuple(InteractionInput.model_fields)
    for noun, formats in FORMATS.items():
        for one in formats.values():
            assert set(one.sources) <= set(FIELDS[noun])
    found = recognise("properties", list(reversed(EXAMPLES["reso"][1].split(","))))
    order = [FIELDS["properties"].index(field) for field in found.fields]
    assert order == sorted(order)


@pytest.mark.parametrize("noun", ["properties", "interactions"])
def test_crm_names_include_our_own_in_any_spelling(noun: Noun) -> None:
    for field in FIELDS[noun]:
        column = field.replace("_", " ").title()
        found = recognise(noun, [column])
        assert (found.format, said(found)) == ("plain", {field: column})


@pytest.mark.parametrize("noun", ["properties", "interactions"])
def test_a_mark_is_a_name_of_one_format(noun: Noun) -> None:
    for name, one in FORMATS[noun].items():
        for other, theirs in FORMATS[noun].items():
            if other != name:
                known = [resolve(source, Columns(one.marks)) for source in theirs.sources.values()]
                assert not any(known)


def test_names_of_any_length_and_script_are_compared() -> None:
    assert key("MLS #") == key("Mls Number") == key("mls#")
    assert key("Listing_Price__c") == key("Listing Price")
    assert key("Floor Area (m\u00b2)") == "flooraream2"
    assert key("\u200b\ufeffCi\u0301ty\xa0") == "c\u00edty"
    assert len(key("x" * 1_000_000)) == 1000
    assert recognise("properties", ["", " ", "---", "\U0001f600"]).fields == {}
