"""Execution of GraphQL operations, compiled once per operation.

``Plan`` answers exactly as graphql-core's executor with Strawberry's resolvers would, errors and
all; tests/graph/execution proves it on random operations. plan.py holds what is done once,
executor.py what is done for each request, compiler.py writes functions for plain values, which
leaves.py and shapes.py tell from others.
"""

from graph.execution.plan import Plan
from graph.execution.shapes import READY

__all__ = ["READY", "Plan"]
