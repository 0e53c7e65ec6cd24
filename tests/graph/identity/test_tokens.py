"""Which tokens are believed. Every one that is not says why; none is believed by mistake."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.vocabulary import Role
from domain.core.errors import DomainError
from graph.identity import ClaimNames, IdentityConfig, Issuer, mint
from graph.identity.keys import IssuerKeys, Keys, SharedSecret
from graph.identity.tokens import MAX_TOKEN, Claims, bearer, verify
from tests.graph.identity.conftest import AUDIENCE, IssuerServer, SigningKey, ec_key

SECRET = "s" * 32
TENANT = UUID(int=7)
SKEW = timedelta(seconds=60)


async def refusal(token: str, config: IdentityConfig, keys: Keys) -> str:
    with pytest.raises(DomainError) as refused:
        await verify(token, config, keys)
    assert refused.value.code == "UNAUTHENTICATED"
    return refused.value.message


@pytest.fixture
async def keys(server: IssuerServer) -> AsyncIterator[IssuerKeys]:
    found = IssuerKeys(server.issuer())
    yield found
    await found.close()


@pytest.fixture
def config(server: IssuerServer) -> IdentityConfig:
    return IdentityConfig(issuer=server.issuer(), clock_skew=SKEW)


@pytest.mark.parametrize("make", ["rsa", "ec"])
async def test_a_token_of_the_issuer_is_believed(
    server: IssuerServer, keys: IssuerKeys, config: IdentityConfig, rsa_one: SigningKey, make: str
) -> None:
    key = rsa_one if make == "rsa" else ec_key("ec-1")
    server.publish(key)
    said = server.claims(roles=["guest", "viewer", "admin"])
    believed = await verify(key.sign(said), config, keys)
    exp = said["exp"].replace(microsecond=0)
    assert believed == Claims("acme", "ann", Role.ADMIN, None, exp)


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
async def test_the_audience_may_be_one_of_several(
    server: IssuerServer, keys: IssuerKeys, config: IdentityConfig, rsa_one: SigningKey,
    audience: Any,
) -> None:  # fmt: skip
    token = rsa_one.sign(server.claims(aud=audience))
    assert (await verify(token, config, keys)).user == "ann"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"aud": "other"}, "another audience"),
    ({"aud": []}, "'aud'"),
    ({"aud": [AUDIENCE + "x", "other"]}, "another audience"),
    ({"aud": [7]}, "another audience"),
    ({"aud": {AUDIENCE: 1}}, "another audience"),
    ({"iss": "https://evil.example"}, "another issuer"),
    ({"exp": -2 * SKEW}, "expired"),
    ({"iat": 2 * SKEW}, "not valid yet"),
    ({"nbf": 2 * SKEW}, "not valid yet"),
    ({"exp": "soon"}, "malformed"),
    ({"exp": float("inf")}, "malformed"),
    ({"exp": float("nan")}, "malformed"),
    ({"nbf": []}, "malformed"),
    ({"sub": 7}, "malformed"),
    ({"sub": ""}, "'sub' is not text"),
    ({"sub": "x" * 201}, "'sub' is not text"),
    ({"sub": "a\x00b"}, "'sub' is not text"),
    ({"tenant": ["acme"]}, "'tenant' is not text"),
    ({"roles": ["owner"]}, "'roles' names none of"),
    ({"roles": {"admin": 1}}, "'roles' names none of"),
    ({"roles": 7}, "'roles' names none of"),
    ({"operations": 7}, "'operations' is no list"),
    ({"operations": ["me", 7]}, "'operations' is no list"),
    ({"operations": {"me": 1}}, "'operations' is no list"),
    ({"operations": ["x"] * 201}, "'operations' is no list"),
    *(({name: None}, f"lacks the claim '{name}'")
      for name in ("sub", "tenant", "aud", "iss", "exp", "iat")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), WRONG)
async def test_wrong_claims_are_named(
    server: IssuerServer, keys: IssuerKeys, config: IdentityConfig, rsa_one: SigningKey,
    changes: dict[str, Any], says: str,
) -> None:  # fmt: skip
    token = rsa_one.sign(server.claims(**from_now(changes)))
    assert says in await refusal(token, config, keys)


@pytest.mark.parametrize(
    "changes",
    [{"exp": -SKEW / 2}, {"iat": SKEW / 2}, {"nbf": SKEW / 2}],
)
async def test_clocks_may_be_apart_by_the_skew(
    server: IssuerServer, keys: IssuerKeys, rsa_one: SigningKey, changes: dict[str, Any]
) -> None:
    token = rsa_one.sign(server.claims(**from_now(changes)))
    lenient = IdentityConfig(issuer=server.issuer(), clock_skew=SKEW)
    assert (await verify(token, lenient, keys)).user == "ann"
    strict = IdentityConfig(issuer=server.issuer(), clock_skew=timedelta())
    says = "expired" if "exp" in changes else "not valid yet"
    assert says in await refusal(token, strict, keys)


async def test_a_token_by_another_key_of_that_name_is_refused(
    server: IssuerServer, keys: IssuerKeys, config: IdentityConfig, rsa_one: SigningKey
) -> None:
    forged = ec_key(rsa_one.kid)
    assert "algorithm" in await refusal(forged.sign(server.claims()), config, keys)
    server.publish(rsa_one, ec_key("ec-1"))
    forged = ec_key("ec-1")
    keys = IssuerKeys(server.issuer())
    assert "not signed by a key" in await refusal(forged.sign(server.claims()), config, keys)


async def test_a_public_key_is_no_shared_secret(
    server: IssuerServer, keys: IssuerKeys, config: IdentityConfig, rsa_one: SigningKey
) -> None:
    public = rsa_one.private.public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        rsa_one.published["n"].encode(),
    ]
    for secret in secrets:
        for algorithm, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
            token = unsigned(server.claims(), algorithm, rsa_one.kid)
            signature = hmac.new(secret, token.encode(), digest).digest()
            forged = f"{token}.{part(signature)}"
            assert "algorithm" in await refusal(forged, config, keys)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, "PS256", "RS512", "HS256"])
async def test_a_token_does_not_choose_its_algorithm(
    server: IssuerServer, keys: IssuerKeys, config: IdentityConfig, rsa_one: SigningKey,
    algorithm: str | None,
) -> None:  # fmt: skip
    own = SharedSecret(SECRET), IdentityConfig(secret=SECRET)
    token = unsigned(server.claims(), algorithm, rsa_one.kid)
    signed = rsa_one.sign(server.claims()).rpartition(".")[2]
    for signature in ("", part(b"x" * 32), signed):
        assert "algorithm" in await refusal(f"{token}.{signature}", config, keys)
        refused = await refusal(f"{token}.{signature}", own[1], own[0])
        assert "algorithm" in refused or (algorithm == "HS256" and "not signed" in refused)


async def test_a_shared_secret_signs_hs256_alone(rsa_one: SigningKey) -> None:
    keys, config = SharedSecret(SECRET), IdentityConfig(secret=SECRET)
    token = mint(SECRET, TENANT, UUID(int=8), [Role.VIEWER, Role.ANALYST], timedelta(minutes=1))
    believed = await verify(token, config, keys)
    assert (believed.tenant, believed.user) == (str(TENANT), str(UUID(int=8)))
    assert (believed.role, believed.operations) == (Role.ANALYST, None)

    claims = jwt.decode(token, options={"verify_signature": False})
    for algorithm in ("HS384", "HS512"):
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            other = jwt.encode(claims, SECRET, algorithm)
        assert "algorithm" in await refusal(other, config, keys)
    assert "algorithm" in await refusal(rsa_one.sign(claims), config, keys)
    assert "not signed" in await refusal(jwt.encode(claims, "x" * 32, "HS256"), config, keys)
    # Meant for somebody else, by who shares the secret.
    elsewhere = jwt.encode(claims | {"aud": "other"}, SECRET, "HS256")
    assert "audience" in await refusal(elsewhere, config, keys)


async def test_an_email_counts_if_it_is_verified(
    server: IssuerServer, keys: IssuerKeys, rsa_one: SigningKey
) -> None:
    names = ClaimNames(tenant="https://example.com/org", user="email")
    config = IdentityConfig(issuer=server.issuer(claims=names))
    said = {"https://example.com/org": "acme", "email": "ann@example.com", "tenant": None}
    believed = await verify(rsa_one.sign(server.claims(**said, email_verified=True)), config, keys)
    assert (believed.tenant, believed.user) == ("acme", "ann@example.com")
    for verified in (None, False, "true", 1):
        token = rsa_one.sign(server.claims(**said, email_verified=verified))
        assert "not verified" in await refusal(token, config, keys)


@pytest.mark.parametrize("listed", [["me", "properties"], "me properties", " properties  me "])
async def test_a_service_names_its_operations(
    server: IssuerServer, keys: IssuerKeys, config: IdentityConfig, rsa_one: SigningKey, listed: Any
) -> None:  # fmt: skip
    token = rsa_one.sign(server.claims(operations=listed))
    assert (await verify(token, config, keys)).operations == frozenset({"me", "properties"})


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "Send a token"),
        ("", "Send a token"),
        ("Basic abc", "must read: Bearer"),
        ("Bearer " + "x" * (MAX_TOKEN + 1), "at most 8192"),
        ("Bearer ünsigned", "ASCII"),
        ("Bearer \ud800", "ASCII"),
    ],
)
def test_headers_without_a_token(header: str | None, says: str) -> None:
    with pytest.raises(DomainError, match=says):
        bearer(header)
    assert bearer("bearer  x.y.z ") == "x.y.z"


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "s" * 31},
        {},
        {"secret": SECRET, "issuer": Issuer("https://a.example", "b")},
    ],
)
def test_exactly_one_kind_of_token_is_trusted(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"secret"):
        IdentityConfig(**changes)
    assert SECRET not in repr(IdentityConfig(secret=SECRET))


@pytest.mark.parametrize("algorithms", [(), ("HS256",), ("RS256", "none")])
def test_an_issuer_signs_with_public_keys_alone(algorithms: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="RS256"):
        Issuer("https://a.example", "b", algorithms=algorithms)


@given(data=st.data())
async def test_no_altered_token_is_believed(
    server: IssuerServer, keys: IssuerKeys, config: IdentityConfig, rsa_one: SigningKey,
    data: st.DataObject,
) -> None:  # fmt: skip
    shared = data.draw(st.booleans())
    if shared:
        token = mint(SECRET, TENANT, UUID(int=8), [Role.ADMIN], timedelta(minutes=5))
        config, trusted = IdentityConfig(secret=SECRET), SharedSecret(SECRET)
    else:
        token, trusted = rsa_one.sign(server.claims()), keys  # type: ignore[assignment]
    pieces = [base64.urlsafe_b64decode(piece + "==") for piece in token.split(".")]
    place = data.draw(st.integers(0, 2))
    alter = data.draw(st.sampled_from(["flip", "cut", "insert", "claim", "header", "empty"]))
    whole = bytearray(pieces[place])
    at = data.draw(st.integers(0, len(whole) - 1))
    if alter == "flip":
        whole[at] ^= data.draw(st.integers(1, 255))
    elif alter == "cut":
        del whole[at:]
    elif alter == "insert":
        whole[at:at] = data.draw(st.binary(min_size=1, max_size=20))
    elif alter == "empty":
        whole.clear()
    else:
        place = 1 if alter == "claim" else 0
        values = json.loads(pieces[place])
        name = data.draw(st.sampled_from([*sorted(values), "jku", "jwk", "x5u", "crit", "b64"]))
        other = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
        fresh = data.draw(other.filter(lambda value: value != values.get(name)))
        whole = bytearray(json.dumps(values | {name: fresh}).encode())
    pieces[place] = bytes(whole)
    with pytest.raises(DomainError):
        await verify(".".join(map(part, pieces)), config, trusted)


def from_now(changes: dict[str, Any]) -> dict[str, Any]:
    """Times that are given as distances, as times."""
    now = datetime.now(UTC)
    return {
        name: now + value if isinstance(value, timedelta) else value
        for name, value in changes.items()
    }


def part(piece: bytes) -> str:
    return base64.urlsafe_b64encode(piece).decode().rstrip("=")


def unsigned(claims: dict[str, Any], algorithm: str | None, kid: str) -> str:
    header = {"typ": "JWT", "kid": kid} | ({} if algorithm is None else {"alg": algorithm})
    said = {name: value.timestamp() if isinstance(value, datetime) else value
            for name, value in claims.items()}  # fmt: skip
    return f"{part(json.dumps(header).encode())}.{part(json.dumps(said).encode())}"
