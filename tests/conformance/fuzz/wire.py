"""Requests that are wrong below GraphQL: bytes, headers, methods, paths and forged ones."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from urllib.parse import quote, urlencode

from tests.conformance.fuzz.documents import Documents
from tests.conformance.fuzz.messages import JSON, PATH, Message, World, message, signed
from tests.conformance.fuzz.values import STRINGS, wrong

MAX_BODY = 1024 * 1024
"""What the server is known to read at most."""

TYPENAME = b'{"query": "{ __typename }"}'


def _request(rng: Random, world: World) -> Message:
    documents = Documents(rng, world)
    query = documents.operation()
    body = json.dumps({"query": query, "variables": documents.variables}).encode()
    return message(body, [("Content-Type", JSON), *signed(rng, world)])


def _body_at(data: bytes | bytearray) -> int:
    return data.index(b"\r\n\r\n") + 4


def flipped_body(rng: Random, world: World) -> Message:
    """Some bytes of the body are others."""
    data = bytearray(_request(rng, world).data)
    body = _body_at(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(body, len(data))] ^= 1 << rng.randrange(8)
    return Message(bytes(data))


def flipped_head(rng: Random, world: World) -> Message:
    """Some bytes of the head are others, so that it may have no end, or no meaning."""
    data = bytearray(_request(rng, world).data)
    body = _body_at(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        data[rng.randrange(body)] ^= 1 << rng.randrange(8)
    return Message(bytes(data), whole=False, http=False)


def truncated(rng: Random, world: World) -> Message:
    """The request ends before its end."""
    data = _request(rng, world).data
    return Message(data[: rng.randrange(1, len(data))], whole=False, http=False)


def noise(rng: Random, world: World) -> Message:
    """No HTTP at all."""
    data = rng.choice(
        (rng.randbytes(rng.randint(1, 4000)), b"\x16\x03\x01\x02\x00\x01" + rng.randbytes(200),
         b"GET\r\n\r\n", b"\r\n" * 50, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
         b"GET / HTTP/9.9\r\n\r\n", b"A" * 70_000, b"GET " + b"/" * 70_000)
    )  # fmt: skip
    return Message(data, whole=False, http=False)


def encodings(rng: Random, world: World) -> Message:
    """JSON in other encodings than UTF-8, or said to be; or compressed."""
    text = TYPENAME.decode()
    headers = signed(rng, world)
    choices: list[tuple[bytes, str, str | None]] = [
        (text.encode(name), f"{JSON}; charset={said}", None)
        for name in ("utf-8", "utf-16", "utf-32", "utf-7", "latin-1", "utf-8-sig", "cp037")
        for said in ("utf-8", name, "x-unknown", "")
    ]
    choices += [
        (gzip.compress(TYPENAME), JSON, one) for one in ("gzip", "br", "deflate", "x" * 999)
    ]
    choices += [(gzip.compress(b"[" * 10**6), JSON, "gzip"), (gzip.compress(TYPENAME), JSON, None)]
    choices += [(b"\xff\xfe" + TYPENAME, JSON, None), (b'{"query": "\xed\xa0\x80"}', JSON, None)]
    body, kind, encoding = rng.choice(choices)
    if encoding:
        headers.append(("Content-Encoding", encoding))
    return message(body, [("Content-Type", kind), *headers], refused=encoding is not None)


def headers(rng: Random, world: World) -> Message:
    """Headers that are odd, many, long, doubled or contradict one another."""
    said = rng.choice(STRINGS).replace("\r", "").replace("\n", "").replace("\ud800", "")
    said = said.replace("\x00", "").replace("\udfff", "")
    odd = rng.choice(
        (
            [("Accept", said)],
            [("Accept", ", ".join([f"{JSON};q=0.{n}" for n in range(2000)]))],
            [("Accept", rng.choice((
                "text/html", "image/*", f"{JSON};q=0", f"{JSON};q=x", f"{JSON};q=nan", ";;,,",
                f"{JSON}; charset=latin-1", "application/*;q=0.1, */*;q=0", "*/*;q=-1",
            )))],
            [("X-Request-ID", said)],
            [("Authorization", said)],
            [("Authorization", "Bearer " + "x" * 8000)],
            [("Host", said)],
            [("X" * 3000, "x")],
            [(f"X-{n}", "x") for n in range(90)],
            [("Content-Length", "0")],
            [("Transfer-Encoding", rng.choice(("chunked", "gzip", "identity", "chunked, x")))],
            [("Expect", "100-continue")],
            [("Connection", "close"), ("Keep-Alive", "x")],
            [("Upgrade", rng.choice(("websocket", "h2c"))), ("Connection", "Upgrade")],
            [("Content-Type", "text/plain"), ("Content-Type", JSON)],
            [("Origin", said)],
        )
    )  # fmt: skip
    made = message(TYPENAME, [("Content-Type", JSON), *odd])
    return replace(made, whole=False, http=False)


def content_types(rng: Random, world: World) -> Message:
    """Bodies of other types than JSON: what a form or a simple request of a browser could send."""
    kind = rng.choice(
        ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "",
         "application/graphql", "text/plain; application/json", "application/jsonx", "x" * 3000,
         "application/json, text/plain", "application/xml", "application/x-ndjson")
    )  # fmt: skip
    body = rng.choice(
        (TYPENAME, b"query=%7B__typename%7D", b"{ __typename }",
         b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n{ __typename }\r\n--x--\r\n')
    )  # fmt: skip
    return message(
        body, [("Content-Type", kind), *signed(rng, world)], refused=True, statuses=(415,)
    )


def forged(rng: Random, world: World) -> Message:
    """What another site's page could have a browser send without a preflight."""
    sign = rng.choice(
        (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site"), ("Cookie", "a=b"),
         ("Origin", "https://evil.example"), ("Referer", "https://evil.example/"),
         ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"), ("Origin", "null"))
    )  # fmt: skip
    target = f"{PATH}?{urlencode({'query': '{ __typename }'})}"
    method = rng.choice(("GET", "GET", "HEAD"))
    basic = [("Authorization", "Basic dTpw")] if rng.random() < 0.2 else []
    return message(
        None, [sign, *basic], method=method, target=target, refused=True, statuses=(403,)
    )


def urls(rng: Random, world: World) -> Message:
    """GET with odd parameters."""
    documents = Documents(rng, world)
    query = documents.operation(rng.choice(("query", "query", "mutation")))
    parameters = {
        "query": rng.choice((query, "{ __typename }", rng.choice(STRINGS))),
        "variables": rng.choice((json.dumps(documents.variables), json.dumps(wrong(rng)), "{", "")),
        "operationName": rng.choice(("Fuzz", "", rng.choice(STRINGS))),
        "extensions": rng.choice(("{}", "[]", "null", rng.choice(STRINGS))),
    }
    kept = {name: parameters[name] for name in parameters if rng.random() < 0.7}
    text = urlencode(kept, errors="surrogatepass")
    text = rng.choice(
        (text, text, text + "&query=", text * 9, "%", "%zz=%ff", "?" * 99, "a=b&" * 50)
    )
    made = message(None, signed(rng, world), method="GET", target=f"{PATH}?{text}")
    # The HTTP parser refuses longer ones.
    return replace(made, http=len(text) < 65_000)


def methods(rng: Random, world: World) -> Message:
    """Other methods than POST and GET."""
    method = rng.choice(("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "QUERY"))
    statuses = (204,) if method == "OPTIONS" else (405,)
    head = [("Content-Type", JSON), *signed(rng, world)]
    made = message(TYPENAME, head, method=method, refused=True, statuses=statuses)
    # The parser of HTTP may not know it.
    return replace(made, http=method not in ("QUERY", "PROPFIND"))


def paths(rng: Random, world: World) -> Message:
    """Paths that are not served, or by way of others."""
    path = rng.choice(
        ("/", "/graphql/", "//graphql", "/graphql/../healthz", "/GRAPHQL", "/graphql%00",
         "/graphql/assets/", "/graphql/assets/..%2f..%2fsettings.py", "/graphql/assets/%00",
         "/graphql/assets/../../app.py", "/.env", "/metrics/../x", "/" + "a" * 3000, "/%ff%fe",
         "/graphql/assets/" + quote(rng.choice(STRINGS), errors="surrogatepass"), "/docs")
    )  # fmt: skip
    made = message(None, signed(rng, world), method="GET", target=path, refused=True)
    return replace(made, statuses=frozenset({404}))


def oversized(rng: Random, world: World) -> Message:
    """A body over the limit: announced, or in chunks that add up to it."""
    head = [("Content-Type", JSON)]
    size = MAX_BODY + rng.choice((1, 1000, MAX_BODY))
    body = b'{"query": "{ __typename }", "variables": {"x": "' + b"x" * size + b'"}}'
    if rng.random() < 0.5:
        return message(body, head, refused=True, statuses=(413,))
    made = message(None, [*head, ("Transfer-Encoding", "chunked")])
    return Message(made.data + _chunked(body, 64 * 1024), True, frozenset({413}))


def chunks(rng: Random, world: World) -> Message:
    """Chunked bodies, proper ones and broken ones."""
    made = message(None, [("Content-Type", JSON), ("Transfer-Encoding", "chunked")])
    if rng.random() < 0.4:
        return Message(made.data + _chunked(TYPENAME, rng.randint(1, 30)))
    broken = rng.choice(
        (b"zz\r\n", b"-1\r\n\r\n", b"f" * 18 + b"\r\nx", b"5;x=" + b"x" * 99 + b"\r\nhello\r\n",
         b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"5\nhello\n0\n\n",
         b"5\r\nhelloXX0\r\n\r\n", b"0\r\n")
    )  # fmt: skip
    return Message(made.data + broken, whole=False, http=False)


def pipelined(rng: Random, world: World) -> Message:
    """Two requests at once, or one within another's body; only the first answer is read."""
    first, second = _request(rng, world), _request(rng, world)
    if rng.random() < 0.5:
        return Message(first.data + second.data)
    both = [("Content-Type", JSON), ("Transfer-Encoding", "chunked")]
    made = message(b"0\r\n\r\n" + second.data, both)
    return replace(made, whole=False, http=False)


def websockets(rng: Random, world: World) -> Message:
    """A WebSocket's handshake, proper or not, and frames with what is no message there."""
    head = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", rng.choice(("dGhlIHNhbXBsZSBub25jZQ==", "x"))),
        ("Sec-WebSocket-Version", rng.choice(("13", "13", "13", "8"))),
        ("Sec-WebSocket-Protocol", rng.choice(("graphql-transport-ws", "graphql-ws", "x"))),
    ]
    token = {"authorization": f"Bearer {rng.choice(world.tokens)}"}
    query = {"query": rng.choice(("{ me { id } }", "{", Documents(rng, world).operation()))}
    said = [
        json.dumps({"type": kind, "id": rng.choice(("1", "1", 1, None)), "payload": payload})
        for kind in rng.sample(("connection_init", "subscribe", "complete", "ping", "x"), 3)
        for payload in (token, query, wrong(rng))[: rng.randrange(1, 4)]
    ]
    said += rng.sample(("{", "[]", "null", "x" * 70_000, "\x00", '{"type": 7}'), 2)
    made = message(None, head, method="GET")
    frames = b"".join(_frame(text.encode(errors="surrogatepass"), rng) for text in said)
    return replace(made, data=made.data + frames, whole=False, http=False, upgrade=True)


def _frame(data: bytes, rng: Random) -> bytes:
    """A frame of text or bytes, masked with zeros as a client's must be masked with something."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 2**16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([rng.choice((0x81, 0x81, 0x81, 0x82))]) + length + bytes(4) + data


def _chunked(body: bytes, size: int) -> bytes:
    parts = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


WIRE: dict[Callable[[Random, World], Message], int] = {
    flipped_body: 14, flipped_head: 5, truncated: 3, noise: 2, encodings: 6, headers: 8,
    content_types: 4, forged: 4, urls: 8, methods: 3, paths: 3, oversized: 1, chunks: 4,
    pipelined: 2, websockets: 3,
}  # fmt: skip
"""Each kind, and how often it is sent beside the others."""
