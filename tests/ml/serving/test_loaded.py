"""Which versions are in memory: loaded ahead when they become active, and let go in the end."""

import logging
from uuid import UUID, uuid4

import pytest
import torch

from domain.contract.snapshots import ModelKey, StoredModel
from ml.serving import loaded
from ml.serving.loaded import LoadedTwins
from ml.twin.artifacts import Artifact, pack

TENANT, OTHER = uuid4(), uuid4()
OLD, NEW = uuid4(), uuid4()


class Loader:
    def __init__(self, stored: StoredModel) -> None:
        self.stored = stored
        self.broken: set[UUID] = set()
        self.loads: list[ModelKey] = []

    async def __call__(self, key: ModelKey) -> StoredModel:
        self.loads.append(key)
        if key.version_id in self.broken:
            raise OSError("no database")
        return self.stored


@pytest.fixture
def loader(artifact: Artifact) -> Loader:
    return Loader(pack(artifact, {}))


@pytest.fixture
def twins(loader: Loader) -> LoadedTwins:
    return LoadedTwins(loader, torch.device("cpu"), capacity=2)


async def test_what_became_active_is_loaded_before_it_is_asked_for(
    twins: LoadedTwins, loader: Loader
) -> None:
    before = await twins.get(ModelKey(TENANT, OLD))
    await twins.follow({TENANT: NEW, OTHER: uuid4()})

    assert loader.loads == [ModelKey(TENANT, OLD), ModelKey(TENANT, NEW)]
    await twins.get(ModelKey(TENANT, NEW))
    # Who began with the version of before finishes on it.
    assert await twins.get(ModelKey(TENANT, OLD)) is before
    assert len(loader.loads) == 2


async def test_a_superseded_version_goes_some_time_after_its_last_use(
    twins: LoadedTwins, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("ml.serving.loaded.time.monotonic", lambda: now)
    await twins.get(ModelKey(TENANT, OLD))
    now += loaded.SUPERSEDED_FOR - 1
    await twins.follow({TENANT: NEW})
    await twins.get(ModelKey(TENANT, OLD))
    now += loaded.SUPERSEDED_FOR - 1
    await twins.follow({TENANT: NEW})
    assert set(twins.models()) == {ModelKey(TENANT, OLD), ModelKey(TENANT, NEW)}

    now += 2
    await twins.follow({OTHER: uuid4()})
    assert ModelKey(TENANT, OLD) in twins.models()
    await twins.follow({TENANT: NEW})
    # The active one stays, however long nobody asked for it.
    assert twins.models() == [ModelKey(TENANT, NEW)]


async def test_a_tenant_without_an_active_version_keeps_none(
    twins: LoadedTwins, monkeypatch: pytest.MonkeyPatch
) -> None:
    await twins.get(ModelKey(TENANT, OLD))
    monkeypatch.setattr(loaded, "SUPERSEDED_FOR", -1.0)
    await twins.follow({TENANT: None})
    assert twins.tenants() == set()


async def test_switches_of_many_tenants_stay_within_the_capacity(twins: LoadedTwins) -> None:
    for _ in range(3):
        await twins.get(ModelKey(TENANT, uuid4()))
        await twins.get(ModelKey(OTHER, uuid4()))
        await twins.follow({TENANT: uuid4(), OTHER: uuid4()})
        assert len(twins.models()) == 2


async def test_one_that_cannot_be_loaded_does_not_keep_others_from_it(
    twins: LoadedTwins, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    broken, fine = uuid4(), uuid4()
    for tenant in (TENANT, OTHER):
        await twins.get(ModelKey(tenant, OLD))
    loader.broken = {broken}
    with caplog.at_level(logging.WARNING):
        await twins.follow({TENANT: broken, OTHER: fine})

    assert ModelKey(OTHER, fine) in twins.models()
    assert f"could not load version {broken} ahead" in caplog.text
    with pytest.raises(OSError, match="no database"):
        await twins.get(ModelKey(TENANT, broken))
