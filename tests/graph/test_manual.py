"""The figures of docs/graphql.md are those of the code."""

import re
from pathlib import Path

import pytest

from domain.recommendations.cold_start import HALF_ENGAGEMENT, LOG_RANGES, PLACE_RANGE_KM, RANGES
from domain.recommendations.listings import MAX_DEPTH as MAX_RANK
from domain.recommendations.vectors import DIMENSIONS
from graph.core.pagination import MAX_PAGE
from graph.identity.authenticator import RECHECKED_AFTER
from graph.identity.keys import MAX_AGE, MIN_INTERVAL
from graph.limits.pricing import INTROSPECTED_FIELD
from graph.limits.shape import (
    INTROSPECTION_ALIAS,
    MAX_ALIASES,
    MAX_COMMENTS,
    MAX_DEPTH,
    MAX_FIELDS,
    MAX_FRAGMENTS,
    MAX_REPEATS,
    MAX_ROOT_FIELDS,
    MAX_SOURCE_LENGTH,
    MAX_TOKENS,
)
from graph.server.documents import MAX_BYTES, MAX_DOCUMENTS, MAX_PASSING, MAX_PASSING_BYTES
from graph.server.http.compression import SMALLEST
from graph.server.http.connections import RECHECK_EVERY
from graph.server.http.view import MAX_BODY
from graph.server.http.websocket import IDLE_AFTER, PING_EVERY, PONG_WITHIN
from ml.serving.audience import AUDIENCE
from settings import Settings

MANUAL = Path(__file__).parents[2] / "docs" / "graphql.md"
KIB = 1024
MIB = 1024 * KIB


def default(name: str) -> float:
    return float(Settings.model_fields[name].default)


@pytest.mark.parametrize(
    "statement",
    [
        f"holds {MAX_DOCUMENTS:,} texts of {MAX_BYTES // MIB} MiB together",
        f"{MAX_PASSING} texts of {MAX_PASSING_BYTES // KIB} KiB together",
        f"0 to {MAX_PAGE} at a time",
        f"shows at most {MAX_RANK:,} properties",
        f"takes the {DIMENSIONS} numbers of an `embedding`",
        f"the {AUDIENCE} with an interest most like it",
        f"e / (e + {HALF_ENGAGEMENT:g}), where e is the property's `engagement`, in views",
        f"| latitude and longitude | {PLACE_RANGE_KM:g} km |",
        f"| listing price, living area | a factor of {LOG_RANGES['listing_price']:g},",
        f"a factor of {LOG_RANGES['square_feet']:g}, on a logarithmic scale |",
        f"| bedrooms, bathrooms | {RANGES['bedrooms']:g} |",
        f"| bedrooms, bathrooms | {RANGES['bathrooms']:g} |",
        f"| year built | {RANGES['year_built']:g} years |",
        f"pinged every {PING_EVERY:g} s and closed after {PONG_WITHIN:g} s",
        f"after {IDLE_AFTER / 60:g} idle minutes",
        f"body | {MAX_BODY // MIB} MiB",
        f"Answers of {SMALLEST // KIB} KiB or more are compressed",
        f"document | {MAX_SOURCE_LENGTH:,} characters, {MAX_TOKENS:,} tokens, "
        f"{MAX_COMMENTS:,} comments",
        f"| {MAX_DEPTH}, {MAX_ALIASES}, {MAX_ROOT_FIELDS}, {MAX_FIELDS:,} |",
        f"fragments, fields of the same name | {MAX_FRAGMENTS}, {MAX_REPEATS}",
        f"`COST_LIMIT`, {default('cost_limit'):,.0f} points",
        f'"limit": {default("cost_limit"):.0f}, "remaining": {default("rate_limit_capacity"):.0f}',
        f"`OPERATION_TIMEOUT`, {default('operation_timeout'):g} s",
        f"Introspection costs {INTROSPECTED_FIELD} points a field",
        f"each alias in it counts as {INTROSPECTION_ALIAS}",
        f"refreshed every {MAX_AGE / 60:g} minutes",
        f"at most every {MIN_INTERVAL:g} seconds",
        f"believed for {RECHECKED_AFTER:g} seconds",
        f"they end within {RECHECK_EVERY + RECHECKED_AFTER:g} seconds",
    ],
)
def test_the_manual_states_the_figure_of_the_code(statement: str) -> None:
    assert statement in re.sub(r"\s+", " ", MANUAL.read_text())
