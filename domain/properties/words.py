"""Words of MLS systems, portals, CRMs and assessors for property types and listing statuses.

Keys are made by ``canonical.word``. A word that does not say which value it means is not listed:
"Residential", "Commercial", "Farm" or "Other" may be anything, and the vocabulary has no value for
"Mobile/Manufactured Home" or "Timeshare".
"""

from collections.abc import Mapping

from domain.contract.vocabulary import ListingStatus, PropertyType
from domain.core.words import by_word

# Co-ops: Redfin has one type "Condo/Co-op", and realtor.com and Zillow search for both as one.
# "Apartment": by RESO a unit of a building with five or more that has one owner, and in lists of
# owners that building. "Cabin": by RESO a single-family residence.
PROPERTY_TYPES: Mapping[str, PropertyType] = by_word(
    {
        PropertyType.SINGLE_FAMILY: """
            single family, single family home, single family homes, single family house,
            single family residence, single family residences, single family residential,
            single family detached, single family dwelling, single family dwellings,
            single family res, residential single family, res single family,
            detached single family, sfr, sfh, sfd, house, houses, detached,
            detached house, detached home, detached dwelling, one family, one family home,
            one family house, one family dwelling, one family dwellings,
            01 one family dwellings, one family residence, 1 family, 1 family home,
            1 family dwelling, 1 family residence, single family 1 unit, cabin
        """,
        PropertyType.CONDO: """
            condo, condos, condominium, condominiums, condo unit, condominium unit, condo apartment,
            condo apt, residential condo, residential condominium, condo residential,
            condominium residential, high rise condo, mid rise condo, low rise condo,
            condo co op, condo coop, condos co ops, condo coops, co op, co ops, coop, coops,
            cooperative, cooperatives, stock cooperative, cooperative unit, residential cooperative,
            04 tax class 1 condos, 09 coops walkup apartments, 10 coops elevator apartments,
            12 condos walkup apartments, 13 condos elevator apartments,
            15 condos 2 10 unit residential, 17 condo coops
        """,
        PropertyType.TOWNHOUSE: """
            townhouse, townhouses, townhome, townhomes, town house, town houses, town home,
            town homes, townhouse residential, residential townhouse, th, row house, row houses,
            rowhouse, row home, row homes, rowhome, townhouse row house, townhouse rowhouse,
            townhome rowhome
        """,
        PropertyType.MULTI_FAMILY: """
            multi family, multi family home, multi family homes, multi family house,
            multi family residence, multi family residential, multi family dwelling,
            multi family dwellings, multi family dwellings generic any combination 2,
            multi family building, multi family property, residential multi family,
            residential income, res multi family, multiple family, mf, mfr,
            multi family 2 4 unit, multi family 2 4 units, multi family 2 4, multi family 2 to 4,
            multi family 2 to 4 units, multi family 5 unit, multi family 5 units, multi family 5,
            2 4 unit, 2 4 units, 2 to 4 units, 2 4 family, 5 unit, 5 units, multiplex, multi plex,
            multi unit, duplex, duplexes, duplex triplex, triplex, triplexes, fourplex, four plex,
            4 plex, quadplex, quad plex, quadruplex, quadriplex, quad, 2 plex, 3 plex,
            duplex 2 units any combination, triplex 3 units any combination,
            quadruplex 4 units any combination, 2 family, 3 family, 4 family, two family,
            three family, four family, 2 family home, 3 family home, 4 family home,
            2 family dwelling, 3 family dwelling, 4 family dwelling, two family home,
            three family home, four family home, two family dwelling, three family dwelling,
            four family dwelling, two family dwellings, three family dwellings,
            02 two family dwellings, 03 three family dwellings, 07 rentals walkup apartments,
            08 rentals elevator apartments, 14 rentals 4 10 unit, 2 unit, 3 unit, 4 unit, 2 units,
            3 units, 4 units, apartment, apartments, apartment building, apartment buildings,
            apartment complex, apartment house, apartment house 5 units, apartment 5 units
        """,
        PropertyType.LAND: """
            land, lands, lot, lots, lots land, lot land, land lot, land lots, land and lots,
            lots and land, lots acreage, vacant land, vacant lot, vacant lots, vacant parcel,
            vacant residential, vacant residential land, residential vacant land,
            residential vacant, residential land, residential lot, residential lots,
            single family lot, building lot, building lots, building site, vacant commercial,
            vacant commercial land, commercial vacant land, commercial land, acreage, raw land,
            undeveloped land, unimproved land, unimproved, bare land, agricultural land, farm land,
            farmland, 05 tax class 1 vacant land, 31 commercial vacant land
        """,
    }
)

# "Coming Soon": portals show it among homes for sale. An accepted offer is PENDING, whether or not
# the listing still takes others ("Active Under Contract").
LISTING_STATUSES: Mapping[str, ListingStatus] = by_word(
    {
        ListingStatus.ACTIVE: """
            active, act, a active, active listing, new, new listing, just listed, listed, relisted,
            for sale, house for sale, home for sale, for sale by owner,
            for sale by owner listing, for sale by agent, fsbo, on market, on the market, available,
            back on market, bom, back on the market, price change, price changed, price reduced,
            price reduction, price decrease, price decreased, price drop, price cut,
            price increase, price increased, extended, coming soon, cs, reactivated
        """,
        ListingStatus.PENDING: """
            pending, pend, pnd, p pending, sale pending, pending sale, pending contract,
            pending inspection, pending feasibility, pending short sale, pending continue to show,
            pending continue showing, pending taking backups, pending taking backup offers,
            pending backup offers requested, pending backup offer requested, pending with release,
            option pending, pending option, contingent, ctg, contingent sale, contingent show,
            contingent no show, contingent offer, active contingent, active with contingency,
            active with contract, active under contract, auc, active under agreement,
            active kick out, active kickout, active option, active option contract,
            active contingent offer, option contract, under contract, u c, under contract show,
            under contract no show, under contract showing, under contract continue to show,
            under contract backups, under contract taking backups, under agreement, in contract,
            contract signed, contract, accepting backups, accepting backup offers,
            accepted offer, offer accepted, backup, backup offers, in escrow, escrow, sale agreed
        """,
        ListingStatus.SOLD: """
            sold, sld, s sold, closed, cls, clsd, c closed, recently sold, just sold, past sale,
            sale closed, closed sale, sold closed, closed sold, settled
        """,
        ListingStatus.OFF_MARKET: """
            off market, off the market, offmarket, not for sale, not on market, not listed,
            unlisted, delisted, removed, listing removed, no longer available, unavailable,
            withdrawn, wdn, wth, withdrawn conditional, withdrawn unconditional,
            temporarily withdrawn, temporarily off market, temporarily off the market,
            temp off market, tom, canceled, cancelled, can, cancelled listing, terminated,
            expired, exp, expired listing, hold, on hold, hold do not show, inactive, delete,
            deleted, incomplete, draft
        """,
    }
)
