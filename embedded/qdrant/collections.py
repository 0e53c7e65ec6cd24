"""The collections on disk, one folder each."""

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import qdrant_edge as edge
from google.protobuf import json_format
from qdrant_client import grpc as messages

from embedded.qdrant.creation import read_creation
from embedded.qdrant.optimization import Optimization
from embedded.qdrant.refusal import Refusal, bad_input

logger = logging.getLogger(__name__)

_CREATION = "collection.json"
_CURRENT = "current"
_UPKEEP = 1.0  # seconds between two rounds of upkeep
_FLUSH = 15.0  # seconds after which changes are flushed; until then the write-ahead log holds them
_MANY_CHANGES = 10_000  # points changed before an optimisation is tried, and a fifth of them all
_FEW_CHANGES = 1000  # points changed between two rounds of upkeep that count as a pause
_PATIENCE = 180.0  # seconds that it waits for changes to pause: those made meanwhile cost twice


class Collection:
    """An open collection: the request it was created by, and its present shard.

    Edge holds the interpreter's lock during every call, so that a lock of ours around each one
    costs nothing; it is what lets an optimised shard take the place of the present one.
    """

    def __init__(self, folder: Path, creation: messages.CreateCollection) -> None:
        self.folder = folder
        self.creation = creation
        self.name = creation.collection_name
        self.dimension = creation.vectors_config.params.size
        self._lock = threading.Lock()
        self._changed = 0  # points, since the last optimisation
        self._changed_before = 0  # the same at the last round of upkeep
        self._many_since: float | None = None  # since when they are enough for another
        self._quantized_anew = False  # which the next optimisation does
        self._unflushed = False
        self._flushed_at = time.monotonic()
        self._optimization: Optimization | None = None
        self._shard: edge.EdgeShard | None = self._open()

    @contextmanager
    def shard(self) -> Iterator[edge.EdgeShard]:
        """The shard, for one call; refuses with NOT_FOUND once the collection is deleted."""
        with self._lock:
            if self._shard is None:
                raise not_found(self.name)
            yield self._shard

    @property
    def is_optimizing(self) -> bool:
        """Whether an optimised shard is being made."""
        return self._optimization is not None

    def update(self, operation: edge.UpdateOperation, points: int) -> None:
        """Apply a change to so many points; when this returns it is visible, and logged on disk."""
        with self.shard() as shard:
            self._changed += points
            self._unflushed = True
            if self._optimization is not None:
                # Even one that fails: Edge applies the part of it that can be.
                self._optimization.missed.append(operation)
            shard.update(operation)

    def quantize(self, quantization: messages.QuantizationConfig) -> None:
        """Have the vectors quantized so, from the next round of upkeep on."""
        with self.shard():
            self.creation.quantization_config.CopyFrom(quantization)
            self.write_creation()
            self._quantized_anew = True

    def write_creation(self) -> None:
        """Write what the collection is to be, which makes its folder count."""
        fresh = self.folder / f"{_CREATION}.new"
        fresh.write_text(json_format.MessageToJson(self.creation))
        fresh.replace(self.folder / _CREATION)

    def upkeep(self, stopping: threading.Event) -> None:
        """Flush now and then, which bounds the log a restart replays; optimise after many changes.

        The work of an optimisation is another process's; calls go on meanwhile.
        """
        with self.shard() as shard:
            if self._unflushed and time.monotonic() - self._flushed_at > _FLUSH:
                shard.flush()
                self._unflushed = False
                self._flushed_at = time.monotonic()
            if not self._needs_optimizing(shard):
                return
            shard.flush()
            target, creation = self.folder / uuid.uuid4().hex, self.folder / _CREATION
            optimization = Optimization(self._path_of_shard(), target, creation)
            self._optimization = optimization
            self._quantized_anew = False
            self._changed = 0
            self._many_since = None
        try:
            if optimization.run(stopping):
                with self.shard() as shard:
                    self._shard = optimization.finish()
                    self._point_to(optimization.target)
                    shard.close()
        finally:
            with self._lock:
                self._optimization = None
                if self._shard is None:
                    shutil.rmtree(self.folder)  # deleted meanwhile
                else:
                    self._remove_other_shards()

    def _needs_optimizing(self, shard: edge.EdgeShard) -> bool:
        """Whether much changed and no more does, or has done for long; or its parameters did."""
        if self._quantized_anew:
            return True
        paused = self._changed - self._changed_before < _FEW_CHANGES
        self._changed_before = self._changed
        if self._changed < max(_MANY_CHANGES, shard.info().points_count // 5):
            return False
        if self._many_since is None:
            self._many_since = time.monotonic()
        return paused or time.monotonic() - self._many_since > _PATIENCE

    def close(self) -> None:
        """Flush and close the shard."""
        with self.shard() as shard:
            shard.flush()
            shard.close()
            self._shard = None

    def delete(self) -> None:
        """Remove the collection from the disk, or leave that to the optimisation under way."""
        with self.shard() as shard:
            (self.folder / _CREATION).unlink()
            shard.close()
            self._shard = None
            if self._optimization is None:
                shutil.rmtree(self.folder)

    def _open(self) -> edge.EdgeShard:
        if (self.folder / _CURRENT).exists():
            self._remove_other_shards()
            return edge.EdgeShard.load(str(self._path_of_shard()))
        path = self.folder / uuid.uuid4().hex
        path.mkdir()
        shard = edge.EdgeShard.create(str(path), read_creation(self.creation))
        self._point_to(path)
        return shard

    def _path_of_shard(self) -> Path:
        return self.folder / (self.folder / _CURRENT).read_text()

    def _point_to(self, shard: Path) -> None:
        fresh = self.folder / f"{_CURRENT}.new"
        fresh.write_text(shard.name)
        fresh.replace(self.folder / _CURRENT)

    def _remove_other_shards(self) -> None:
        current = self._path_of_shard()
        for child in self.folder.iterdir():
            if child.is_dir() and child != current:
                shutil.rmtree(child)


class CollectionStore:
    """All collections under a folder, opened at construction.

    A folder counts once its collection.json is written, which comes last; others are remains of
    a creation or deletion cut short, and removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._collections: dict[str, Collection] = {}
        self._lock = threading.Lock()  # creations and deletions, one at a time
        self._stopping = threading.Event()
        for child in folder.iterdir():
            if (child / _CREATION).exists():
                text = (child / _CREATION).read_text()
                creation = json_format.Parse(text, messages.CreateCollection())
                self._collections[creation.collection_name] = Collection(child, creation)
            elif child.is_dir():
                shutil.rmtree(child)
        self._upkeep = threading.Thread(target=self._keep_up, name="upkeep")
        self._upkeep.start()

    def names(self) -> list[str]:
        """The names of all collections."""
        return sorted(self._collections)

    def get(self, name: str) -> Collection:
        """One collection; refuses with NOT_FOUND."""
        try:
            return self._collections[name]
        except KeyError:
            raise not_found(name) from None

    def create(self, creation: messages.CreateCollection) -> None:
        """Create a collection; refuses with ALREADY_EXISTS."""
        name = creation.collection_name
        if not 1 <= len(name) <= 255 or set(name) & set('<>:"/\\|?*\0\x1f'):
            raise bad_input(f"collection_name {name!r} is empty, too long or has a character of <>")
        read_creation(creation)  # refuses before anything is written
        with self._lock:
            if name in self._collections:
                message = f"Wrong input: Collection `{name}` already exists!"
                raise Refusal(grpc.StatusCode.ALREADY_EXISTS, message)
            folder = self._folder / uuid.uuid4().hex
            folder.mkdir()
            collection = Collection(folder, creation)
            collection.write_creation()
            self._collections[name] = collection

    def delete(self, name: str) -> bool:
        """Delete a collection; False where there is none."""
        with self._lock:
            collection = self._collections.pop(name, None)
            if collection is not None:
                collection.delete()
        return collection is not None

    def close(self) -> None:
        """Flush and close everything."""
        self._stopping.set()
        self._upkeep.join()
        for collection in self._collections.values():
            collection.close()

    def _keep_up(self) -> None:
        while not self._stopping.wait(_UPKEEP):
            for collection in list(self._collections.values()):
                try:
                    collection.upkeep(self._stopping)
                except Refusal:
                    logger.info("%s was deleted", collection.name)
                except Exception:
                    logger.exception("upkeep of %s failed", collection.name)


def not_found(name: str) -> Refusal:
    """The answer where a collection does not exist, in the words of Qdrant's server."""
    return Refusal(grpc.StatusCode.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!")
