"""The keys of an issuer: found, rotated, and kept through whatever the issuer does."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.core.errors import DomainError
from graph.identity import fetching
from graph.identity.keys import DISCOVERY, MAX_AGE, MIN_INTERVAL, IssuerKeys
from tests.graph.identity.conftest import (
    JWKS,
    Clock,
    IssuerServer,
    SigningKey,
    ec_key,
    rsa_key,
    until,
)


@pytest.fixture
async def keys(server: IssuerServer, clock: Clock) -> AsyncIterator[IssuerKeys]:
    found = IssuerKeys(server.issuer(), clock)
    yield found
    await found.close()


async def refusal(keys: IssuerKeys, kid: str | None) -> str:
    with pytest.raises(DomainError) as refused:
        await keys.find(kid)
    assert refused.value.code == "UNAUTHENTICATED"
    return refused.value.message


async def test_a_known_key_is_fetched_once(
    keys: IssuerKeys, server: IssuerServer, rsa_one: SigningKey
) -> None:
    for _ in range(3):
        assert (await keys.find(rsa_one.kid)).algorithm_name == "RS256"
    assert server.fetched == [DISCOVERY, JWKS]


async def test_a_place_of_keys_that_is_given_needs_no_discovery(
    server: IssuerServer, rsa_one: SigningKey
) -> None:
    keys = IssuerKeys(server.issuer(jwks_url=server.url + JWKS))
    await keys.find(rsa_one.kid)
    assert server.fetched == [JWKS]


async def test_many_at_once_wait_for_one_fetch(
    keys: IssuerKeys, server: IssuerServer, rsa_one: SigningKey
) -> None:
    server.gate.clear()
    asking = [asyncio.create_task(keys.find(rsa_one.kid)) for _ in range(50)]
    await until(lambda: bool(server.fetched))
    # One who goes away does not take the fetch along.
    asking.pop().cancel()
    server.gate.set()
    await asyncio.gather(*asking)
    assert server.fetched == [DISCOVERY, JWKS]


async def test_a_new_key_is_found_and_an_old_one_forgotten(
    keys: IssuerKeys, server: IssuerServer, clock: Clock, rsa_one: SigningKey
) -> None:
    await keys.find(rsa_one.kid)
    before, new = keys.generation, ec_key("ec-2")
    server.publish(new)
    clock.now += MIN_INTERVAL
    assert (await keys.find(new.kid)).algorithm_name == "ES256"
    assert keys.generation > before
    assert "does not publish" in await refusal(keys, rsa_one.kid)


async def test_unknown_keys_are_asked_for_once_in_a_while(
    keys: IssuerKeys, server: IssuerServer, clock: Clock, rsa_one: SigningKey
) -> None:
    for turn in range(1, 4):
        for kid in ("x", "y", "z"):
            assert "does not publish" in await refusal(keys, kid)
        assert server.fetched.count(JWKS) == turn
        clock.now += MIN_INTERVAL
    generation = keys.generation
    await keys.find(rsa_one.kid)
    assert keys.generation == generation == 1


async def test_old_keys_are_replaced_behind_the_requests_backs(
    keys: IssuerKeys, server: IssuerServer, clock: Clock, rsa_one: SigningKey
) -> None:
    await keys.find(rsa_one.kid)
    server.publish(ec_key("ec-2"))
    server.gate.clear()
    clock.now += MAX_AGE + 1
    # The issuer does not answer yet, and nobody waits for it.
    async with asyncio.timeout(60):
        await keys.find(rsa_one.kid)
    server.gate.set()
    await until(lambda: keys.generation == 2)
    assert "does not publish" in await refusal(keys, rsa_one.kid)


BROKEN: dict[str, tuple[Any, int, str]] = {
    "down": (b"", 503, ""),
    "gone": ({}, 404, ""),
    "moved": ({}, 302, "Location: /elsewhere\r\n"),
    "HTML": (b"<html>", 200, "Content-Type: text/html\r\n"),
    "no JSON": (b"\xff\xfe", 200, ""),
    "compressed": (b"\x1f\x8b\x08\x00", 200, "Content-Encoding: gzip\r\n"),
    "deep": (b"[" * 100_000, 200, ""),
    "list": ([], 200, ""),
    "no keys": ({"keys": []}, 200, ""),
    "keys of a wrong kind": ({"keys": {"a": 1}}, 200, ""),
    "keys that are none": ({"keys": [1, None, {}, {"kty": "RSA"}, {"kty": []}]}, 200, ""),
    "keys of odd parts": (
        {"keys": [{"kty": "RSA", "alg": []}, {"kty": "EC", "crv": "P-256", "x": 7, "y": {}}]},
        200,
        "",
    ),
    "huge": (b" " * (fetching.MAX_BYTES + 1), 200, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("path", [JWKS, DISCOVERY])
async def test_the_last_good_keys_outlive_a_broken_issuer(
    keys: IssuerKeys, server: IssuerServer, clock: Clock, rsa_one: SigningKey, name: str, path: str
) -> None:
    await keys.find(rsa_one.kid)
    server.serve("/elsewhere", {"keys": [ec_key("stray").published]})
    document, status, headers = BROKEN[name]
    server.serve(path, document, status, headers)
    clock.now += MAX_AGE + 1
    assert "does not publish" in await refusal(keys, "stray")
    assert (await keys.find(rsa_one.kid)).key_id == rsa_one.kid
    assert "/elsewhere" not in server.fetched

    server.publish(rsa_one)
    before, clock.now = len(server.fetched), clock.now + MIN_INTERVAL
    await keys.find(rsa_one.kid)
    await until(lambda: len(server.fetched) == before + 2)


async def test_a_slow_issuer_is_given_up(
    server: IssuerServer, rsa_one: SigningKey, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", 0.5)
    server.gate.clear()
    keys = IssuerKeys(server.issuer(), clock)
    assert "cannot be fetched" in await refusal(keys, rsa_one.kid)
    # Nor is it asked again at once. A busy machine may not have come to ask it in that time.
    assert "cannot be fetched" in await refusal(keys, rsa_one.kid)
    assert server.fetched in ([DISCOVERY], [])


async def test_an_issuer_that_nobody_answers_for(server: IssuerServer, clock: Clock) -> None:
    keys = IssuerKeys(server.issuer(url="http://127.0.0.1:1"), clock)
    assert "cannot be fetched" in await refusal(keys, "x")


async def test_a_document_of_another_issuer_is_not_followed(
    keys: IssuerKeys, server: IssuerServer, rsa_one: SigningKey
) -> None:
    other = {"issuer": "https://evil.example", "jwks_uri": server.url + JWKS}
    server.serve(DISCOVERY, other)
    assert "cannot be fetched" in await refusal(keys, rsa_one.kid)
    assert server.fetched == [DISCOVERY]


@pytest.mark.parametrize(
    "place", ["ftp://x/keys", "file:///etc/passwd", "", "//x", "http://[", 7, None, ["x"]]
)
async def test_keys_come_over_http_alone(
    keys: IssuerKeys, server: IssuerServer, rsa_one: SigningKey, place: Any
) -> None:
    server.serve(DISCOVERY, {"issuer": server.url, "jwks_uri": place})
    assert "cannot be fetched" in await refusal(keys, rsa_one.kid)


async def test_plain_http_is_for_development(server: IssuerServer, rsa_one: SigningKey) -> None:
    for changes in ({}, {"jwks_url": server.url + JWKS}):
        keys = IssuerKeys(server.issuer(https_only=True, **changes))
        assert "cannot be fetched" in await refusal(keys, rsa_one.kid)
    assert server.fetched == []


async def test_only_keys_for_signing_by_an_accepted_algorithm_count(
    server: IssuerServer, rsa_one: SigningKey
) -> None:
    encrypting = rsa_one.published | {"kid": "enc", "use": "enc"}
    psychic = rsa_one.published | {"kid": "ps", "alg": "PS256"}
    short = rsa_key("short", 1024).published
    symmetric = {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "oct", "alg": "HS256"}
    unnamed = {name: value for name, value in rsa_one.published.items() if name != "alg"}
    odd = rsa_one.published | {"kid": {"a": 1}}
    published = [encrypting, psychic, short, symmetric, odd, unnamed, ec_key("ec").published]
    server.serve(JWKS, {"keys": published})
    keys = IssuerKeys(server.issuer(algorithms=("RS256",)))
    assert (await keys.find(rsa_one.kid)).algorithm_name == "RS256"
    for kid in ("enc", "ps", "short", "oct", "ec"):
        assert "does not publish" in await refusal(keys, kid)


async def test_a_token_need_not_name_the_only_key(
    keys: IssuerKeys, server: IssuerServer, clock: Clock, rsa_one: SigningKey
) -> None:
    assert (await keys.find(None)).key_id == rsa_one.kid
    server.publish(rsa_one, ec_key("ec-2"))
    clock.now += MIN_INTERVAL
    await keys.find("ec-2")
    assert "does not name its key" in await refusal(keys, None)


async def test_closing_gives_up_a_fetch(server: IssuerServer, rsa_one: SigningKey) -> None:
    server.gate.clear()
    keys = IssuerKeys(server.issuer())
    asking = asyncio.create_task(keys.find(rsa_one.kid))
    await until(lambda: bool(server.fetched))
    await keys.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
