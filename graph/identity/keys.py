"""The keys that sign tokens: one shared secret, or those that an issuer publishes and rotates."""

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from domain.core.errors import unauthenticated
from graph.identity.config import Issuer
from graph.identity.fetching import FetchError, fetch_json

logger = logging.getLogger(__name__)

MAX_AGE = 600.0
"""Seconds after which keys are fetched anew, behind the requests' backs."""

MIN_INTERVAL = 10.0
"""Seconds between two fetches at least, however many tokens name keys that are not known."""

MAX_KEYS = 100
DISCOVERY = "/.well-known/openid-configuration"


class Keys(Protocol):
    """Where the key of a token is found.

    Attributes:
        algorithms: what tokens may be signed with.
        generation: changes when keys do; what was verified by an older one is to be forgotten.
    """

    algorithms: tuple[str, ...]
    generation: int

    async def find(self, kid: str | None) -> PyJWK:
        """The key of that id; without an id the only key. Raises DomainError UNAUTHENTICATED."""

    async def close(self) -> None:
        """Give up what is under way."""


class SharedSecret:
    """One secret, known to who signs and to who verifies, for HS256."""

    def __init__(self, secret: str) -> None:
        self.algorithms: tuple[str, ...] = ("HS256",)
        self.generation = 0
        encoded = base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")
        self._key = PyJWK({"kty": "oct", "k": encoded}, "HS256")

    async def find(self, kid: str | None) -> PyJWK:  # noqa: ARG002
        """The secret, whatever the token calls it."""
        return self._key

    async def close(self) -> None:
        """Nothing is under way."""


class IssuerKeys:
    """The keys of an issuer, kept in memory and fetched one request at a time.

    A token by a known key never waits: keys that grew old are fetched in the background, and when
    that fails the last good ones stay. A token by an unknown key waits for one fetch (at most
    ``fetching.TIMEOUT`` seconds), unless the last one was less than ``MIN_INTERVAL`` ago.

    Args:
        issuer: whose keys.
        clock: tells seconds, from any start.
    """

    def __init__(self, issuer: Issuer, clock: Callable[[], float] = time.monotonic) -> None:
        self.algorithms = issuer.algorithms
        self.generation = 0
        self._issuer = issuer
        self._clock = clock
        self._keys: dict[str | None, PyJWK] = {}
        self._fingerprint: object = None
        self._tried_at = self._fetched_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> PyJWK:
        """The key of that id; without an id the only key.

        Raises:
            DomainError: UNAUTHENTICATED: the issuer publishes no such key, or does not answer.
        """
        found = self._keys.get(kid)
        if found is None:
            # Shielded: a client that goes away does not end what others wait for.
            if fetching := self._fetch():
                await asyncio.shield(fetching)
            found = self._keys.get(kid)
        elif self._clock() - self._fetched_at > MAX_AGE:
            self._fetch()
        if found is not None:
            return found
        if not self._keys:
            raise unauthenticated(
                "The issuer's keys cannot be fetched at the moment; try again soon."
            )
        if kid is None:
            raise unauthenticated(
                "The token does not name its key (kid), and the issuer has several."
            )
        raise unauthenticated("The token was signed by a key that its issuer does not publish.")

    async def close(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _fetch(self) -> asyncio.Task[None] | None:
        """The fetch under way, a new one, or None if it is too early for one."""
        if self._fetching is None and self._clock() - self._tried_at >= MIN_INTERVAL:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._replace())
        return self._fetching

    async def _replace(self) -> None:
        try:
            published = await self._published()
        except FetchError as error:
            logger.warning("keys of %s stay as they are: %s", self._issuer.url, error)
        else:
            self._fetched_at = self._clock()
            fingerprint = {kid: key._jwk_data for kid, key in published.items()}
            if fingerprint != self._fingerprint:
                self._keys, self._fingerprint = published, fingerprint
                self.generation += 1
        finally:
            self._fetching = None

    async def _published(self) -> dict[str | None, PyJWK]:
        https_only = self._issuer.https_only
        url = self._issuer.jwks_url
        if url is None:
            place = self._issuer.url.rstrip("/") + DISCOVERY
            document = await fetch_json(place, https_only=https_only)
            if document.get("issuer") != self._issuer.url:
                raise FetchError(
                    f"{place} is the document of issuer {document.get('issuer')!r:.200}, not of "
                    f"{self._issuer.url!r}: set OIDC_ISSUER to the letter"
                )
            url = document.get("jwks_uri")
            if not isinstance(url, str):
                raise FetchError(f"{place} names no jwks_uri")
        keys = _usable(await fetch_json(url, https_only=https_only), self.algorithms)
        if not keys:
            raise FetchError(f"{url} holds no signing key for {', '.join(self.algorithms)}")
        return keys


def _usable(document: Mapping[str, Any], algorithms: tuple[str, ...]) -> dict[str | None, PyJWK]:
    """The keys that may sign tokens, by id; a single one also under None."""
    listed = document.get("keys")
    found: dict[str | None, PyJWK] = {}
    for published in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        if not isinstance(published, dict) or published.get("use", "sig") != "sig":
            continue
        try:
            key = PyJWK(published)
        except (PyJWTError, TypeError, ValueError):
            # Of a kind that only other clients of the issuer know.
            continue
        named = key.key_id is None or isinstance(key.key_id, str)
        strong = not key.Algorithm.check_key_length(key.key)
        if named and strong and key.algorithm_name in algorithms:
            found[key.key_id] = key
    if len(found) == 1:
        found[None] = next(iter(found.values()))
    else:
        found.pop(None, None)
    return found
