"""HTTP requests as bytes, so that what no client would send can be sent."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import GraphQLSchema

PATH = "/graphql"
JSON = "application/json"

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class World:
    """What an attacker knows: the schema, ids and cursors that exist, and tokens.

    Attributes:
        schema: what is asked.
        tokens: valid ones, of all roles.
        ids: global ids of the attacked tenant, by the name of the type.
        foreign_ids: global ids of another tenant.
        cursors: of lists that the tokens' owners may go on with.
    """

    schema: GraphQLSchema
    tokens: tuple[str, ...]
    ids: dict[str, tuple[str, ...]]
    foreign_ids: tuple[str, ...]
    cursors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A request as it goes over the wire.

    Attributes:
        data: all bytes.
        refused: whether any answer with data would be wrong.
        statuses: the only right ones; empty if several are.
        whole: whether the server can tell where it ends; it may wait for more of one that is not.
        http: whether it is HTTP at all; one that is not may be refused by the HTTP parser.
        head: whether the answer has no body.
        upgrade: whether it asks for a WebSocket, which a library of its own may refuse.
    """

    data: bytes
    refused: bool = False
    statuses: frozenset[int] = field(default_factory=frozenset)
    whole: bool = True
    http: bool = True
    head: bool = False
    upgrade: bool = False


def message(
    body: bytes | None,
    headers: Headers,
    *,
    method: str = "POST",
    target: str = PATH,
    refused: bool = False,
    statuses: tuple[int, ...] = (),
) -> Message:
    """A request with a body of announced length, or without any."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
    return Message(head + (body or b""), refused, frozenset(statuses), head=method == "HEAD")


def signed(rng: Random, world: World) -> Headers:
    """The header of a valid token more often than not; else none, or what only looks like one."""
    token = rng.choice(world.tokens)
    chance = rng.random()
    if chance < 0.7:
        return [("Authorization", f"Bearer {token}")]
    if chance < 0.9:
        return []
    cut = rng.randrange(len(token))
    mangled = (
        f"Bearer {token[:cut]}{rng.choice('.A-é')}{token[cut + 1 :]}",
        f"Bearer {token} {token}",
        f"bearer  {token}",
        "Bearer",
        "Bearer ..",
        "Basic dXNlcjpwYXNz",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    )
    return [("Authorization", rng.choice(mangled))]


def asking(
    rng: Random,
    world: World,
    content: Any,
    *,
    refused: bool = False,
    statuses: tuple[int, ...] = (),
) -> Message:
    """A POST of JSON; strings may hold halves of surrogate pairs, and text goes as it is."""
    accept = rng.choice((JSON, "application/graphql-response+json", "*/*"))
    headers = [("Content-Type", JSON), ("Accept", accept), *signed(rng, world)]
    text = content if isinstance(content, str) else json.dumps(content)
    body = text.encode("utf-8", "surrogatepass")
    return message(body, headers, refused=refused, statuses=statuses)
