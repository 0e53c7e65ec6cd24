"""The floor: the three queries by hand, for ``bench.graphql_served`` to compare with.

What is left of a request when nothing general is: raw ASGI, the HS256 check spelled out, statements
for asyncpg that read the asked columns alone, answers put together for orjson. It knows exactly the
three queries of ``bench.graphql_served``, and no errors, cursors, fragments, changes or other
fields. Where the twin computes, it calls the same functions of ``ml``. Its answers are the
server's.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
import orjson
import torch
from starlette.types import ASGIApp, Receive, Scope, Send

import runtime
from domain.contract.filters import Labels, PropertyFilter
from domain.contract.snapshots import InvestorHistory, StoredModel
from domain.contract.vocabulary import InteractionKind
from domain.properties.snapshots import SNAPSHOT, columns
from domain.recommendations.discovery import for_sale
from ml.catalogue.catalogue import Catalogue
from ml.catalogue.retrieval import sources
from ml.twin.artifacts import unpack as load_artifact
from ml.twin.scoring import LoadedTwin
from settings import load

CARD = (
    "id", "external_id", "city", "zipcode", "latitude", "longitude", "property_type",
    "listing_status", "listing_price", "bedrooms", "bathrooms", "square_feet",
)  # fmt: skip
_NAMES = (
    "id", "externalId", "city", "zipcode", "latitude", "longitude", "propertyType",
    "listingStatus", "listingPrice", "bedrooms", "bathrooms", "squareFeet",
)  # fmt: skip
_COLUMNS = ", ".join(f"p.{column}" for column in CARD)
_SNAPSHOT = ", ".join(
    f"extract(epoch FROM p.{column.name})::float8"
    if column.name == "listed_at"
    else f"p.{column.name}"
    for column in SNAPSHOT
)
_CARDS = f"SELECT {_COLUMNS} FROM properties p WHERE p.id = ANY($1)"
_CARDS_AND_SNAPSHOT = f"SELECT {_COLUMNS}, {_SNAPSHOT} FROM properties p WHERE p.id = ANY($1)"
_HISTORY = f"""
    SELECT t.active_model_version_id, a.kind, extract(epoch FROM a.occurred_at)::float8, {_SNAPSHOT}
    FROM users u JOIN tenants t ON t.id = u.tenant_id JOIN interactions a ON a.user_id = u.id
    JOIN properties p ON p.id = a.property_id
    WHERE u.id = $1 AND a.created_at <= $2 ORDER BY a.occurred_at DESC, a.id DESC LIMIT 128
"""
_EVERYTHING = f"SELECT {_SNAPSHOT} FROM properties p ORDER BY p.id"
_EXCLUDED = """
    SELECT DISTINCT property_id FROM interactions
    WHERE user_id = $1 AND kind IN ('DEAL', 'DISMISS', 'OUTREACH', 'SAVE', 'THUMBS_DOWN')
"""
_ANCHOR = f"""
    SELECT t.active_model_version_id, {_SNAPSHOT}
    FROM properties p JOIN tenants t ON t.id = p.tenant_id WHERE p.id = $1
"""
_KINDS = {kind.value: place for place, kind in enumerate(InteractionKind)}


class Floor:
    """The application."""

    def __init__(self) -> None:
        self._twins: dict[UUID, LoadedTwin] = {}
        self._catalogues: dict[UUID, Catalogue] = {}

    async def open(self) -> None:
        """Connect to the services."""
        found = await asyncio.to_thread(runtime.services, load())
        self._secret = found.jwt_secret.encode()
        url = found.database_url.replace("postgresql+asyncpg", "postgresql")
        self._pool = await asyncpg.create_pool(url, min_size=16, max_size=20, reset=_nothing)
        torch.set_num_threads(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await receive()
            await self.open()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"] == "/readyz":
            data: Any = None
        else:
            body = b""
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
            asked = orjson.loads(body)
            tenant, user = self._authenticate(scope)
            if "recommendations(" in asked["query"]:
                data = await self._recommend(tenant, user)
            elif "similarProperties(" in asked["query"]:
                data = await self._similar(tenant, _uuid(asked["variables"]["like"]))
            else:
                data = await self._affinity(tenant, user, asked["variables"]["ids"])
        answer = orjson.dumps({"data": data})
        await send({
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(answer)).encode()),
            ],
        })  # fmt: skip
        await send({"type": "http.response.body", "body": answer})

    def _authenticate(self, scope: Scope) -> tuple[UUID, UUID]:
        token = next(value for name, value in scope["headers"] if name == b"authorization")[7:]
        signed, _, signature = token.rpartition(b".")
        expected = hmac.digest(self._secret, signed, hashlib.sha256)
        if not hmac.compare_digest(expected, base64.urlsafe_b64decode(signature + b"==")):
            raise ValueError("bad signature")
        claims = orjson.loads(base64.urlsafe_b64decode(signed.partition(b".")[2] + b"=="))
        if claims["exp"] < time.time():
            raise ValueError("expired")
        return UUID(claims["tenant"]), UUID(claims["sub"])

    @asynccontextmanager
    async def _transaction(self, tenant: UUID) -> Any:
        async with self._pool.acquire() as connection:
            await connection.execute(
                f"BEGIN READ ONLY; SELECT set_config('app.tenant_id', '{tenant}', true)"
            )
            try:
                yield connection
            finally:
                await connection.execute("COMMIT")

    async def _history(self, connection: Any, user: UUID) -> tuple[UUID, InvestorHistory]:
        now = datetime.now(UTC)
        rows = await connection.fetch(_HISTORY, user, now)
        return rows[0][0], InvestorHistory(
            user_id=user,
            properties=columns([tuple(row)[3:] for row in rows]),
            kind=np.array([_KINDS[row[1]] for row in rows], dtype=np.int8),
            occurred_at=np.array([row[2] for row in rows], dtype=np.float64),
            as_of=now.timestamp(),
        )

    async def _twin(self, connection: Any, version: UUID) -> LoadedTwin:
        if version not in self._twins:
            row = await connection.fetchrow(
                "SELECT weights, metadata FROM model_versions WHERE id = $1", version
            )
            stored = StoredModel(row[0], orjson.loads(row[1]))
            self._twins[version] = LoadedTwin(load_artifact(stored), torch.device("cpu"))
        return self._twins[version]

    async def _catalogue(self, connection: Any, version: UUID) -> Catalogue:
        if version not in self._catalogues:
            rows = await connection.fetch(_EVERYTHING)
            properties = columns([tuple(row) for row in rows])
            # No query here asks for what the labels say.
            properties = replace(properties, labels=(Labels("", None, ()),) * len(properties))
            catalogue = Catalogue()
            catalogue.load(properties, (await self._twin(connection, version)).items(properties))
            catalogue.settle()
            self._catalogues[version] = catalogue
        return self._catalogues[version]

    async def _recommend(self, tenant: UUID, user: UUID) -> Any:
        async with self._transaction(tenant) as connection:
            version, history = await self._history(connection, user)
            excluded = [row[0] for row in await connection.fetch(_EXCLUDED, user)]
            twin = await self._twin(connection, version)
            catalogue = await self._catalogue(connection, version)
        investor = twin.investor(history, catalogue.items_of)
        found = await catalogue.candidates(
            investor.interests, for_sale(PropertyFilter()), excluded, sources(investor)
        )
        scores = twin.score(investor, found.items)
        order = np.argsort(-scores, kind="stable")[:20]
        affinity = twin.affinity(scores[order]).tolist()
        best = [found.ids[row] for row in order.tolist()]
        async with self._transaction(tenant) as connection:
            cards = {row[0]: row for row in await connection.fetch(_CARDS, best)}
        return {
            "recommendations": {
                "edges": [
                    {
                        "node": {
                            "score": score,
                            "rank": rank,
                            "property": _card(cards[one]) | {"affinity": score},
                        }
                    }
                    for rank, (one, score) in enumerate(zip(best, affinity, strict=True), 1)
                ]
            }
        }

    async def _similar(self, tenant: UUID, like: UUID) -> Any:
        async with self._transaction(tenant) as connection:
            anchor = await connection.fetchrow(_ANCHOR, like)
            version = anchor[0]
            twin = await self._twin(connection, version)
            catalogue = await self._catalogue(connection, version)
        vector = twin.embed(columns([tuple(anchor)[1:]]), catalogue.items_of)[0]
        hits = await catalogue.query(vector, PropertyFilter(), [like], 20)
        async with self._transaction(tenant) as connection:
            found = await connection.fetch(_CARDS, [one.property_id for one in hits])
            cards = {row[0]: row for row in found}
        return {
            "similarProperties": {
                "edges": [
                    {
                        "similarity": min(1.0, max(0.0, (1 + hit.cosine) / 2)),
                        "node": _card(cards[hit.property_id]),
                    }
                    for hit in hits
                ]
            }
        }

    async def _affinity(self, tenant: UUID, user: UUID, asked: Sequence[str]) -> Any:
        wanted = [_uuid(one) for one in asked]
        async with self._transaction(tenant) as connection:
            rows = {row[0]: row for row in await connection.fetch(_CARDS_AND_SNAPSHOT, wanted)}
            version, history = await self._history(connection, user)
            twin = await self._twin(connection, version)
            catalogue = await self._catalogue(connection, version)
        found = columns([tuple(rows[one])[len(CARD) :] for one in wanted])
        known = catalogue.items_of
        scores = twin.affinity(
            twin.score_properties(twin.investor(history, known), found, twin.items(found, known))
        )
        return {
            "affinity": [
                {"score": score, "property": _card(rows[one])}
                for one, score in zip(wanted, scores.tolist(), strict=True)
            ]
        }


async def _nothing(_connection: Any) -> None:
    """Leave the connection as it is: a transaction left nothing behind."""


def _uuid(global_id: str) -> UUID:
    return UUID(base64.b64decode(global_id)[-36:].decode())


def _card(row: Any) -> dict[str, Any]:
    card = dict(zip(_NAMES, row, strict=False))
    card["id"] = base64.b64encode(b"Property:" + str(row[0]).encode()).decode()
    return card


def create_app() -> ASGIApp:
    """The application, not connected yet."""
    return Floor()
