"""The document store: what it keeps, what it trusts, and how it refuses."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from graphql import OperationType, build_schema

from graph.core.errors import RequestRefused
from graph.server.documents import MAX_PASSING, DocumentStore, read_manifest

SCHEMA = build_schema("type Query { a: Int b: Int } type Mutation { c: Int }")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def store(trusted: dict[str, str] | None = None, **options: Any) -> DocumentStore:
    found = DocumentStore(SCHEMA, **options)
    found.trust(trusted or {})
    return found


def code(refusal: pytest.ExceptionInfo[RequestRefused]) -> str:
    extensions = refusal.value.errors[0].extensions
    assert extensions
    return str(extensions["code"])


def test_a_text_is_read_once_and_found_by_its_hash() -> None:
    documents = store()
    document = documents.by_text("{ a }")
    assert documents.by_text("{ a }") is document
    assert documents.by_id(sha256("{ a }")) is document
    assert documents.by_text("{ b }") is not document


def test_an_invalid_text_is_remembered_with_its_errors() -> None:
    documents = store()
    for text in ("{ a", "{ nothing }"):
        document = documents.by_text(text)
        assert documents.by_text(text) is document
        with pytest.raises(RequestRefused) as refusal:
            document.operation(None)
        assert refusal.value.errors == document.errors != ()


def test_the_least_recently_used_documents_go() -> None:
    documents = store(max_documents=2)
    first, second = documents.by_text("{ a }"), documents.by_text("{ b }")
    assert documents.by_text("{ a }") is first
    documents.by_text("{ a b }")
    assert len(documents) == 2
    assert documents.by_id(first.sha256) is first
    with pytest.raises(RequestRefused) as refusal:
        documents.by_id(second.sha256)
    assert code(refusal) == "PERSISTED_QUERY_NOT_FOUND"
    assert str(refusal.value) == "PersistedQueryNotFound"


def test_the_texts_together_are_bounded() -> None:
    documents = store(max_bytes=100)
    for number in range(20):
        documents.by_text(f"{{ a{number}: a }} # {'x' * 20}")
    assert len(documents) == 3


def test_strangers_and_errors_drive_out_no_document_of_a_tenant() -> None:
    documents = store(max_documents=3)
    used = documents.by_text("{ a }")
    for number in range(MAX_PASSING + 5):
        documents.by_text(f"{{ a{number}: a }}", stranger=True)
        documents.by_text(f"{{ nothing{number} }}")
    assert documents.by_id(used.sha256) is used
    assert len(documents) == 1 + MAX_PASSING


def test_a_document_of_strangers_is_kept_once_a_tenant_asks_for_it() -> None:
    documents = store(max_documents=1)
    asked = [documents.by_text(text, stranger=True) for text in ("{ a }", "{ b }")]
    assert documents.by_id(asked[0].sha256, stranger=True) is asked[0]
    for one in asked:
        assert documents.by_id(one.sha256) is one
    # Of a tenant, there is place for one.
    assert len(documents) == 1


def test_a_text_above_all_bounds_is_answered_and_not_kept() -> None:
    documents = store(max_bytes=10)
    assert documents.by_text("{ a b a b a b }").operation(None).kind is OperationType.QUERY
    assert len(documents) == 0


def test_a_wrong_hash_is_refused_and_nothing_kept() -> None:
    documents = store()
    with pytest.raises(RequestRefused, match=r"^documentId or ") as refusal:
        documents.by_text("{ a }", sha256("{ b }"))
    assert code(refusal) == "BAD_REQUEST"
    assert sha256("{ a }") in str(refusal.value)
    assert len(documents) == 0


def test_operations_are_chosen_by_name() -> None:
    document = store().by_text("query One { a } mutation Two { c }")
    assert document.operation("One").kind is OperationType.QUERY
    assert document.operation("Two").kind is OperationType.MUTATION
    for wrong in (None, "", "Three"):
        with pytest.raises(RequestRefused, match="One, Two"):
            document.operation(wrong)
    assert store().by_text("query One { a }").operation("").name == "One"
    with pytest.raises(RequestRefused, match="'One': the document's only operation has no name"):
        store().by_text("{ a }").operation("One")


def test_trusted_documents_stay_and_go_by_their_id_too() -> None:
    documents = store(trusted={"list": "{ a }"}, max_documents=1)
    for number in range(5):
        documents.by_text(f"{{ a{number}: a }}")
    assert documents.by_id("list") is documents.by_id(sha256("{ a }"))
    assert documents.by_text("{ a }") is documents.by_id("list")


def test_where_only_trusted_documents_run_others_do_not() -> None:
    documents = store(trusted={"list": "{ a }"}, only_trusted=True)
    assert documents.by_text("{ a }") is documents.by_id("list")
    for text in ("{ b }", "{ a } ", "not GraphQL"):
        with pytest.raises(RequestRefused) as refusal:
            documents.by_text(text, sha256(text))
        assert code(refusal) == "DOCUMENT_NOT_TRUSTED"
        with pytest.raises(RequestRefused) as refusal:
            documents.by_id(sha256(text))
        assert code(refusal) == "PERSISTED_QUERY_NOT_FOUND"
    assert len(documents) == 0


def test_a_trusted_document_must_be_valid() -> None:
    with pytest.raises(ValueError, match="'list': Cannot query field 'd'"):
        store(trusted={"list": "{ d }"})


@pytest.mark.parametrize(
    "content",
    [
        {"x": "{ a }"},
        {
            "format": "apollo-persisted-query-manifest",
            "version": 1,
            "operations": [{"id": "x", "name": "A", "type": "query", "body": "{ a }"}],
        },
    ],
)
def test_manifests_of_relay_and_apollo_are_read(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    assert read_manifest(path) == {"x": "{ a }"}


@pytest.mark.parametrize("content", ["{", "[]", '{"x": 1}', '{"operations": [{"id": 1}]}', "7"])
def test_other_files_are_no_manifest(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json"):
        read_manifest(path)
