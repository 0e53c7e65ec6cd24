"""Execution of GraphQL operations, compiled once per operation.

``Plan`` answers exactly as graphql-core's executor with Strawberry's resolvers would, errors and
all; tests/graph/execution proves it on random operations. plan.py holds what is done once,
executor.py what is done for each request, compiler.py writes functions for plain values, which
leaves.py and attributes.py tell from others. ``graph.core.strawberry_internals`` and
graphql_internals.py hold what is used of the two libraries beyond their documentation.
"""

from graph.execution.attributes import READY
from graph.execution.plan import Plan

__all__ = ["READY", "Plan"]
