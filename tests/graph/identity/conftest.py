"""An issuer of this test session's own: real keys, and a server that publishes them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from graph.identity import Issuer
from graph.identity.keys import DISCOVERY

AUDIENCE = "https://api.example.com"
JWKS = "/keys"


@dataclass(frozen=True)
class SigningKey:
    """A private key and how it is published."""

    kid: str
    algorithm: str
    private: Any

    @property
    def published(self) -> dict[str, Any]:
        """The public half."""
        kind = RSAAlgorithm if self.algorithm == "RS256" else ECAlgorithm
        public = kind.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token."""
        return jwt.encode(claims, self.private, self.algorithm, headers={"kid": self.kid} | header)


def rsa_key(kid: str, bits: int = 2048) -> SigningKey:
    """A new RSA key."""
    return SigningKey(kid, "RS256", rsa.generate_private_key(65537, bits))


def ec_key(kid: str) -> SigningKey:
    """A new key on P-256."""
    return SigningKey(kid, "ES256", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def rsa_one() -> SigningKey:
    """One RSA key for all: making one takes a while."""
    return rsa_key("rsa-1")


@dataclass
class IssuerServer:
    """A little HTTP server that counts what is fetched; ``answers`` are by path.

    An answer is (status, headers, body). While ``gate`` is closed no answer is sent.
    """

    url: str = ""
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, *keys: SigningKey) -> None:
        """Serve these keys and the document that leads to them."""
        self.serve(DISCOVERY, {"issuer": self.url, "jwks_uri": self.url + JWKS})
        self.serve(JWKS, {"keys": [key.published for key in keys]})

    def serve(self, path: str, document: Any, status: int = 200, headers: str = "") -> None:
        """Answer a path with JSON, or with bytes as they are."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers[path] = (status, headers, body)

    def issuer(self, **changes: Any) -> Issuer:
        """What a server that trusts it is configured with."""
        usual: dict[str, Any] = {"url": self.url, "audience": AUDIENCE, "https_only": False}
        return Issuer(**(usual | changes))

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What it says of a user; None leaves a claim out."""
        now = datetime.now(UTC)
        said = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "tenant": "acme",
            "iat": now,
            "exp": now + timedelta(minutes=5),
        } | changes
        return {name: value for name, value in said.items() if value is not None}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        self.fetched.append(path)
        await self.gate.wait()
        status, headers, body = self.answers.get(path, (404, "", b"nothing here"))
        start = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}"
        writer.write(start.encode() + b"Connection: close\r\n\r\n" + body)
        try:
            await writer.drain()
        except ConnectionError:
            # The client had enough.
            pass
        finally:
            writer.close()


@pytest.fixture
async def server(rsa_one: SigningKey) -> AsyncIterator[IssuerServer]:
    """It publishes ``rsa_one``, and answers at once."""
    made = IssuerServer()
    made.gate.set()
    listening = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    made.publish(rsa_one)
    async with listening:
        yield made
        made.gate.set()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


async def until(happened: Callable[[], bool]) -> None:
    """Let others run until it happened."""
    async with asyncio.timeout(60):
        while not happened():  # noqa: ASYNC110  (no event tells of it)
            await asyncio.sleep(0.005)
