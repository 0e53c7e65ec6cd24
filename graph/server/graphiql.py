"""GraphiQL for development: a page of local files alone, signed in as a sample investor."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from domain.contract.filters import PropertyFilter
from domain.core.database import Database
from domain.core.errors import DomainError
from domain.interactions import interactions
from domain.recommendations.recommender import Recommender
from domain.tenants import tenants
from domain.users import users
from graph.core.nodes import global_id
from graph.identity import mint

FOLDER = Path(__file__).with_name("graphiql_assets")
MODULES = FOLDER / "node_modules"
ASSETS = {
    "react.js": MODULES / "react/umd/react.production.min.js",
    "react-dom.js": MODULES / "react-dom/umd/react-dom.production.min.js",
    "graphiql.js": MODULES / "graphiql/graphiql.min.js",
    "graphiql.css": MODULES / "graphiql/graphiql.min.css",
    "start.js": FOLDER / "start.js",
    "start.css": FOLDER / "start.css",
}
"""The files that the page may load, by the last part of their URL; no others are served."""

SECURITY = {
    # The editor sets styles from its code and draws icons from data URLs; scripts are files alone.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
EXAMPLES = 4
SESSION = timedelta(hours=12)


class Example(NamedTuple):
    """A property to ask about."""

    id: UUID
    external_id: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An invented investor with a history, a token for it, and the first of its list."""

    name: str
    token: str
    examples: tuple[Example, ...]


async def sign_in(database: Database, recommender: Recommender, jwt_secret: str) -> SignedIn | None:
    """Sign in as the first invented investor of the first tenant that has one.

    There are no examples while nothing can be recommended.
    """
    async with database.work(None) as work:
        firms = await tenants.list_all(work)
    for firm in firms:
        async with database.work(firm.id) as work:
            active = set(await interactions.active_investors(work))
            everybody = await users.list_all(work)
            user = next((one for one in everybody if one.simulated and one.id in active), None)
        if user is not None:
            token = mint(jwt_secret, firm.id, user.id, [user.role], SESSION)
            try:
                page = await recommender.recommend(firm.id, user.id, PropertyFilter(), EXAMPLES)
                rows = [item.property for item in page.items]
            except DomainError:
                rows = []
            examples = tuple(Example(row.id, row.external_id) for row in rows)
            return SignedIn(user.name or user.external_id, token, examples)
    return None


class GraphiQL:
    """The page and its files.

    Args:
        identify: signs a request for the page in, or leaves that to the reader.
    """

    def __init__(self, identify: Callable[[Request], Awaitable[SignedIn | None]]) -> None:
        self._identify = identify
        self._template = (FOLDER / "index.html").read_text(encoding="utf-8")

    async def page(self, request: Request) -> Response:
        """The page, with ready queries, and signed in where it is asked for by a local name."""
        # A name that a stranger's page could have rebound to this machine gets no token.
        local = request.url.hostname in LOCAL_NAMES
        user = await self._identify(request) if local else None
        config = {
            "token": user and user.token,
            "investor": user and user.name,
            "tabs": ready_queries(user.examples if user else ()),
        }
        # The data block would end at a "</script" in it.
        text = json.dumps(config).replace("<", "\\u003c")
        return HTMLResponse(self._template.replace("{{config}}", text), headers=SECURITY)

    async def asset(self, request: Request) -> Response:
        """One of the page's files. Raises HTTPException 404 for any other."""
        path = ASSETS.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        if not path.is_file():
            raise HTTPException(404, f"{path.name} is not installed: run `make serve`")
        return FileResponse(path, headers={"Cache-Control": "max-age=3600"})


def ready_queries(examples: Sequence[Example]) -> list[dict[str, str]]:
    """The page's tabs: a query and its variables each."""
    ids = [global_id("Property", one.id) for one in examples]
    saved, contacted = [*ids, *["the id of a property"] * 2][:2]
    sold = examples[-1].external_id if examples else "the external id of a property"
    one = {"propertyId": saved}
    variables: dict[str, dict[str, object]] = {
        "recommendations": {},
        "discovery": {"houses": ids, "saved": saved, "contacted": contacted, "sold": sold},
        "similar": dict(one),
        "affinity": {"propertyIds": ids},
        "thumbs_down": {"input": one | {"sentiment": "THUMBS_DOWN", "reason": "Too close by."}},
        "properties": {
            "filter": {"propertyTypes": ["SINGLE_FAMILY"], "price": {"max": 600000}},
            "orderBy": {"field": "LISTED_AT", "direction": "DESC"},
        },
        "facets": {"filter": {"text": "seattle", "bedrooms": {"min": 3}}},
        "interested": dict(one),
        "live": {},
    }
    return [
        {
            "query": (FOLDER / "queries" / f"{name}.graphql").read_text(encoding="utf-8"),
            "variables": json.dumps(values, indent=2),
        }
        for name, values in variables.items()
    ]
