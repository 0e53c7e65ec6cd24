"""The schema: one line per capability. ``python -m graph.schema`` prints it."""

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
)

from graph.core.directives import as_many_as, page_of, weight
from graph.core.errors import RequestErrorCode
from graph.core.pagination import DEFAULT_PAGE
from graph.core.weights import QUERY, RANKING, SEARCH, WRITE
from graph.interactions.types import record_interaction, retract_feedback, submit_feedback
from graph.jobs.types import list_job_runs, start_reindex, start_training
from graph.members.types import delete_user, list_users, upsert_users
from graph.model_registry.types import activate_model, active_model, list_model_versions
from graph.properties.facets import property_facets
from graph.properties.mutations import delete_property, upsert_properties
from graph.properties.types import Property, find_property, list_properties
from graph.recommendations.audience import similar_users
from graph.recommendations.reasons import REASONS
from graph.recommendations.similarity import similar_properties, similar_to
from graph.recommendations.types import affinity, recommend
from graph.refetch import find_node, find_nodes
from graph.subscriptions import Subscription
from graph.users.buy_boxes import set_buy_box
from graph.users.types import User, find_user, me


@strawberry.type(description="What can be read, of the caller's tenant alone.")
class Query:
    """What can be read."""

    node = strawberry.field(
        resolver=find_node, description="The object of a global id.", directives=[weight(QUERY)]
    )
    nodes = strawberry.field(
        resolver=find_nodes,
        description="The objects of global ids, in the order asked. What is not found, or not the "
        "caller's to see, is null, and the error at its place says why.",
        directives=[weight(QUERY), as_many_as("ids")],
    )
    me = strawberry.field(resolver=me, description="The caller.")
    users = strawberry.field(
        resolver=list_users,
        description="The users of the tenant, a page at a time; for analysts and admins.",
        directives=[weight(QUERY), page_of(DEFAULT_PAGE, "first", "last")],
    )
    user = strawberry.field(resolver=find_user, description="A user; a viewer sees itself only.")
    property = strawberry.field(resolver=find_property, description="A property.")
    properties = strawberry.field(
        resolver=list_properties,
        description="The properties that match, a page at a time.",
        directives=[weight(QUERY), page_of(DEFAULT_PAGE, "first", "last")],
    )
    property_facets = strawberry.field(
        resolver=property_facets,
        description="How many of the properties that match have each value.",
    )
    similar_properties = strawberry.field(
        resolver=similar_properties,
        description="The properties most like one, by the active model; without one, by attributes "
        "and location.",
        directives=[weight(SEARCH), page_of(DEFAULT_PAGE, "first", "last")],
    )
    similar_to = strawberry.field(
        resolver=similar_to,
        description="What is nearest to an embedding, by the model: to the mean of a few "
        "properties' embeddings, say.",
        directives=[weight(SEARCH), page_of(DEFAULT_PAGE, "first", "last")],
    )
    recommendations = strawberry.field(
        resolver=recommend,
        description="What is recommended to an investor, the best first, with reasons.",
        directives=[weight(RANKING), page_of(DEFAULT_PAGE, "first", "last")],
    )
    similar_users = strawberry.field(
        resolver=similar_users,
        description="The investors who buy like one, the most alike first; for analysts and "
        "admins.",
        directives=[weight(RANKING), page_of(DEFAULT_PAGE, "first", "last")],
    )
    affinity = strawberry.field(
        resolver=affinity,
        description="How well properties fit an investor, in the order asked.",
        directives=[weight(QUERY), as_many_as("propertyIds")],
    )
    active_model = strawberry.field(
        resolver=active_model,
        description="The version of the twin that answers now, null while none does; for analysts "
        "and admins.",
        directives=[weight(QUERY)],
    )
    model_versions = strawberry.field(
        resolver=list_model_versions,
        description="The versions of the twin, the newest first; for analysts and admins.",
        directives=[weight(QUERY), page_of(DEFAULT_PAGE, "first", "last")],
    )
    job_runs = strawberry.field(
        resolver=list_job_runs,
        description="The runs of jobs, the newest first; for analysts and admins.",
        directives=[weight(QUERY), page_of(DEFAULT_PAGE, "first", "last")],
    )


@strawberry.type(description="What can be done. Each may be repeated with the same effect as once.")
class Mutation:
    """What can be done."""

    submit_feedback = strawberry.mutation(
        resolver=submit_feedback,
        description="Give a thumb; it counts from the next answer on.",
        directives=[weight(WRITE)],
    )
    retract_feedback = strawberry.mutation(
        resolver=retract_feedback, description="Take a thumb back.", directives=[weight(WRITE)]
    )
    record_interaction = strawberry.mutation(
        resolver=record_interaction,
        description="Say what an investor did with a property.",
        directives=[weight(WRITE)],
    )
    set_buy_box = strawberry.mutation(
        resolver=set_buy_box,
        description="Say what an investor wants, or take that back; it counts at once.",
        directives=[weight(WRITE)],
    )
    upsert_properties = strawberry.mutation(
        resolver=upsert_properties,
        description="Create or update properties by external id; for analysts and admins.",
        directives=[weight(WRITE), as_many_as("input.properties", "results", "properties")],
    )
    upsert_users = strawberry.mutation(
        resolver=upsert_users,
        description="Create, change, deactivate or activate users by external id; for admins.",
        directives=[weight(WRITE), as_many_as("input.users", "results")],
    )
    start_training = strawberry.mutation(
        resolver=start_training,
        description="Have the twin trained; it answers only if it passes its gates. For admins.",
        directives=[weight(WRITE)],
    )
    start_reindex = strawberry.mutation(
        resolver=start_reindex,
        description="Have the index brought into step with the database. For admins.",
        directives=[weight(WRITE)],
    )
    activate_model = strawberry.mutation(
        resolver=activate_model,
        description="Have another version answer: at once where its vectors are there. For admins.",
        directives=[weight(WRITE)],
    )
    delete_user = strawberry.mutation(
        resolver=delete_user,
        description="Delete a user and all that is known of it; for admins.",
        directives=[weight(WRITE)],
    )
    delete_property = strawberry.mutation(
        resolver=delete_property,
        description="Delete a property; for analysts and admins.",
        directives=[weight(WRITE)],
    )


def build_schema() -> strawberry.Schema:
    """A new schema. ``graph.server.operations`` runs it."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Property, User, *REASONS, RequestErrorCode],
    )
    _drop_null_defaults(schema._schema)
    return schema


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """Have optional arguments without ``= null``, which would be said of each and means nothing."""
    for kind in schema.type_map.values():
        optional: list[GraphQLArgument | GraphQLInputField] = []
        if isinstance(kind, GraphQLObjectType):
            optional += [one for field in kind.fields.values() for one in field.args.values()]
        elif isinstance(kind, GraphQLInputObjectType):
            optional += kind.fields.values()
        for one in optional:
            if one.default_value is None:
                one.default_value = Undefined


def main() -> None:
    """Print the schema in GraphQL's own language."""
    print(build_schema().as_str())  # noqa: T201


if __name__ == "__main__":
    main()
