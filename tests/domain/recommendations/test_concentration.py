"""What a purchase does to an investor's exposure."""

from domain.contract.vocabulary import InteractionKind, PropertyType
from domain.core.database import Database
from domain.properties.table import Property
from domain.recommendations.concentration import Concentration, Exposure, concentration
from domain.tenants.tenants import Tenant
from tests.factories import add_interaction, add_property, add_user


async def test_shares_are_of_the_distinct_properties_bought(
    database: Database, tenant: Tenant
) -> None:
    candidates = [
        Property(canonical_zipcode="98103", property_type=PropertyType.CONDO),
        Property(canonical_zipcode="98109", property_type=PropertyType.LAND),
        Property(canonical_zipcode=None, property_type=None),
    ]
    async with database.work(tenant.id) as work:
        owner, other = await add_user(work), await add_user(work)
        bought = [
            await add_property(work, zipcode="98103", property_type=PropertyType.CONDO),
            await add_property(work, zipcode="98103", property_type=None),
            await add_property(work, zipcode=None, property_type=PropertyType.LAND),
        ]
        seen = await add_property(work, zipcode="98109")
        for house in (*bought, bought[0]):
            await add_interaction(work, owner.id, house.id, InteractionKind.DEAL)
        await add_interaction(work, owner.id, seen.id, InteractionKind.SAVE)
        await add_interaction(work, other.id, seen.id, InteractionKind.DEAL)
        found = await concentration(work, owner.id, candidates)
        assert await concentration(work, owner.id, []) == []
        idle = await add_user(work)
        (first,) = await concentration(work, idle.id, candidates[:1])
    assert found == [
        Concentration(Exposure("98103", 2 / 3, 3 / 4), Exposure("CONDO", 1 / 3, 2 / 4)),
        Concentration(Exposure("98109", 0.0, 1 / 4), Exposure("LAND", 1 / 3, 2 / 4)),
        Concentration(None, None),
    ]
    assert first == Concentration(Exposure("98103", 0.0, 1.0), Exposure("CONDO", 0.0, 1.0))
