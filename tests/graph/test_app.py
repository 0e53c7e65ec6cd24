"""How the server is put together."""

import gc
from contextlib import nullcontext
from pathlib import Path

import pytest
from graphql import build_schema

from graph import app as module
from graph.app import build
from runtime import Runtime
from settings import Settings, SettingsError


async def test_what_start_up_made_is_out_of_the_collectors_rounds(
    rt: Runtime, settings: Settings
) -> None:
    gc.unfreeze()
    server = build(lambda: nullcontext(rt), settings)
    async with server.router.lifespan_context(server):
        assert gc.get_freeze_count() > 10_000


def test_a_fault_of_the_schema_is_not_blamed_on_a_setting(
    rt: Runtime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unsized:
        _schema = build_schema("type Query { all: [Thing!]! } type Thing { id: ID }")

    monkeypatch.setattr(module, "build_schema", Unsized)
    with pytest.raises(ValueError, match=r"Query\.all") as raised:
        build(lambda: nullcontext(rt), settings)
    assert not isinstance(raised.value, SettingsError)


@pytest.mark.parametrize("content", ["[]", '{"wrong": "{ nothing }"}'])
def test_a_manifest_that_cannot_be_used_is(
    rt: Runtime, settings: Settings, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="TRUSTED_DOCUMENTS"):
        build(lambda: nullcontext(rt), settings.model_copy(update={"trusted_documents": path}))
