"""The document store: each query text is parsed and validated once, and found again by its hash.

The same store answers automatic persisted queries (a client sends the SHA-256 first and the text
only if the server does not know it) and trusted documents (texts that are known from the start;
where only they are trusted, nothing else is run).
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)

from graph.core.errors import RequestErrorCode, RequestRefused, TransportError, coded
from graph.core.metrics import operation_label
from graph.execution import Plan
from graph.identity import root_fields
from graph.limits.cost import Price
from graph.limits.pricing import Pricer
from graph.limits.shape import MAX_COMMENTS, MAX_SOURCE_LENGTH, MAX_TOKENS, too_large

MAX_DOCUMENTS = 2000
MAX_BYTES = 1024 * 1024
"""Of all texts together. Parsed, priced and compiled, a document takes up to 170 times its text."""
MAX_PASSING = 200
MAX_PASSING_BYTES = 128 * 1024
"""Of the documents that cannot be run, and of those that only strangers asked for."""

MAX_COUNTED_NAMES = 500
"""Names of trusted operations that are counted apart; each is a dozen series of a histogram."""


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a document.

    Attributes:
        definition: the operation, parsed.
        plan: how it is executed.
        price: what it may cost, given its variables.
        root_fields: what it calls, by the names of the schema.
        label: what it is counted as: its name in a trusted document, else by ``operation_label``.
    """

    definition: OperationDefinitionNode
    plan: Plan
    price: Price
    root_fields: tuple[str, ...]
    label: str

    @property
    def name(self) -> str | None:
        """Its name; None for an anonymous one."""
        return self.definition.name.value if self.definition.name else None

    @property
    def kind(self) -> OperationType:
        """Query, mutation or subscription."""
        return self.definition.operation


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A valid document, or what is wrong with it.

    Attributes:
        sha256: of the text, in hexadecimal.
        size: bytes of the text.
        operations: by name, in the document's order; empty if there are errors.
        errors: why it cannot be run; empty if it can.
    """

    sha256: str
    size: int
    operations: Mapping[str | None, Operation]
    errors: tuple[GraphQLError, ...]

    def operation(self, name: str | None) -> Operation:
        """The operation of that name, or the only one if no name is given.

        Raises:
            RequestRefused: the document is not valid, or has no such operation.
        """
        if self.errors:
            raise RequestRefused(self.errors)
        # An empty name is how some clients send none.
        if not name and len(self.operations) == 1:
            return next(iter(self.operations.values()))
        found = self.operations.get(name) if name else None
        if found is None:
            names = ", ".join(known for known in self.operations if known)
            said = f" {name[:60]!r}" if name else ""
            fix = f"name one of the document's operations: {names}"
            if not names:
                fix = "the document's only operation has no name; send none"
            message = f"operationName{said}: {fix}"
            raise RequestRefused([coded(message, RequestErrorCode.GRAPHQL_VALIDATION_FAILED)])
        return found


class _Recent:
    """So many documents, the least recently used of which go when there are too many."""

    def __init__(self, max_documents: int, max_bytes: int) -> None:
        self._max_documents = max_documents
        self._max_bytes = max_bytes
        self._bytes = 0
        self._documents: OrderedDict[str, Document] = OrderedDict()

    def __len__(self) -> int:
        return len(self._documents)

    def find(self, sha256: str) -> Document | None:
        if (document := self._documents.get(sha256)) is not None:
            self._documents.move_to_end(sha256)
        return document

    def keep(self, document: Document) -> None:
        self._documents[document.sha256] = document
        self._bytes += document.size
        while len(self._documents) > self._max_documents or self._bytes > self._max_bytes:
            _, oldest = self._documents.popitem(last=False)
            self._bytes -= oldest.size

    def drop(self, document: Document) -> None:
        del self._documents[document.sha256]
        self._bytes -= document.size


class DocumentStore:
    """The documents of a schema, the least recently used of which go when there are too many.

    Those that cannot be run and those of strangers have a small place of their own, so that nobody
    without a token can drive out what tenants use. A document leaves it when a tenant asks for it.

    Args:
        schema: what they are validated against.
        only_trusted: run no other than the trusted documents.
        introspection: let documents ask for the schema.
        suggestions: name what a misspelled name may have meant.
        max_documents: how many others of tenants are kept.
        max_bytes: of text these may take together.

    Raises:
        ValueError: a list of the schema has no size.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        only_trusted: bool = False,
        introspection: bool = True,
        suggestions: bool = True,
        max_documents: int = MAX_DOCUMENTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._schema = schema
        self._only_trusted = only_trusted
        self._introspection = introspection
        self._suggestions = suggestions
        self._pricer = Pricer(schema)
        self._recent = _Recent(max_documents, max_bytes)
        self._passing = _Recent(MAX_PASSING, MAX_PASSING_BYTES)
        self._trusted: dict[str, Document] = {}
        self._counted_names: set[str] = set()

    def __len__(self) -> int:
        return len(self._recent) + len(self._passing)

    def trust(self, texts: Mapping[str, str]) -> None:
        """Know documents from the start, by the id that clients name them by; they stay.

        Raises:
            ValueError: one is not valid.
        """
        for name, text in texts.items():
            document = self._read(_sha256(text), text, stays=True)
            if document.errors:
                raise ValueError(f"trusted document {name!r}: {document.errors[0].message}")
            # By its hash as well, so that clients may send the text.
            self._trusted |= {name: document, document.sha256: document}

    def by_text(self, text: str, sha256: str | None = None, *, stranger: bool = False) -> Document:
        """The document of a text.

        Args:
            text: GraphQL source.
            sha256: what the client says the text's hash is.
            stranger: whether nobody knows who asks.

        Raises:
            RequestRefused: the hash is another's, or the text is not trusted where it must be.
        """
        actual = _sha256(text)
        if sha256 is not None and sha256 != actual:
            raise TransportError(
                f"documentId or extensions.persistedQuery.sha256Hash {sha256[:64]!r}: the hash of "
                f"the query is {actual}; send that one, or the query alone"
            )
        if (document := self._find(actual, stranger)) is not None:
            return document
        if self._only_trusted:
            message = "query: this server runs trusted documents only; send a documentId"
            raise RequestRefused([coded(message, RequestErrorCode.DOCUMENT_NOT_TRUSTED)])
        document = self._read(actual, text)
        (self._passing if stranger or document.errors else self._recent).keep(document)
        return document

    def by_id(self, document_id: str, *, stranger: bool = False) -> Document:
        """The document of a SHA-256 or, for a trusted one, of its id in the manifest.

        Args:
            document_id: either.
            stranger: whether nobody knows who asks.

        Raises:
            RequestRefused: it is not known (any more); clients then send the text.
        """
        if (document := self._find(document_id, stranger)) is not None:
            return document
        # Clients of automatic persisted queries look for this very message.
        error = coded("PersistedQueryNotFound", RequestErrorCode.PERSISTED_QUERY_NOT_FOUND)
        raise RequestRefused([error], status=200)

    def _find(self, key: str, stranger: bool) -> Document | None:
        document = self._trusted.get(key) or self._recent.find(key)
        if document is not None:
            return document
        document = self._passing.find(key)
        if document is not None and not stranger and not document.errors:
            self._passing.drop(document)
            self._recent.keep(document)
        return document

    def _read(self, sha256: str, text: str, *, stays: bool = False) -> Document:
        size = len(text.encode())
        try:
            node = parse(
                text,
                max_source_length=MAX_SOURCE_LENGTH,
                max_lexical_tokens=MAX_TOKENS,
                max_comments=MAX_COMMENTS,
            )
        except GraphQLError as error:
            return Document(sha256, size, {}, (error,))
        # First, since some of the rules compare each field with each other.
        errors = too_large(node)
        if not errors and not self._introspection:
            errors = validate(self._schema, node, [NoSchemaIntrospectionCustomRule])
        if not errors:
            errors = validate(self._schema, node, hide_suggestions=not self._suggestions)
        if errors:
            return Document(sha256, size, {}, tuple(errors))
        definitions = [one for one in node.definitions if isinstance(one, OperationDefinitionNode)]
        operations = [
            Operation(
                one,
                Plan(
                    self._schema,
                    node,
                    one,
                    hide_suggestions=not self._suggestions,
                    at_once=stays,
                ),
                self._pricer.price(node, one),
                fields := root_fields(node, one),
                self._label(one, fields, trusted=stays),
            )
            for one in definitions
        ]
        return Document(sha256, size, {one.name: one for one in operations}, ())

    def _label(
        self, operation: OperationDefinitionNode, fields: tuple[str, ...], *, trusted: bool
    ) -> str:
        name = operation.name.value if operation.name and trusted else None
        if name and len(self._counted_names | {name}) <= MAX_COUNTED_NAMES:
            self._counted_names.add(name)
            return name
        return operation_label(fields)


def read_manifest(path: Path) -> dict[str, str]:
    """Trusted documents from a JSON file: texts by id.

    Either an object of texts by id (as Relay's compiler writes it) or Apollo's
    ``apollo-persisted-query-manifest``.

    Raises:
        ValueError: the file is no such manifest; the message says why.
        OSError: it cannot be read.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if isinstance(content, dict) and isinstance(content.get("operations"), list):
        try:
            content = {str(one["id"]): one["body"] for one in content["operations"]}
        except (KeyError, TypeError):
            raise ValueError(f"{path}: each of operations needs an id and a body") from None
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise ValueError(f"{path}: expected an object of query texts by id, or Apollo's manifest")
    return content


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
