"""The collections on disk, one folder and one Edge shard each."""

import logging
import shutil
import threading
import time
import uuid
from pathlib import Path

import grpc
import qdrant_edge as edge
from google.protobuf import json_format
from qdrant_client import grpc as messages

from embedded.qdrant.creation import read_creation
from embedded.qdrant.refusal import Refusal, bad_input

logger = logging.getLogger(__name__)

_CREATION = "collection.json"
_UPKEEP = 1.0  # seconds between two rounds of upkeep
_FLUSH = 5.0  # seconds after which changes are flushed; until then the write-ahead log holds them


class Collection:
    """An open collection: its shard and the request it was created by."""

    def __init__(self, folder: Path, creation: messages.CreateCollection) -> None:
        self.folder = folder
        self.creation = creation
        if (folder / "shard" / "segments").exists():
            self.shard = edge.EdgeShard.load(str(folder / "shard"))
        else:
            (folder / "shard").mkdir(exist_ok=True)
            self.shard = edge.EdgeShard.create(str(folder / "shard"), read_creation(creation))
        self.optimizing = False
        self._lock = threading.Lock()  # upkeep and close, one at a time
        self._closed = False
        self._unoptimized = True
        self._unflushed = False
        self._flushed_at = 0.0

    def update(self, operation: edge.UpdateOperation) -> None:
        """Apply a change; it is in the write-ahead log, and visible, when this returns."""
        self._unoptimized = self._unflushed = True
        self.shard.update(operation)

    def upkeep(self) -> None:
        """Build indexes over what has changed, and bound the log that a restart replays."""
        with self._lock:
            if self._closed:
                return
            if self._unoptimized:
                self._unoptimized = False
                self.optimizing = True
                try:
                    self.shard.optimize()
                finally:
                    self.optimizing = False
            if self._unflushed and time.monotonic() - self._flushed_at > _FLUSH:
                self._unflushed = False
                self.shard.flush()
                self._flushed_at = time.monotonic()

    def close(self) -> None:
        """Flush and close the shard, after an optimisation under way."""
        with self._lock:
            self._closed = True
            self.shard.flush()
            self.shard.close()


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
            message = f"Not found: Collection `{name}` doesn't exist!"
            raise Refusal(grpc.StatusCode.NOT_FOUND, message) from None

    def create(self, creation: messages.CreateCollection) -> None:
        """Create a collection; refuses with ALREADY_EXISTS."""
        name = creation.collection_name
        if not 1 <= len(name) <= 255 or set(name) & set('<>:"/\\|?*\0\x1f'):
            raise bad_input(
                f"collection_name: {name!r} is empty, too long or has a special character"
            )
        read_creation(creation)  # refuse before anything is written
        with self._lock:
            if name in self._collections:
                message = f"Wrong input: Collection `{name}` already exists!"
                raise Refusal(grpc.StatusCode.ALREADY_EXISTS, message)
            folder = self._folder / uuid.uuid4().hex
            folder.mkdir()
            collection = Collection(folder, creation)
            (folder / _CREATION).write_text(json_format.MessageToJson(creation))
            self._collections[name] = collection

    def delete(self, name: str) -> bool:
        """Delete a collection; False where there is none."""
        with self._lock:
            collection = self._collections.pop(name, None)
            if collection is None:
                return False
            (collection.folder / _CREATION).unlink()
        collection.close()
        shutil.rmtree(collection.folder)
        return True

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
                    collection.upkeep()
                except Exception:
                    logger.exception("upkeep of %s failed", collection.creation.collection_name)
