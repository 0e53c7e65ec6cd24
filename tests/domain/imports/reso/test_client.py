"""One page at a time: credentials, what is tried again, and answers that cannot be used."""

import asyncio
import gzip
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from domain.imports.reso.errors import ResoError
from domain.imports.reso.transport import ANSWER_LIMIT, TRIES
from tests.domain.imports.reso.conftest import Connect
from tests.reso_server import CLIENT_SECRET, Fault, ResoServer, answer, cut, endless, record

BUSY = answer({}, 503)


async def fetch(connect: Connect, server: ResoServer, **options: Any) -> list[str]:
    """The keys of the first page."""
    async with connect(**options) as client:
        page = await client.page(server.url + "?$top=2")
    return [one["ListingKey"] for one in page.records]


@pytest.fixture(autouse=True)
def some_records(server: ResoServer) -> None:
    server.records = [record(1), record(2), record(3)]


async def test_pages_lead_to_the_next(server: ResoServer, connect: Connect) -> None:
    async with connect() as client:
        first = await client.page(server.url + "?$top=2")
        assert first.next_link is not None
        last = await client.page(first.next_link)
    assert [one["ListingKey"] for one in first.records + last.records] == [
        "L00001", "L00002", "L00003",
    ]  # fmt: skip
    assert last.next_link is None


async def test_an_expired_token_is_replaced(server: ResoServer, connect: Connect) -> None:
    server.uses = 2
    async with connect(grant=True) as client:
        for _ in range(5):
            await client.page(server.url)
    assert server.tokens == 3
    # Each expired token costs one request.
    assert len(server.asked) == 5 + 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (BUSY, "status 503"),
        (answer({}, 429), "status 429"),
        (cut, "a broken connection"),
    ],
)
async def test_what_may_pass_is_tried_again(
    server: ResoServer, connect: Connect, slept: list[float], fault: Fault, reason: str
) -> None:
    server.faults = {1: fault, 2: fault}
    assert await fetch(connect, server) == ["L00001", "L00002"]
    assert slept == [1, 2]

    server.faults = dict.fromkeys(range(4, 99), fault)
    slept.clear()
    with pytest.raises(ResoError, match=f"failed {TRIES} times.*({reason})"):
        await fetch(connect, server)
    assert slept == [1, 2, 4, 8, 16, 32, 60]
    assert len(server.asked) == 3 + TRIES


async def test_pauses_are_drawn_at_random(
    server: ResoServer, connect: Connect, slept: list[float]
) -> None:
    server.faults = {1: BUSY, 2: BUSY}
    await fetch(connect, server, draw=lambda: 0.25)
    assert slept == [0.625, 1.25]


async def test_the_server_says_for_how_long_to_wait(
    server: ResoServer, connect: Connect, slept: list[float]
) -> None:
    server.faults = {1: answer({}, 429, Retry_After="30")}
    await fetch(connect, server)
    assert slept == [30]


async def test_the_server_says_until_when_to_wait(
    server: ResoServer, connect: Connect, slept: list[float]
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    server.faults = {1: answer({}, 429, Retry_After=later)}
    await fetch(connect, server)
    (wait,) = slept
    assert 290 < wait <= 301


@pytest.mark.parametrize(
    "said", ["soon", "-5", "Wed, 99 May", "0", "Thu, 01 Jan 1970 00:00:00 GMT"]
)
async def test_an_odd_time_to_try_again_is_ignored(
    server: ResoServer, connect: Connect, slept: list[float], said: str
) -> None:
    server.faults = {1: answer({}, 429, Retry_After=said)}
    await fetch(connect, server)
    assert slept == [1]


async def test_a_long_wait_is_left_to_the_user(
    server: ResoServer, connect: Connect, slept: list[float]
) -> None:
    server.faults = {1: answer({}, 429, Retry_After="7200")}
    with pytest.raises(ResoError, match="status 429; the server asks to wait 7,200 s"):
        await fetch(connect, server)
    assert slept == []


async def test_the_rate_is_kept(server: ResoServer, connect: Connect) -> None:
    now, waits = 50.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    async with connect(rate=2.0, sleep=sleep, clock=lambda: now) as client:
        await client.page(server.url)
        await client.page(server.url)
        now += 0.25
        await client.page(server.url)
        now += 9
        await client.page(server.url)
    assert waits == [0.5, 0.25]


@pytest.mark.parametrize(
    ("status", "content", "problem"),
    [
        (401, {}, "credentials are refused (status 401); check RESO_TOKEN"),
        (403, {}, "may not read this (status 403)"),
        (404, {}, "nothing here (status 404); check the URL"),
        (302, {}, "redirects (status 302)"),
        (400, {"error": {"message": "no\n such\tfield"}}, "refused (status 400): no such field"),
        (501, b"<html>", "refused (status 501)"),
        (200, b"<html>", "not JSON"),
        (200, b'{"value": [', "not JSON"),
        (200, b"[" * 200_000, "not JSON"),
        (200, [], "no list 'value'"),
        (200, {"values": []}, "no list 'value'"),
        (200, {"value": {"a": 1}}, "no list 'value'"),
        (200, {"error": {"message": "late"}}, "no list 'value': late"),
        (200, {"value": [{}, 7]}, "record 2 of a page is not a JSON object"),
        (200, {"value": [], "@odata.nextLink": 7}, "link to the next page is not text"),
        (200, {"value": [], "@odata.nextLink": "http://127.0.0.1:1/"}, "leads to http://127.0.0.1"),
        (200, {"value": [], "@odata.context": "https://x/$metadata"}, "such as /Property"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_explained(
    server: ResoServer,
    connect: Connect,
    slept: list[float],
    status: int,
    content: Any,
    problem: str,
) -> None:
    server.faults = {1: answer(content, status, Location="https://evil.example/")}
    with pytest.raises(ResoError) as refused:
        await fetch(connect, server)
    assert problem in str(refused.value)
    assert (slept, len(server.asked)) == ([], 1)


async def test_secrets_are_not_repeated(server: ResoServer, connect: Connect) -> None:
    with pytest.raises(ResoError, match=r"not authorized: Bearer \*\*\*") as refused:
        async with connect() as client:
            server.tokens = 5
            await client.page(server.url)
    assert "token-number" not in str(refused.value)


async def test_a_new_token_is_not_repeated_either(server: ResoServer, connect: Connect) -> None:
    server.uses = 0
    with pytest.raises(
        ResoError, match=r"401.*check RESO_CLIENT_ID .*not authorized: Bearer \*\*\*"
    ):
        await fetch(connect, server, grant=True)
    assert server.tokens == 2


async def test_a_token_that_cannot_be_sent_is_refused(server: ResoServer, connect: Connect) -> None:
    server.tokens = "é"  # type: ignore[assignment]
    with pytest.raises(ResoError, match="RESO_TOKEN holds characters that a token cannot have"):
        await fetch(connect, server)


async def test_unknown_clients_are_told_so(
    server: ResoServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.reso_server.CLIENT_ID", "another")
    with pytest.raises(ResoError, match=r"check RESO_CLIENT_ID.*unknown client") as refused:
        await fetch(connect, server, grant=True)
    assert CLIENT_SECRET not in str(refused.value)
    assert server.asked == []


async def test_an_answer_has_a_limit_of_size(server: ResoServer, connect: Connect) -> None:
    bomb = gzip.compress(b" " * (ANSWER_LIMIT + 1), 1)
    server.faults = {1: answer(bomb, Content_Encoding="gzip")}
    with pytest.raises(ResoError, match="larger than 64 MiB"):
        await fetch(connect, server)


async def test_an_answer_has_a_limit_of_time(server: ResoServer, connect: Connect) -> None:
    server.faults = {1: endless}
    assert await fetch(connect, server, within=0.05) == ["L00001", "L00002"]


async def test_a_server_that_is_not_there_is_named(connect: Connect, server: ResoServer) -> None:
    server.address = "127.0.0.1:1"
    with pytest.raises(
        ResoError, match=f"{server.url}: failed {TRIES} times, the last time with no connection"
    ):
        await fetch(connect, server)


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a server needs for a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, slept: list[float], connect: Connect
) -> None:
    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    secure = self_signed(tmp_path)
    async with await asyncio.start_server(handle, "localhost", 0, ssl=secure) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with connect() as client:
            with pytest.raises(ResoError, match="its certificate is not trusted"):
                await client.page(f"https://localhost:{port}/Property")
    assert slept == []


async def test_records_keep_odd_values(server: ResoServer, connect: Connect) -> None:
    body = b'{"value": [{"ListingKey": "a\\ud800", "ListPrice": NaN}]}'
    server.faults = {1: answer(body)}
    assert await fetch(connect, server) == ["a\ud800"]
